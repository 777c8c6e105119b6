"""Originals of installed_plugins.json files that a command changed: `plugins/backups/`.

A backup is a file with one JSON object per line: `user`, `before` (the whole file as it was; null
if there was none) and `after` (SHA-256 of what the command wrote). A line is durable before the
user's file is replaced, so every change can be taken back, also after a command was killed. A
file that has changed again since then is left alone. Blocking.
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

from gateway.disk.files import make_durable
from gateway.disk.storage import PluginStorage
from gateway.errors import StorageError
from gateway.names import UserId, parse_user_id


@dataclass(frozen=True, slots=True)
class Original:
    """One user's file before a change, and the digest of the file after it."""

    user: UserId
    before: bytes | None
    after: str

    @classmethod
    def of(cls, user: UserId, before: bytes | None, after: bytes) -> "Original":
        return cls(user, before, _digest(after))


class Backup:
    """A new backup; its file is created together with its first line."""

    def __init__(self, storage: PluginStorage, command: str, now: datetime) -> None:
        self._path = storage.backups / f"{command}-{now:%Y%m%dT%H%M%S.%fZ}.jsonl"
        self.written_path: Path | None = None
        """The file, once it has a line."""

    def add(self, originals: Sequence[Original]) -> None:
        """Writes lines; they are durable when this returns. Raises: StorageError."""
        lines = b"".join(_encode(original) for original in originals)
        try:
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("ab" if self.written_path else "xb") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            if self.written_path is None:
                make_durable(self._path.parent)
                make_durable(self._path.parent.parent)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be written: {error}") from error
        self.written_path = self._path


class RestoreState(StrEnum):
    """What was done with one line of a backup."""

    RESTORED = "restored"
    AS_BEFORE = "as_before"
    """The file already is the original: the command was killed, or this ran before."""
    CHANGED_SINCE = "changed_since"
    """Somebody else changed the file since then, and their change would be lost: left alone."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """What was done with one user's file, or would be."""

    user: UserId
    state: RestoreState
    reason: str = ""


def read_backup(path: Path) -> Iterator[Original]:
    """The lines of a backup. If a user has several, only the last one belongs to a change that
    was made.

    Raises: StorageError, if the file is no backup.
    """
    last = {original.user: number for number, original in _lines(path)}
    for number, original in _lines(path):
        if last[original.user] == number:
            yield original


def restore(storage: PluginStorage, original: Original, *, apply: bool) -> RestoredFile:
    """Restores one original, if its file still is what the command wrote."""
    try:
        with storage.users.locked(original.user) if apply else nullcontext() as file:
            content = storage.users.read_content(original.user)
            if content == original.before:
                return RestoredFile(original.user, RestoreState.AS_BEFORE)
            if content is None or _digest(content) != original.after:
                return RestoredFile(original.user, RestoreState.CHANGED_SINCE)
            if file is not None:
                if original.before is None:
                    file.remove()
                else:
                    file.write(original.before)
    except StorageError as error:
        return RestoredFile(original.user, RestoreState.FAILED, str(error))
    return RestoredFile(original.user, RestoreState.RESTORED)


def _encode(original: Original) -> bytes:
    before = None if original.before is None else original.before.decode()
    line = {"user": original.user, "before": before, "after": original.after}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _lines(path: Path) -> Iterator[tuple[int, Original]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # the command was killed here, before it changed the file
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
