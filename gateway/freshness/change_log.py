"""The change log: how the processes of one host tell each other of changes.

Workers and commands append to `plugins/cache/changes.log`; workers read it (workers.py). The file
is a ring of fixed records, numbered from 1. Writers exclude each other with a lock file. Readers
take no lock: they compare numbers, and a reader that fell more than half a ring behind reports
ANYTHING. The file is not mapped into memory: reading past the end of a mapped file that was cut
short kills the process, and 20 reads of 16 bytes a second cost nothing.

    header   magic (8 bytes) · number of the last complete record (u64)
    record   number (u64) · length (u16) · payload (at most 238 bytes) · stamp · padding
    stamp    number (u64) · moment (f64, seconds since the epoch)

Versions before the stamp leave other bytes there: a stamp counts if it has the record's number. A
record that has no room for one has none.
"""

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from filelock import FileLock

from gateway.changes import ANYTHING, Change
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.files import ITSELF

_MAGIC = b"gwchg\x00\x00\x01"
_HEADER = struct.Struct("<8sQ")
_LAST = struct.Struct("<Q")
_LAST_OFFSET = 8
_HEADER_BYTES = 64
_RECORD = struct.Struct("<QH")
_STAMP = struct.Struct("<Qd")
_RECORD_BYTES = 248
_MAX_PAYLOAD_BYTES = _RECORD_BYTES - _RECORD.size
# A worker that stalls for a second while a thousand users are purged still hears of each.
_RECORDS = 4096
_FILE_BYTES = _HEADER_BYTES + _RECORDS * _RECORD_BYTES
_LOCK_TIMEOUT_S = 2.0
# A writer holds the lock for some 50 µs, and others wait for it in their event loop.
_LOCK_POLL_S = 0.001


class ChangeLog:
    """The log file, opened at its first use. One object for each process."""

    def __init__(self, cache: CacheFolder) -> None:
        self._path = cache.change_log
        self._lock = FileLock(
            f"{self._path}.lock", timeout=_LOCK_TIMEOUT_S, poll_interval=_LOCK_POLL_S
        )
        # Held while the descriptor is used: another thread may close it, to open a new file.
        self._guard = threading.RLock()
        self._descriptor: int | None = None
        self._file_id = (0, 0)
        self._read_up_to = 0
        self._has_missed = False

    def open(self) -> None:
        """Opens the file. Makes it anew if it is missing or is not a log of ours.

        Blocking. Raises: OSError, also if something other than a file is in its place.
        """
        descriptor, file_id = self._open_file()
        with self._guard:
            self.close()
            self._descriptor, self._file_id = descriptor, file_id
            self._read_up_to = self._last() or 0

    def _open_file(self) -> tuple[int, tuple[int, int]]:
        self._path.parent.mkdir(exist_ok=True)  # not its parents: the disk may be away just now
        with self._lock, ExitStack() as on_failure:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | ITSELF, 0o644)
            on_failure.callback(os.close, descriptor)
            facts = os.fstat(descriptor)
            header = os.pread(descriptor, _HEADER.size, 0)
            if facts.st_size != _FILE_BYTES or not header.startswith(_MAGIC):
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, _FILE_BYTES)
                os.pwrite(descriptor, _HEADER.pack(_MAGIC, 0), 0)
            on_failure.pop_all()
        return descriptor, (facts.st_dev, facts.st_ino)

    def close(self) -> None:
        """Idempotent."""
        with self._guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def reopen_if_replaced(self) -> bool:
        """Opens the file again if it was deleted, replaced or cut short, and says whether it was.

        Blocking. What others announced meanwhile is lost: the next read reports ANYTHING.
        """
        if self._is_in_place():
            return False
        is_first = self._descriptor is None
        self.open()
        self._has_missed = not is_first
        return True

    def _is_in_place(self) -> bool:
        """Whether the file that is open is still the one that has the name."""
        try:
            facts = self._path.lstat()
        except FileNotFoundError:
            return False
        return (
            self._descriptor is not None
            and (facts.st_dev, facts.st_ino) == self._file_id
            and facts.st_size == _FILE_BYTES
        )

    def append(self, change: Change) -> None:
        """Tells all other processes of this host. Blocks for microseconds. Raises: OSError."""
        payload = change.encode()
        if len(payload) > _MAX_PAYLOAD_BYTES:  # the longest names, all at once
            payload = ANYTHING.encode()
        with self._guard:
            self.reopen_if_replaced()
            self._write(payload)

    def _write(self, payload: bytes) -> None:
        with self._lock:
            descriptor = self._opened()
            number = (self._last() or 0) + 1
            record = _RECORD.pack(number, len(payload)) + payload
            if len(record) + _STAMP.size <= _RECORD_BYTES:
                record += _STAMP.pack(number, time.time())
            os.pwrite(descriptor, record, _offset(number))
            os.pwrite(descriptor, _LAST.pack(number), _LAST_OFFSET)  # last: now it can be read

    def read_new(
        self, on_moment: Callable[[float], None] = lambda _moment: None
    ) -> Iterator[Change]:
        """Changes appended since the last call, by this process too.

        `on_moment` is called with the moment at which a change was appended, in seconds since the
        epoch, where it is known.
        """
        last = self._last()
        if last is None:
            self.reopen_if_replaced()
            last = self._last() or 0
        if self._has_missed:
            self._has_missed, self._read_up_to = False, last
            yield ANYTHING
            return
        if last == self._read_up_to:
            return
        first, self._read_up_to = self._read_up_to + 1, last
        if not 0 < last - first + 1 < _RECORDS // 2:  # far behind, or a new log
            yield ANYTHING
            return
        for number in range(first, last + 1):
            yield self._read(number, on_moment)

    def _read(self, number: int, on_moment: Callable[[float], None]) -> Change:
        with self._guard:
            record = os.pread(self._opened(), _RECORD_BYTES, _offset(number))
        if len(record) < _RECORD_BYTES:
            return ANYTHING
        found_number, length = _RECORD.unpack_from(record)
        if found_number != number:
            return ANYTHING  # overwritten since
        end = _RECORD.size + length
        if end + _STAMP.size <= _RECORD_BYTES:
            stamped_number, moment = _STAMP.unpack_from(record, end)
            if stamped_number == number:
                on_moment(moment)
        try:
            return Change.decode(record[_RECORD.size : end])
        except ValueError:
            return ANYTHING

    def _last(self) -> int | None:
        """The number of the last record; None if the file was cut short."""
        with self._guard:
            header = os.pread(self._opened(), _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return None
        return int(_HEADER.unpack(header)[1])

    def _opened(self) -> int:
        if self._descriptor is None:
            raise ValueError("the log is not open")
        return self._descriptor


def _offset(number: int) -> int:
    return _HEADER_BYTES + (number % _RECORDS) * _RECORD_BYTES
