"""`plugins/users/user_<id>/installed_plugins.json`: which plugins each user has installed.

What belongs into the file is only what no table holds: the installation metadata. Files of the
old format hold more, which is read without complaint; an entry is written without the values
that the table decides. Writes are atomic, and a lock per user excludes other processes. Blocking.
"""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock

from gateway.disk.cache_folder import CacheFolder
from gateway.disk.files import (
    READ_FLAGS,
    Fingerprint,
    fingerprint,
    make_durable,
    read_up_to,
    write_atomically,
)
from gateway.errors import StorageError
from gateway.names import Slug, UserId, parse_or_none, parse_user_id

Document = dict[str, Any]
"""An installed_plugins.json: what it says of each plugin, by slug."""
InstallationMetadata = dict[str, Any]

INSTALLATIONS_NAME = "installed_plugins.json"
_TEMPORARY_PREFIX = f".{INSTALLATIONS_NAME}."
# Values of the old format that the table decides: a change makes them untrue.
_TABLE_DECIDES = ("version", "shared_path", "enabled")
_LOCK_TIMEOUT_S = 10.0
# FileLock is unfair: the shortest poll interval wins. With 8 processes on one user the longest
# wait is 5.6 s with filelock's own 0.05, and 1.4 s with this.
_LOCK_POLL_S = 0.005
# 20 plugins are about 4 KiB.
_MAX_BYTES = 8 * 2**20


class BrokenInstallations(StorageError):
    """An installed_plugins.json that is not a JSON object (half written, damaged)."""

    def __init__(self, message: str, fingerprint: Fingerprint | None = None) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint
        """The fingerprint of the broken file; None if it is not known."""


class UsersFolder:
    """`user` is a parsed id, unless a method raises ValueError."""

    def __init__(self, path: Path, cache: CacheFolder) -> None:
        self.path = path
        self._cache = cache
        self._prefix = os.fspath(path / "user_")

    def file(self, user: UserId) -> Path:
        """Raises: ValueError, if that is no user id: the path would lead elsewhere."""
        return self.path / f"user_{parse_user_id(user)}" / INSTALLATIONS_NAME

    def _file_text(self, user: UserId) -> str:
        """`file` as text: making a Path costs a third of reading the file."""
        return f"{self._prefix}{user}{os.sep}{INSTALLATIONS_NAME}"

    def ids(self) -> Iterator[UserId]:
        """Every user who has a folder, in no order, read in steps. Raises: StorageError."""
        users = map(user_of, self.folder_names())
        return (user for user in users if user is not None)

    def folder_names(self) -> Iterator[str]:
        """Every name in `users/`, in no order. Raises: StorageError.

        Read in steps: the names of a large site may not fit into memory.
        """
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    yield entry.name
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error.strerror}") from error

    def temporary_files(self, user: UserId) -> list[Path]:
        """Unfinished files of writers. Inside `locked(user)` their writers were killed."""
        folder = f"{self._prefix}{user}"
        try:
            names = os.listdir(folder)  # noqa: PTH208 (making Paths costs more than the listing)
        except OSError:
            return []
        return sorted(Path(folder, name) for name in names if name.startswith(_TEMPORARY_PREFIX))

    def fingerprint(self, user: UserId) -> Fingerprint | None:
        """The fingerprint of the user's file; None if there is no file. Raises: StorageError."""
        path = self._file_text(user)
        try:
            return fingerprint(os.stat(path))  # noqa: PTH116 (no Path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path}: cannot be looked at: {error.strerror}") from error

    def read_installations(self, user: UserId) -> dict[str, InstallationMetadata] | None:
        """Installation metadata by slug; None if the user has no file.

        Raises: BrokenInstallations; StorageError, if the file cannot be read.
        """
        document = self.read_document(user)
        if document is None:
            return None
        return {slug: metadata_of(entry) for slug, entry in document.items()}

    def read_document(self, user: UserId) -> Document | None:
        """The whole file, keys of the old format too; None if the user has no file.

        Raises: BrokenInstallations; StorageError, if the file cannot be read.
        """
        return self.read_with_fingerprint(user)[0]

    def read_with_fingerprint(self, user: UserId) -> tuple[Document | None, Fingerprint | None]:
        """`read_document`, and the fingerprint of the file: every later write changes it."""
        content, fingerprint_ = self._read(user)
        if content is None:
            return None, fingerprint_
        try:
            return self.parse(user, content), fingerprint_
        except BrokenInstallations as error:
            error.fingerprint = fingerprint_
            raise

    def read_content(self, user: UserId) -> bytes | None:
        """The bytes of the user's file; None if there is none.

        Raises: BrokenInstallations, if the file is too large to be one of ours; StorageError.
        """
        return self._read(user)[0]

    def _read(self, user: UserId) -> tuple[bytes | None, Fingerprint | None]:
        path = self._file_text(user)
        try:
            # Not `open`: its buffers cost five times as much as reading the file.
            descriptor = os.open(path, READ_FLAGS)
            try:
                facts = os.fstat(descriptor)
                if not stat.S_ISREG(facts.st_mode):
                    raise StorageError(f"{path}: cannot be read: not a regular file")
                content = read_up_to(_MAX_BYTES + 1, descriptor, facts.st_size)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
        if len(content) > _MAX_BYTES:
            raise BrokenInstallations(f"{path}: larger than {_MAX_BYTES} bytes", fingerprint(facts))
        return content, fingerprint(facts)

    def parse(self, user: UserId, content: bytes) -> Document:
        """The document that `content` of the user's file holds. Raises: BrokenInstallations."""
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            raise BrokenInstallations(f"{self._file_text(user)}: not valid JSON") from None
        if not isinstance(document, dict):
            raise BrokenInstallations(f"{self._file_text(user)}: not a JSON object")
        return document

    @contextmanager
    def locked(self, user: UserId) -> Iterator["LockedFile"]:
        """The user's file. Nobody else may change it meanwhile, in any process. Not reentrant.

        One thread may enter and another may leave. Raises: StorageError, if another holds the lock
        for too long; ValueError, if that is no user id.
        """
        path = self._cache.user_lock(user)
        lock = FileLock(path, _LOCK_TIMEOUT_S, thread_local=False, poll_interval=_LOCK_POLL_S)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:  # filelock's Timeout is one
            raise StorageError(f"{path}: cannot be locked: {error}") from error
        try:
            yield LockedFile(self, user)
        finally:
            lock.release()


class LockedFile:
    """One user's file, for the holder of the user's lock: everything that changes the file."""

    def __init__(self, folder: UsersFolder, user: UserId) -> None:
        self._folder = folder
        self.user = user
        self._path = folder.file(user)

    def register(self, slug: Slug, installation_metadata: Mapping[str, Any]) -> None:
        """Writes an entry for a plugin; the defaults stand for what the metadata lacks.

        Raises: BrokenInstallations, and leaves the file as it is; StorageError.
        """
        defaults = {
            "installation_type": "production",
            "installed_by": "gateway",
            "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.set_metadata(slug, {**defaults, **installation_metadata})

    def set_metadata(self, slug: Slug, installation_metadata: Mapping[str, Any]) -> None:
        """Writes the plugin's installation metadata, and keeps what else only its entry holds.

        Raises: as `register`.
        """
        document = self._document()
        entry = document.get(slug)
        entry = dict(entry) if isinstance(entry, dict) else {}
        for name in _TABLE_DECIDES:
            entry.pop(name, None)
        document[slug] = {**entry, "installation_metadata": installation_metadata}
        self.write(encoded(document))

    def unregister(self, slug: Slug) -> bool:
        """Removes the plugin's entry; False if it has no entry. Raises: as `register`."""
        document = self._document()
        if slug not in document:
            return False
        del document[slug]
        self.write(encoded(document))
        return True

    def _document(self) -> Document:
        return self._folder.read_document(self.user) or {}

    def write(self, content: bytes) -> None:
        """Replaces the file, and removes what killed writers left. Raises: StorageError."""
        self.remove_temporary_files()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, content)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be written: {error}") from error

    def remove(self) -> None:
        """Raises: StorageError."""
        try:
            self._path.unlink(missing_ok=True)
            make_durable(self._path.parent)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be removed: {error}") from error

    def remove_temporary_files(self) -> None:
        """Raises: StorageError."""
        for path in self._folder.temporary_files(self.user):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{path}: cannot be removed: {error}") from error

    def restorer(self) -> Callable[[], None]:
        """A function that brings back the file as it is at this moment.

        Raises: BrokenInstallations, StorageError, as `read_content`.
        """
        content = self._folder.read_content(self.user)
        if content is None:
            return lambda: self._path.unlink(missing_ok=True)
        return lambda: self.write(content)


def user_of(folder_name: str) -> UserId | None:
    """The user whose folder in `users/` has this name; None if no user's can."""
    prefix, _, text = folder_name.partition("_")
    user = parse_or_none(parse_user_id, text)
    # A UUID with dashes names the user without them, whose folder has another name.
    return user if (prefix, text) == ("user", user) else None


def encoded(document: Document) -> bytes:
    """The bytes of an installed_plugins.json. Raises: StorageError, if it cannot be JSON."""
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError as error:  # orjson reads 1024 levels and writes 254
        raise StorageError(f"{INSTALLATIONS_NAME}: cannot be written: {error}") from None


def metadata_of(entry: object) -> InstallationMetadata:
    """The installation metadata of an entry, which may be null or empty.

    docs/reference/compatibility.md has the format.
    """
    metadata = entry.get("installation_metadata") if isinstance(entry, dict) else None
    return metadata if isinstance(metadata, dict) else {}
