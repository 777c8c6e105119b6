"""Where the running gateways of a site listen: one file each in `plugins/cache/running/`.

A file may outlive its gateway, and another program may listen at its address by then. So a file is
only a hint: `identity/proof.py` says how to find out who listens there. Blocking.
"""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.disk.cache_folder import CacheFolder
from gateway.disk.files import read_regular, write_atomically

_MAX_BYTES = 4096
# Files of killed gateways remain. Only the newest files are read.
_MOST_RECORDS = 16


@dataclass(frozen=True, slots=True)
class RunningRecord:
    machine: str
    """The name of the host: an address such as 127.0.0.1 means something there alone."""
    pid: int
    """Of the supervisor."""
    address: str
    """`host:port`, or the absolute path of the Unix socket."""
    secret: str
    """What the gateway proves itself with. Only the owner of the file can read it."""


def new_record(address: str) -> RunningRecord:
    """For this process."""
    return RunningRecord(socket.gethostname(), os.getpid(), address, secrets.token_hex(32))


def write_record(cache: CacheFolder, record: RunningRecord) -> Path:
    """Returns the file. Raises: OSError."""
    cache.running.mkdir(parents=True, exist_ok=True)
    _remove_predecessors(cache, record)
    file = cache.running / f"{record.pid}_{secrets.token_hex(4)}.json"
    write_atomically(file, json.dumps(asdict(record)).encode(), 0o600)
    return file


def read_records(cache: CacheFolder) -> list[RunningRecord]:
    """Those of this host that this user may read, the newest first."""
    return [record for _, record in _records(cache) if record.machine == socket.gethostname()]


def _remove_predecessors(cache: CacheFolder, record: RunningRecord) -> None:
    """Removes files of killed gateways: nobody else can listen at this address now."""
    for file, other in _records(cache):
        if (other.machine, other.address) == (record.machine, record.address):
            file.unlink(missing_ok=True)


def _records(cache: CacheFolder) -> list[tuple[Path, RunningRecord]]:
    try:
        files = [file for file in cache.running.iterdir() if file.suffix == ".json"]
    except OSError:
        return []
    newest = sorted(files, key=_modified, reverse=True)[:_MOST_RECORDS]
    return [(file, record) for file in newest if (record := _read(file)) is not None]


def _modified(file: Path) -> float:
    try:
        return file.lstat().st_mtime
    except OSError:
        return 0.0


def _read(file: Path) -> RunningRecord | None:
    """None if it is no record, or if this user may not read it."""
    try:
        record = RunningRecord(**json.loads(read_regular(file, _MAX_BYTES) or b""))
    except (OSError, ValueError, TypeError):
        return None
    texts = (record.machine, record.address, record.secret)
    return record if all(isinstance(text, str) and text for text in texts) else None
