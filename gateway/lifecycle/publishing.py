"""Publishing: a plugin's files become `shared/<slug>/v<version>/`, whole or not at all.

Unpacked and checked in a staging folder below `plugins/cache/`, made durable, then renamed
into its place: whoever looks sees the version complete or does not see it. What is published
is never changed; the same content again is nothing to do, other content is refused. Blocking.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from gateway.disk.builds import FolderState, look_at
from gateway.disk.encoder import MIN_BYTES, Encoder
from gateway.disk.metadata import DEFAULT_ENTRY, read_metadata
from gateway.disk.reading import read_regular
from gateway.disk.retention import Retention
from gateway.disk.storage import PluginStorage
from gateway.disk.writing import sync_folder
from gateway.errors import PublishingError
from gateway.http.media_types import media_type
from gateway.lifecycle.unpacking import Progress, unpack
from gateway.names import (
    AssetPath,
    Build,
    Slug,
    Version,
    parse_slug,
    parse_version,
    portable_problem,
)
from gateway.settings import AssetCacheSettings

# A dotfile: never served, and no part of the build.
RECORD_NAME = ".published.json"
# As many files as may be published, with names as long as may be, take 5 MiB.
_MAX_RECORD_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """The content that a version was published with."""

    build: Build
    files: Mapping[str, str]
    """SHA-256 in hex, by asset path."""
    published_at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Published:
    """What `publish` did."""

    slug: Slug
    version: Version
    build: Build
    files: int
    folder: Path
    is_new: bool
    """False: the version was there already, with the same content."""


def publish(
    storage: PluginStorage,
    source: Path,
    *,
    slug: Slug | None = None,
    version: Version | None = None,
    max_encoded_bytes: int = AssetCacheSettings().max_file_bytes,
    progress: Progress = lambda _what, _done, _all: None,
) -> Published:
    """Publishes a folder, .zip or .tar.gz; what its metadata does not say must be given.

    `max_encoded_bytes`: larger files get no encoded variants; they are streamed as they are.
    Raises: PublishingError; OSError, if the disk is full or fails. Nothing is left behind.
    """
    with _staging(storage) as staging:
        unpack(source, staging, progress)
        metadata = read_metadata(staging)
        slug, version = _names(source, metadata, slug, version)
        _require_entry(source, staging, metadata)
        state = look_at(staging, None)
        if state is None:
            raise PublishingError(f"{source}: holds no files")
        target = storage.construct_shared_path(slug, version)
        with only_publisher(storage, slug, version):
            _refuse_links(target.parent, target)
            if target.is_dir():
                return _compare(source, target, slug, version, state)
            _encode(storage, staging, state, max_encoded_bytes, progress)
            _write_record(staging, state)
            _make_durable(staging, progress)
            target.parent.mkdir(parents=True, exist_ok=True)
            Retention(storage.cache).forget(slug, version)  # of one that was removed by hand
            staging.rename(target)
            sync_folder(target.parent)
            sync_folder(storage.shared.path)
    return Published(slug, version, state.build, len(state.digests), target, is_new=True)


def read_record(folder: Path) -> Record | None:
    """What was published into a version's folder; None where that was not done by `publish`.

    Raises: OSError, if it cannot be read; ValueError, if it is damaged.
    """
    try:
        text = read_regular(folder / RECORD_NAME, _MAX_RECORD_BYTES)
        if text is None:
            return None
        content = orjson.loads(text)
        return Record(Build(content["build"]), content["files"], content["published_at"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / RECORD_NAME}: lacks {error}") from None


def _write_record(folder: Path, state: FolderState) -> None:
    files = {name: digest.hex() for name, digest in state.digests.items()}
    published_at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"build": state.build, "published_at": published_at, "files": files}
    (folder / RECORD_NAME).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _names(
    source: Path, metadata: dict[str, Any], slug: Slug | None, version: Version | None
) -> tuple[Slug, Version]:
    stated_slug = metadata.get("slug") or metadata.get("plugin_slug") or metadata.get("name")
    stated_version = metadata.get("version")
    if version is not None and stated_version not in (None, version):
        raise PublishingError(
            f"{source}: its metadata says version {stated_version}, asked for is {version}"
        )
    try:
        return (
            slug if slug is not None else parse_slug(stated_slug),
            version if version is not None else parse_version(stated_version),
        )
    except ValueError as error:
        raise PublishingError(
            f"{source}: plugin.json or package.json: {error}; --slug and --version can say it"
        ) from None


def entry_file(metadata: dict[str, Any]) -> str | None:
    """The file that pages load first, as the metadata say; None: it is on another host."""
    entry = str(metadata.get("bundle_location") or DEFAULT_ENTRY)
    return None if "://" in entry else entry.removeprefix("/")


def _require_entry(source: Path, folder: Path, metadata: dict[str, Any]) -> None:
    entry = entry_file(metadata)
    if entry is None:
        return
    if problem := portable_problem(entry):
        raise PublishingError(f"{source}: plugin.json: bundle_location {entry!r}: {problem}")
    path = folder / entry
    if not path.is_file() or not path.stat().st_size:
        raise PublishingError(f"{source}: no entry file {entry} (bundle_location in plugin.json)")


def _refuse_links(*folders: Path) -> None:
    for folder in folders:
        if folder.is_symlink():
            raise PublishingError(f"{folder}: is a symbolic link; expected a folder, or nothing")


def _compare(
    source: Path, target: Path, slug: Slug, version: Version, state: FolderState
) -> Published:
    there = look_at(target, None)
    if there is None or there.build != state.build:
        raise PublishingError(
            f"{slug} {version} is published already with other content:"
            f" build {there.build if there else 'unknown'} there, build {state.build} in {source};"
            " a published version never changes, publish a new one"
        )
    return Published(slug, version, state.build, len(state.digests), target, is_new=False)


def _encode(
    storage: PluginStorage, folder: Path, state: FolderState, most: int, progress: Progress
) -> None:
    """Makes the encoded variants now, so that the first request finds them."""
    encoder = Encoder(storage.cache.encoded)
    for number, (name, digest) in enumerate(state.digests.items()):
        progress("encoding", number, len(state.digests))
        if media_type(AssetPath(name)).compressible and MIN_BYTES <= state.sizes[name] <= most:
            encoder.make_now((folder / name).read_bytes(), digest)
    progress("encoding", len(state.digests), len(state.digests))


def _make_durable(folder: Path, progress: Progress) -> None:
    """fsync of every file and folder: after the rename, a power cut finds them whole."""
    paths = list(folder.rglob("*"))
    for number, path in enumerate(paths):
        progress("writing", number, len(paths))
        if path.is_dir():
            sync_folder(path)
        else:
            descriptor = os.open(path, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(folder)
    progress("writing", len(paths), len(paths))


@contextmanager
def _staging(storage: PluginStorage) -> Iterator[Path]:
    """A folder on the same file system, removed whatever happens; so are abandoned ones."""
    parent = storage.cache.staging
    parent.mkdir(parents=True, exist_ok=True)
    # Held only while folders and their locks are made or swept, so that none is seen half made.
    with FileLock(storage.cache.staging_lock):
        _abandoned(parent, remove=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = FileLock(f"{folder}.lock")
        lock.acquire()
    try:
        folder.chmod(0o755)  # mkdtemp makes it private; it becomes the version's folder
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def abandoned_staging(storage: PluginStorage, *, remove: bool) -> list[Path]:
    """Staging folders of publishers that were killed. Raises: OSError."""
    parent = storage.cache.staging
    if not parent.is_dir():
        return []
    with FileLock(storage.cache.staging_lock):
        return _abandoned(parent, remove=remove)


def _abandoned(parent: Path, *, remove: bool) -> list[Path]:
    """Nobody holds their lock. For who holds the lock of all of them."""
    abandoned = []
    for folder in sorted({path.with_suffix("") for path in parent.iterdir()}):
        lock = FileLock(f"{folder}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        abandoned.append(folder)
        if remove:
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return abandoned


@contextmanager
def only_publisher(storage: PluginStorage, slug: Slug, version: Version) -> Iterator[None]:
    """Excludes whoever else publishes or removes the version. Raises: PublishingError."""
    path = storage.cache.publisher_lock(slug, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise PublishingError(f"{slug} {version} is being published by another process") from None
