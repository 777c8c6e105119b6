"""Originals of installed_plugins.json files that a command changed: `plugins/backups/`.

A backup is one file of lines, an object each: `user`, `before` (the whole file as it was; null:
there was none) and `after` (SHA-256 of what the command wrote). Its lines are durable before
the files they are of are replaced, so every change can be taken back, wherever the command was
killed; a file that was changed again since is left alone. Blocking.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import orjson

from gateway.disk.storage import PluginStorage, sync_folder
from gateway.errors import StorageError
from gateway.names import UserId, parse_user_id


@dataclass(frozen=True, slots=True)
class Original:
    """One user's file before a change, and how to know what the change made of it."""

    user: UserId
    before: bytes | None
    after: str

    @classmethod
    def of(cls, user: UserId, before: bytes | None, after: bytes) -> "Original":
        return cls(user, before, _digest(after))


class Backup:
    """A new backup; its file is made with its first line."""

    def __init__(self, storage: PluginStorage, command: str, now: datetime) -> None:
        self.path = storage.backups / f"{command}-{now:%Y%m%dT%H%M%S.%fZ}.jsonl"
        self.is_made = False

    def add(self, originals: Sequence[Original]) -> None:
        """After return they are on the disk. Raises: StorageError."""
        lines = b"".join(_encode(original) for original in originals)
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("ab" if self.is_made else "xb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            if not self.is_made:
                sync_folder(self.path.parent)
                sync_folder(self.path.parent.parent)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error}") from error
        self.is_made = True


class Restoring(StrEnum):
    """What became of one line of a backup."""

    RESTORED = "restored"
    AS_BEFORE = "as_before"
    """The file is the original already: the command was killed, or this was done before."""
    CHANGED_SINCE = "changed_since"
    """Somebody else's change would be lost: left alone."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Restored:
    user: UserId
    state: Restoring
    reason: str = ""


def read_backup(path: Path) -> Iterator[Original]:
    """Its lines; of several of one user the last, which is of the change that was made.

    Raises: StorageError, if it is no backup.
    """
    last = {original.user: number for number, original in _lines(path)}
    for number, original in _lines(path):
        if last[original.user] == number:
            yield original


def count_originals(path: Path) -> int:
    """Raises: StorageError, if it is no backup."""
    return sum(1 for _ in _lines(path))


def restore(storage: PluginStorage, original: Original, *, apply: bool) -> Restored:
    """Puts one original back, unless its file is not what the command made of it."""
    try:
        with storage.locked(original.user) if apply else nullcontext():
            found = storage.read_content(original.user)
            if found == original.before:
                return Restored(original.user, Restoring.AS_BEFORE)
            if found is None or _digest(found) != original.after:
                return Restored(original.user, Restoring.CHANGED_SINCE)
            if apply:
                _put_back(storage, original)
    except StorageError as error:
        return Restored(original.user, Restoring.FAILED, str(error))
    return Restored(original.user, Restoring.RESTORED)


def _put_back(storage: PluginStorage, original: Original) -> None:
    if original.before is None:
        storage.remove_document(original.user)
    else:
        storage.write_document(original.user, original.before)


def _encode(original: Original) -> bytes:
    before = None if original.before is None else original.before.decode()
    line = {"user": original.user, "before": before, "after": original.after}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _lines(path: Path) -> Iterator[tuple[int, Original]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # killed while it was written: nothing was changed after it
                yield number, _decode(path, number, line)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error


def _decode(path: Path, number: int, line: bytes) -> Original:
    try:
        values = orjson.loads(line)
        user, before, after = (values[name] for name in ("user", "before", "after"))
        return Original(parse_user_id(user), None if before is None else before.encode(), after)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(f"{path}: line {number}: expected a line of a backup") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
