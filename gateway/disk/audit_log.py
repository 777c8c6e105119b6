"""The audit log: who changed what, when; `plugins/audit/`, one JSON object per line.

    changes.jsonl     changes that were made
    refusals.jsonl    changes that were refused
    changes-<time>.jsonl, refusals-<time>.jsonl    full ones, which ended at that time (UTC)

The two are apart, so that nobody displaces the record of a change by requests that are refused.
Several processes write at once: a line is one write at the end of the file. A full file gets its
time by one rename, and the oldest is removed when there are too many, so the size has a bound.
All characters beyond ASCII are escaped, as are control characters: no text from a client can
begin a line, or mean something to a terminal. Blocking.
"""

import errno
import fcntl
import heapq
import json
import logging
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Literal

from gateway.disk.files import ITSELF, make_durable
from gateway.tracing.current_request import current_id

logger = logging.getLogger(__name__)

DONE = "done"
# 64 MiB of changes, about 250,000 lines, and 4 MiB of refusals, and one more file of each.
_MAX_CHANGES_BYTES, _MAX_CHANGES_FILES = 4 << 20, 16
_MAX_REFUSALS_BYTES, _MAX_REFUSALS_FILES = 1 << 20, 4
# Longer than a user id, a slug and a version. Rows of another program may hold any text.
_MAX_TEXT = 256
_TIME = itemgetter("time")


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, and in which way."""

    name: str
    """A user id, "administrator (token)", a user of the operating system, or as an embedding
    application says."""
    via: Literal["http", "command", "application"]

    @classmethod
    def of_command(cls) -> "Author":
        """The user of the operating system who runs this process."""
        try:
            return cls(pwd.getpwuid(os.getuid()).pw_name, "command")
        except KeyError:  # a container may run under a number that has no name
            return cls(f"uid {os.getuid()}", "command")


@dataclass(frozen=True, slots=True)
class Record:
    """One change, made or refused."""

    by: Author
    action: str
    user: str | None = None
    plugin: str | None = None
    before: str | None = None
    """The version before the change; None: the user had no row."""
    after: str | None = None
    """The version after the change, or the one that a refused change named."""
    result: str = DONE
    """`DONE`, or the code of the error that refused the change."""
    backup: str | None = None
    """The file in `plugins/backups/` that holds what a command replaced."""
    request_id: str | None = field(default_factory=current_id)
    """As in the log; None: no request made the change."""

    def line(self, now: datetime) -> bytes:
        values = {
            "time": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
            "by": self.by.name,
            "via": self.by.via,
            "action": self.action,
            "user": self.user,
            "plugin": self.plugin,
            "from": self.before,
            "to": self.after,
            "result": self.result,
        }
        if self.backup is not None:
            values["backup"] = self.backup
        if self.request_id is not None:
            values["request_id"] = self.request_id
        bounded = {name: text and text[:_MAX_TEXT] for name, text in values.items()}
        return json.dumps(bounded).replace("\x7f", "\\u007f").encode() + b"\n"


class AuditLog:
    """Appends records, and reads them."""

    def __init__(self, folder: Path) -> None:
        self._changes = _Journal(folder, "changes", _MAX_CHANGES_BYTES, _MAX_CHANGES_FILES)
        self._refusals = _Journal(folder, "refusals", _MAX_REFUSALS_BYTES, _MAX_REFUSALS_FILES)
        self.folder = folder
        self._is_failing = False

    def append(self, record: Record) -> None:
        """Writes a record; it is durable when this returns.

        A failure is logged, once until it is over. It is no error of the change, which is
        committed or refused already.
        """
        journal = self._changes if record.result == DONE else self._refusals
        try:
            journal.append(record.line(datetime.now(UTC)))
        except OSError as error:
            if not self._is_failing:
                logger.error("the audit log cannot be written, changes are not recorded: %s", error)
            self._is_failing = True
        else:
            if self._is_failing:
                logger.warning("audit records are written again")
            self._is_failing = False

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, the newest last. Lines that are no records are left out.

        Raises: OSError.
        """
        with self._opened() as journals:
            lines = (chain.from_iterable(files) for files in journals)
            yield from heapq.merge(*map(_parsed, lines), key=_TIME)

    def newest_records(self, may_match: Callable[[bytes], bool]) -> Iterator[dict[str, Any]]:
        """The records in those lines that `may_match` accepts, the newest first. A file is read
        when its newest record is asked for. Raises: OSError.
        """
        with self._opened() as journals:
            lines = (filter(may_match, _backwards(files)) for files in journals)
            yield from heapq.merge(*map(_parsed, lines), key=_TIME, reverse=True)

    @contextmanager
    def _opened(self) -> Iterator[list[list[IO[bytes]]]]:
        """The files of the two journals, the oldest first; none if nothing was ever recorded."""
        with ExitStack() as stack:
            try:
                with _locked(self.folder, exclusively=False):
                    journals: list[list[IO[bytes]]] = [
                        [stack.enter_context(path.open("rb")) for path in journal.files()]
                        for journal in (self._changes, self._refusals)
                    ]
            except FileNotFoundError:
                journals = []
            yield journals


class _Journal:
    """Files with lines, of one name."""

    def __init__(self, folder: Path, name: str, max_bytes: int, max_files: int) -> None:
        """`max_files`: full ones that are kept beside the one that is written."""
        self._folder = folder
        self._name = name
        self._path = folder / f"{name}.jsonl"
        self._max_bytes = max_bytes
        self._max_files = max_files

    def append(self, line: bytes) -> None:
        """Raises: OSError."""
        self._make_folder()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | ITSELF, 0o600)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(self._path))
            if not facts.st_size:
                _give_to_owner_of(self._folder, descriptor)
            elif os.pread(descriptor, 1, facts.st_size - 1) != b"\n":
                line = b"\n" + line  # after a line that a full disk cut off
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not facts.st_size:
            make_durable(self._folder)
        if facts.st_size + len(line) >= self._max_bytes:
            self._rotate()

    def files(self) -> list[Path]:
        """The oldest first, the one that is written last."""
        current = [self._path] if self._path.exists() else []
        return [*self._full_files(), *current]

    def _full_files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._name}-*.jsonl"))

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700)
        except FileExistsError:
            return
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            _give_to_owner_of(self._folder.parent, descriptor)
        finally:
            os.close(descriptor)
        make_durable(self._folder.parent)

    def _rotate(self) -> None:
        with _locked(self._folder, exclusively=True):
            if self._path.stat().st_size < self._max_bytes:
                return  # another process has just done it
            self._path.rename(
                self._folder / f"{self._name}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.jsonl"
            )
            for path in self._full_files()[: -self._max_files]:
                path.unlink(missing_ok=True)
            make_durable(self._folder)


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    """Gives what root made to the owner of the folder around it: a server that does not run as
    root must be able to go on writing after a command of root.
    """
    if os.geteuid() == 0:
        facts = folder.stat()
        os.fchown(descriptor, facts.st_uid, facts.st_gid)


@contextmanager
def _locked(folder: Path, *, exclusively: bool) -> Iterator[None]:
    """While the block runs, no file is renamed or removed (`exclusively`: by others).

    A process that is killed releases the lock. Raises: OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _backwards(files: Sequence[IO[bytes]]) -> Iterator[bytes]:
    """The lines of the files, the last first. Holds one file in memory at a time."""
    for file in reversed(files):
        yield from reversed(file.read().split(b"\n"))


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            record = json.loads(line)
            is_record = datetime.fromisoformat(record["time"]).tzinfo is not None
        except (ValueError, TypeError, KeyError, IndexError):
            continue
        if is_record:
            yield record
