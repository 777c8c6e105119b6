"""Changes told by other processes of this host: workers and commands.

A bounded log in a memory-mapped file, `plugins/cache/changes.log`: a ring of fixed records,
numbered from 1. Writers exclude each other with a lock file; readers take no lock and
compare numbers. A reader that fell more than a ring behind has missed something and says so.

    header   magic (8 bytes) · number of the last complete record (u64)
    record   number (u64) · length (u16) · payload (at most 238 bytes) · padding
"""

import asyncio
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from gateway.changes import ANYTHING, Change
from gateway.freshness import Tell

LOG_NAME = "changes.log"

_MAGIC = b"gwchg\x00\x00\x01"
_HEADER = struct.Struct("<8sQ")
_LAST = struct.Struct("<Q")
_LAST_OFFSET = 8
_HEADER_BYTES = 64
_RECORD = struct.Struct("<QH")
_RECORD_BYTES = 248
_MAX_PAYLOAD_BYTES = _RECORD_BYTES - _RECORD.size
# A worker that stalls for a second while a thousand users are purged still hears of each.
_RECORDS = 4096
_FILE_BYTES = _HEADER_BYTES + _RECORDS * _RECORD_BYTES
_LOCK_TIMEOUT_S = 2.0
_POLL_S = 0.02
_POLLS_BETWEEN_STATS = 50


class ChangeLog:
    """The log file; one object for each process."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / LOG_NAME
        self._lock = FileLock(f"{self._path}.lock", timeout=_LOCK_TIMEOUT_S)
        self._map: mmap.mmap | None = None
        self._file_id = (0, 0)
        self._read_up_to = 0

    def open(self) -> None:
        """Maps the file, made anew where it is missing or not ours. Blocking, at the start."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                if os.fstat(descriptor).st_size != _FILE_BYTES:
                    os.ftruncate(descriptor, _FILE_BYTES)
                self._map = mmap.mmap(descriptor, _FILE_BYTES)
                facts = os.fstat(descriptor)
                self._file_id = (facts.st_dev, facts.st_ino)
            finally:
                os.close(descriptor)
            if self._map[: len(_MAGIC)] != _MAGIC:
                self._map[:_FILE_BYTES] = bytes(_FILE_BYTES)
                _HEADER.pack_into(self._map, 0, _MAGIC, 0)
        self._read_up_to = self._last()

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None

    def reopen_if_replaced(self) -> bool:
        """Whether the file was deleted or replaced, as anything below cache/ may be. Blocking."""
        try:
            facts = self._path.stat()
            if (facts.st_dev, facts.st_ino) == self._file_id:
                return False
        except FileNotFoundError:
            pass
        self.close()
        self.open()
        return True

    def append(self, change: Change) -> None:
        """Tells all other processes. Blocking, for microseconds. Raises: OSError."""
        self.reopen_if_replaced()
        payload = change.encode()
        if len(payload) > _MAX_PAYLOAD_BYTES:  # names of the longest kind, all at once
            payload = ANYTHING.encode()
        with self._lock:
            log = self._mapped()
            number = self._last() + 1
            offset = _offset(number)
            start = offset + _RECORD.size
            log[start : start + len(payload)] = payload
            _RECORD.pack_into(log, offset, number, len(payload))
            _LAST.pack_into(log, _LAST_OFFSET, number)  # last: now it can be read

    def read_new(self) -> Iterator[Change]:
        """Changes appended since the last call, by this process too."""
        last = self._last()
        if last == self._read_up_to:
            return
        first, self._read_up_to = self._read_up_to + 1, last
        if not 0 < last - first + 1 < _RECORDS // 2:  # far behind, or a new log
            yield ANYTHING
            return
        for number in range(first, last + 1):
            yield self._read(number)

    def _read(self, number: int) -> Change:
        log = self._mapped()
        offset = _offset(number)
        found, length = _RECORD.unpack_from(log, offset)
        start = offset + _RECORD.size
        payload = log[start : start + length]
        if found != number or _RECORD.unpack_from(log, offset)[0] != number:
            return ANYTHING  # written over while it was read
        try:
            return Change.decode(payload)
        except ValueError:
            return ANYTHING

    def _last(self) -> int:
        return int(_LAST.unpack_from(self._mapped(), _LAST_OFFSET)[0])

    def _mapped(self) -> mmap.mmap:
        if self._map is None:
            raise ValueError("the log is not open")
        return self._map


def tell_workers(cache: Path, change: Change) -> None:
    """From a command: tells the workers of this host, if there are any. Raises: OSError."""
    log = ChangeLog(cache)
    log.open()
    try:
        log.append(change)
    finally:
        log.close()


class WorkersSource:
    """Reads the log 50 times a second: without news that is one comparison."""

    name = "workers"

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    async def run(self, tell: Tell) -> None:
        while True:
            for _ in range(_POLLS_BETWEEN_STATS):
                for change in self._log.read_new():
                    tell(change)
                await asyncio.sleep(_POLL_S)
            if self._log.reopen_if_replaced():
                tell(ANYTHING)


def _offset(number: int) -> int:
    return _HEADER_BYTES + (number % _RECORDS) * _RECORD_BYTES
