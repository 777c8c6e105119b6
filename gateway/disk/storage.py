"""`plugins/` on disk: what users have installed, and where the files of a version are.

    plugins/shared/<slug>/v<version>/…                 published files, shared by all users
    plugins/users/user_<id>/installed_plugins.json     which plugins a user has installed
    plugins/backups/                                   originals of files that commands changed
    plugins/cache/                                     locks and other runtime state of ours

Blocking throughout; call in a thread. It knows no database: which version a user gets is
not written here. Writes are atomic (temporary file in the same folder, fsync, rename, fsync
of the folder) and exclude other processes by a lock per user.
"""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock

from gateway.errors import AssetNotFound, StorageError, VersionNotPublished
from gateway.names import (
    AssetPath,
    Slug,
    UserId,
    Version,
    parse_slug,
    parse_user_id,
    parse_version,
)

Document = dict[str, Any]
"""An installed_plugins.json: what it says of each plugin, by slug."""
InstallationMetadata = dict[str, Any]
Facts = tuple[int, ...] | None

INSTALLATIONS_NAME = "installed_plugins.json"
_TEMPORARY_PREFIX = f".{INSTALLATIONS_NAME}."
_LOCK_TIMEOUT_S = 10.0
# Who asks again soonest gets it: eight processes that changed one user waited 5.6 s at most with
# filelock's own 0.05, and 1.4 s with this.
_LOCK_POLL_S = 0.005
_ABSENT = object()
# Joining a path costs ten times as much as finding it again; each takes about 300 bytes.
_REMEMBERED_PATHS = 4096
# 20 plugins are about 4 KiB; a file beyond this is not one of ours.
_MAX_INSTALLATIONS_BYTES = 8 * 2**20
_O_BINARY = getattr(os, "O_BINARY", 0)
# Without O_NONBLOCK, opening a FIFO waits for somebody who writes into it.
_READ_FLAGS = os.O_RDONLY | _O_BINARY | getattr(os, "O_NONBLOCK", 0)
ITSELF = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags of `os.open`: the file of that name itself; no link is followed, no FIFO waited for."""
# Windows has neither: the check by resolved path below stands in.
_HAS_DIR_FD = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")


class BrokenInstallations(StorageError):
    """An installed_plugins.json that is not a JSON object (half written, damaged)."""

    def __init__(self, message: str, facts: Facts = None) -> None:
        super().__init__(message)
        self.facts = facts
        """Of the file that was read, where it is known."""


@dataclass(frozen=True, slots=True)
class OpenedAsset:
    """A regular file inside a version's folder, and its facts from the opened file."""

    file: FileIO
    path: Path
    stat: os.stat_result


class PluginStorage:
    """The storage API over one `plugins/` folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shared = root / "shared"
        self.users = root / "users"
        self.backups = root / "backups"
        self.cache = root / "cache"
        self._users_prefix = os.fspath(self.users / "user_")
        self._shared_path = lru_cache(_REMEMBERED_PATHS)(self._build_shared_path)

    # Installations: the user's JSON

    def installations_file(self, user: UserId) -> Path:
        """Raises: ValueError, if that is no user id: it would be a path elsewhere."""
        return self.users / f"user_{parse_user_id(user)}" / INSTALLATIONS_NAME

    def _installations_name(self, user: UserId) -> str:
        """The same as a text: making a Path costs a third of reading the file."""
        return f"{self._users_prefix}{user}{os.sep}{INSTALLATIONS_NAME}"

    def users_with_folder(self) -> Iterator[UserId]:
        """In no order, and read as it goes: there may be more than fit into memory."""
        for name in self.user_folders():
            user = user_of(name)
            if user is not None:
                yield user

    def user_folders(self) -> Iterator[str]:
        """Names in `users/`, as `users_with_folder`. Raises: StorageError."""
        try:
            with os.scandir(self.users) as entries:
                for entry in entries:
                    yield entry.name
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{self.users}: cannot be read: {error.strerror}") from error

    def temporary_files(self, user: UserId) -> list[Path]:
        """Half-made files of writers; inside `locked(user)`, of writers that were killed."""
        folder = f"{self._users_prefix}{user}"
        try:
            names = os.listdir(folder)  # noqa: PTH208 (no Paths: they cost more than the look)
        except OSError:
            return []
        return sorted(Path(folder, name) for name in names if name.startswith(_TEMPORARY_PREFIX))

    def installations_facts(self, user: UserId) -> Facts:
        """What changes with the user's file, whoever writes it; None where there is none.

        Raises: StorageError, if it cannot be looked at.
        """
        path = self._installations_name(user)
        try:
            return fingerprint(os.stat(path))  # noqa: PTH116 (no Path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path}: cannot be looked at: {error.strerror}") from error

    def read_installations(self, user: UserId) -> dict[str, InstallationMetadata] | None:
        """Installation metadata by slug; None where the user has no file.

        Old-format files carry more keys (`version`, `shared_path`, …); they are passed over,
        for the database is what counts.

        Raises: BrokenInstallations; StorageError, if the file cannot be read.
        """
        content = self.read_document(user)
        return (
            None
            if content is None
            else {slug: metadata_of(inner) for slug, inner in content.items()}
        )

    def plugin_exists_for_user(self, user: UserId, slug: Slug) -> bool:
        """Whether the user's file holds `slug`. Broken counts as nothing installed."""
        return slug in self.get_all_user_plugins(user)

    def get_user_plugin_metadata(self, user: UserId, slug: Slug) -> InstallationMetadata | None:
        """The installation metadata of one plugin; None if it is not installed."""
        return self.get_all_user_plugins(user).get(slug)

    def get_all_user_plugins(self, user: UserId) -> dict[str, InstallationMetadata]:
        """Installation metadata by slug; empty where the file is missing or broken.

        Raises: ValueError, if that is no user id; StorageError.
        """
        try:
            return self.read_installations(parse_user_id(user)) or {}
        except BrokenInstallations:
            return {}

    def register_user_plugin(
        self, user: UserId, slug: Slug, installation_metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes `slug` into the user's file, and nothing that a table holds.

        Raises: ValueError, if that is no user id or no slug; BrokenInstallations, rather than
        replacing what cannot be read; StorageError.
        """
        user, slug = parse_user_id(user), parse_slug(slug)
        metadata = {
            "installation_type": "production",
            "installed_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **(installation_metadata or {}),
        }

        def add(document: Document) -> bool:
            document[slug] = {"installation_metadata": metadata}
            return True

        self._change_locked(user, add)

    def unregister_user_plugin(self, user: UserId, slug: Slug) -> bool:
        """Takes `slug` out of the user's file; False if it was not there.

        Raises: ValueError, if that is no user id; BrokenInstallations; StorageError.
        """
        user = parse_user_id(user)

        def remove(document: Document) -> bool:
            return document.pop(slug, _ABSENT) is not _ABSENT

        return self._change_locked(user, remove)

    # Files: shared/

    def construct_shared_path(self, slug: Slug, version: Version) -> Path:
        """Raises: ValueError, if they can name no folder."""
        return self._shared_path(slug, version)

    def _build_shared_path(self, slug: Slug, version: Version) -> Path:
        return self.shared / parse_slug(slug) / f"v{parse_version(version)}"

    def published_slugs(self) -> list[str]:
        """Names in `shared/`, in no order; not all of them must be slugs. Raises: OSError."""
        return os.listdir(self.shared)  # noqa: PTH208 (names are wanted, not Paths)

    # `shared` itself may be a link, or a mount; a link below it is not followed.

    def is_published(self, slug: Slug, version: Version) -> bool:
        """Whether the version has a folder. Raises: OSError."""
        folder = self.construct_shared_path(slug, version)
        return is_real_folder(folder.parent) and is_real_folder(folder)

    def published(self) -> Iterator[tuple[Slug, Version]]:
        """All versions that have a folder, in order. Raises: OSError."""
        self.require_shared()
        for path in sorted(self.shared.iterdir()):
            try:
                slug = parse_slug(path.name)
            except ValueError:
                continue
            for version in sorted(self.published_versions(slug)):
                yield slug, version

    def published_versions(self, slug: Slug) -> list[Version]:
        """In no order; folders whose name is no version's are passed over. Raises: OSError."""
        folder = self.shared / parse_slug(slug)
        if not is_real_folder(folder):
            self.require_shared()
            return []
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [version for name in names if (version := _version_of(name)) is not None]

    def get_user_plugin_path(self, user: UserId, slug: Slug, version: Version) -> Path | None:
        """The version's folder, if the user has the plugin and the folder exists.

        `version` comes from the database: this class cannot know it.
        Raises: ValueError, if that is no user id, no slug or no version; StorageError.
        """
        folder = self.construct_shared_path(slug, version)
        has_it = self.plugin_exists_for_user(user, slug) and self.is_published(slug, version)
        return folder if has_it else None

    def open_asset(self, slug: Slug, version: Version, asset_path: AssetPath) -> OpenedAsset:
        """The file, opened without following a link at any step below `shared`.

        Raises: VersionNotPublished, AssetNotFound; OSError, if the disk fails.
        """
        folder = self.construct_shared_path(slug, version)
        try:
            descriptor = _open_below(self.shared, f"{slug}/v{version}/{asset_path}")
        except OSError as error:
            if not _names_no_file(error) and not isinstance(error, PermissionError):
                raise
            if not self.is_published(slug, version):
                self.require_shared()
                raise VersionNotPublished(reason=f"no folder {folder}") from None
            # One file that may not be read is no failure of the disk; the whole folder is.
            if isinstance(error, PermissionError) and not os.access(folder, os.R_OK | os.X_OK):
                raise
            reason = f"no file {asset_path} in {folder}: {error.strerror}"
            raise AssetNotFound(reason=reason) from None
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise AssetNotFound(reason=f"{asset_path} in {folder} is no regular file")
        return OpenedAsset(FileIO(descriptor), folder / asset_path, facts)

    def require_shared(self) -> None:
        """Raises: FileNotFoundError, if the folder of all versions is gone: the disk has failed,
        which is another thing than a version that is not there.
        """
        if not self.shared.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of all versions is gone", self.shared)

    # The document

    def read_document(self, user: UserId) -> Document | None:
        """The whole file, keys of the old format too; None where the user has no file.

        Raises: BrokenInstallations; StorageError, if the file cannot be read.
        """
        return self.read_document_and_facts(user)[0]

    def read_document_and_facts(self, user: UserId) -> tuple[Document | None, Facts]:
        """The same, and the file's facts: whatever is written after this call changes them."""
        content, facts = self._read(user)
        if content is None:
            return None, facts
        try:
            return self.parse_content(user, content), facts
        except BrokenInstallations as error:
            error.facts = facts
            raise

    def read_content(self, user: UserId) -> bytes | None:
        """The bytes of the user's file; None where there is none.

        Raises: BrokenInstallations, if it is larger than any of ours; StorageError.
        """
        return self._read(user)[0]

    def _read(self, user: UserId) -> tuple[bytes | None, Facts]:
        path = self._installations_name(user)
        try:
            # Below `open`, whose buffers cost five times as much as reading the file.
            descriptor = os.open(path, _READ_FLAGS)
            try:
                facts = os.fstat(descriptor)
                if not stat.S_ISREG(facts.st_mode):
                    raise StorageError(f"{path}: cannot be read: not a regular file")
                content = _read_up_to(_MAX_INSTALLATIONS_BYTES + 1, descriptor, facts.st_size)
            finally:
                os.close(descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
        if len(content) > _MAX_INSTALLATIONS_BYTES:
            raise BrokenInstallations(
                f"{path}: larger than {_MAX_INSTALLATIONS_BYTES} bytes", fingerprint(facts)
            )
        return content, fingerprint(facts)

    def parse_content(self, user: UserId, content: bytes) -> Document:
        """Raises: BrokenInstallations."""
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            path = self._installations_name(user)
            raise BrokenInstallations(f"{path}: not valid JSON") from None
        if not isinstance(document, dict):
            raise BrokenInstallations(f"{self._installations_name(user)}: not a JSON object")
        return document

    @contextmanager
    def locked(self, user: UserId) -> Iterator[None]:
        """Excludes whoever else changes what the user has, in any process. Not reentrant.

        Entered and left in any thread. Raises: StorageError, if another holds it for too long;
        ValueError, if that is no user id.
        """
        lock = FileLock(
            self.cache / "locks" / f"user_{parse_user_id(user)}.lock",
            _LOCK_TIMEOUT_S,
            thread_local=False,
            poll_interval=_LOCK_POLL_S,
        )
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:  # filelock's Timeout is one
            raise StorageError(f"{lock.lock_file}: cannot be locked: {error}") from error
        try:
            yield
        finally:
            lock.release()

    def change_document(self, user: UserId, change: Callable[[Document], bool]) -> bool:
        """Writes the user's file again if `change` says that it changed it.

        For who is inside `locked(user)`. Raises: BrokenInstallations; StorageError.
        """
        document = self.read_document(user) or {}
        changed = change(document)
        if changed:
            self.write_document(user, encoded(document))
        return changed

    def write_document(self, user: UserId, content: bytes) -> None:
        """For who is inside `locked(user)`; what killed writers left goes. Raises: StorageError."""
        path = self.installations_file(user)
        self.remove_temporary_files(user)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error}") from error

    def restorer(self, user: UserId) -> Callable[[], None]:
        """What writes the user's file as it is now. For who is inside `locked(user)`.

        Raises: BrokenInstallations, StorageError, as `read_content`.
        """
        content = self.read_content(user)
        if content is None:
            return lambda: self.installations_file(user).unlink(missing_ok=True)
        return lambda: self.write_document(user, content)

    def remove_document(self, user: UserId) -> None:
        """For who is inside `locked(user)`. Raises: StorageError."""
        path = self.installations_file(user)
        try:
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        except OSError as error:
            raise StorageError(f"{path}: cannot be removed: {error}") from error

    def remove_temporary_files(self, user: UserId) -> None:
        """For who is inside `locked(user)`. Raises: StorageError."""
        for path in self.temporary_files(user):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"{path}: cannot be removed: {error}") from error

    def _change_locked(self, user: UserId, change: Callable[[Document], bool]) -> bool:
        with self.locked(user):
            return self.change_document(user, change)


def user_of(folder_name: str) -> UserId | None:
    """The user whose folder has this name; None: nobody's can."""
    prefix, _, text = folder_name.partition("_")
    try:
        user = parse_user_id(text)
    except ValueError:
        return None
    # A UUID with dashes means the id without them, whose folder has another name.
    return user if (prefix, text) == ("user", user) else None


def encoded(document: Document) -> bytes:
    """The bytes of an installed_plugins.json. Raises: StorageError, if it cannot be JSON."""
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError as error:  # orjson reads 1024 levels and writes 254
        raise StorageError(f"{INSTALLATIONS_NAME}: cannot be written: {error}") from None


def fingerprint(facts: os.stat_result) -> tuple[int, ...]:
    """Changes with the content: another file, another size, or written since."""
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """After return, `path` holds `content` for good; before, whatever it held.

    At no moment can more users read it than `mode` says.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; most of ours are read by other programs of the site.
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:  # interrupted too: nothing is left half written
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_temporary(path: Path) -> None:
    """Removes what killed writers of `path` left; those that live fail. Raises: OSError."""
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes names in the folder durable: a rename, a new file."""
    if os.name == "nt":  # Windows cannot open a folder; its rename is journaled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_real_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one. Raises: OSError."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_regular(path: Path, most: int) -> bytes | None:
    """The content of a regular file of at most so many bytes; None where there is none.

    A link is none. Raises: ValueError, if it is larger; OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _O_BINARY | ITSELF)
    except OSError as error:
        if _names_no_file(error):
            return None
        raise
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        content = _read_up_to(most + 1, descriptor, facts.st_size)
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise ValueError(f"{path.name}: larger than {most} bytes")
    return content


def _read_up_to(most: int, descriptor: int, expected: int) -> bytes:
    """To the end of the file, with one call if it has the expected size."""
    content = os.read(descriptor, min(expected, most) + 1)
    if len(content) != expected:  # it grew or shrank, or the file system gives it in pieces
        while len(content) < most and (more := os.read(descriptor, most - len(content))):
            content += more
    return content


def _version_of(folder_name: str) -> Version | None:
    try:
        return parse_version(folder_name[1:]) if folder_name.startswith("v") else None
    except ValueError:
        return None


def metadata_of(inner: object) -> InstallationMetadata:
    """The inner object is free-form and may be empty or null (docs/compatibility.md)."""
    metadata = inner.get("installation_metadata") if isinstance(inner, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _open_below(folder: Path, path: str) -> int:
    """The file with this relative path, of which no step is a link; `folder` may be one."""
    if not _HAS_DIR_FD:
        try:
            resolved = (folder / path).resolve()
        except RuntimeError:  # a loop of links, before Python 3.13
            raise FileNotFoundError(errno.ENOENT, "a loop of links", path) from None
        if resolved != folder.resolve() / path:  # a link, or another case of the name
            raise FileNotFoundError(errno.ENOENT, "a link", path)
        return os.open(resolved, os.O_RDONLY | _O_BINARY)
    *parents, name = path.split("/")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for parent in parents:
            inner = os.open(
                parent,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=descriptor,
            )
            os.close(descriptor)
            descriptor = inner

        return os.open(
            name,
            os.O_RDONLY | ITSELF,
            dir_fd=descriptor,
        )
    finally:
        os.close(descriptor)


def _names_no_file(error: OSError) -> bool:
    """Errors that the path causes, not the disk: no such name, a link, a bad name, a socket."""
    return error.errno in {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EMLINK,  # FreeBSD's word for O_NOFOLLOW on a link
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EISDIR,
        errno.ENXIO,
    }
