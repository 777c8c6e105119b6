"""Publishing: a plugin's files become `shared/<slug>/v<version>/`, whole or not at all.

The files are unpacked and checked in a staging folder, made durable, and moved by one rename: the
version is complete or missing. It is never changed. Publishing the same content again does
nothing, and other content is refused. Blocking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gateway.disk.builds import FolderState, look_at
from gateway.disk.encoder import Encoder, is_worth_encoding
from gateway.disk.files import make_durable, read_regular
from gateway.disk.metadata import DEFAULT_ENTRY, Metadata, read_metadata
from gateway.disk.retention import Retention
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError
from gateway.lifecycle.staging import only_publisher, staging_folder
from gateway.lifecycle.unpacking import Progress, unpack, with_progress
from gateway.names import (
    AssetPath,
    Build,
    Slug,
    Version,
    parse_new_version,
    parse_slug,
    portable_problem,
)
from gateway.settings import AssetCacheSettings

# A dotfile: never served, and no part of the build.
RECORD_NAME = ".published.json"
# The most files that may be published, with the longest names, take 5 MiB.
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
    """The version that `publish` was asked for."""

    slug: Slug
    version: Version
    build: Build
    files: int
    folder: Path
    is_new: bool
    """False: the version was published before, with the same content."""


def publish(
    storage: PluginStorage,
    source: Path,
    *,
    slug: Slug | None = None,
    version: Version | None = None,
    max_encoded_bytes: int = AssetCacheSettings().max_file_bytes,
    progress: Progress = lambda _what, _done, _all: None,
) -> Published:
    """Publishes a folder, .zip or .tar.gz. Slug and version are needed if its metadata lacks them.

    `max_encoded_bytes`: larger files get no encoded variants, and are streamed as they are.
    Raises: PublishingError; OSError, if the disk is full or fails. Then nothing is left.
    """
    with staging_folder(storage.cache) as staging:
        unpack(source, staging, progress)
        slug, version, state = _checked(source, staging, slug, version)
        target = storage.construct_shared_path(slug, version)
        with only_publisher(storage.cache, slug, version):
            _refuse_link(target.parent)
            _refuse_link(target)
            if is_new := not target.is_dir():
                _encode(storage, staging, state, max_encoded_bytes, progress)
                _write_record(staging, state)
                Retention(storage.cache).forget(slug, version)
                _put_in_place(staging, target, progress)
            else:
                _require_same(source, target, state)
    return Published(slug, version, state.build, len(state.digests), target, is_new)


def read_record(folder: Path) -> Record | None:
    """The record in a version's folder; None if `publish` did not make the folder.

    Raises: OSError, if the record cannot be read; ValueError, if it is damaged.
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


def _checked(
    source: Path, folder: Path, slug: Slug | None, version: Version | None
) -> tuple[Slug, Version, FolderState]:
    """The names and the content of the version in the folder. Raises: PublishingError."""
    metadata = read_metadata(folder)
    slug, version = stated_names(source, metadata, slug, version)
    require_entry(source, folder, metadata)
    state = look_at(folder, None)
    if state is None:
        raise PublishingError(f"{source}: holds no files")
    return slug, version, state


def stated_names(
    source: Path, metadata: Metadata, slug: Slug | None, version: Version | None
) -> tuple[Slug, Version]:
    """The slug and version of `source`: those given, or those in its metadata.

    Raises: PublishingError.
    """
    stated_version = metadata.get("version")
    if version is not None and stated_version not in (None, version):
        raise PublishingError(
            f"{source}: its metadata says version {stated_version}, asked for is {version}"
        )
    for name, given, stated in (
        ("slug", slug, stated_slug(metadata)),
        ("version", version, stated_version),
    ):
        if given is None and stated is None:
            raise PublishingError(
                f"{source}: plugin.json or package.json: no {name}; --{name} can say it"
            )
    try:
        return (
            slug if slug is not None else parse_slug(stated_slug(metadata)),
            version if version is not None else parse_new_version(stated_version),
        )
    except ValueError as error:
        raise PublishingError(
            f"{source}: plugin.json or package.json: {error}; --slug and --version can say it"
        ) from None


def stated_slug(metadata: Mapping[str, Any]) -> object:
    """What the metadata says of the slug; it may be anything."""
    return metadata.get("slug") or metadata.get("plugin_slug") or metadata.get("name")


def entry_file(metadata: Metadata) -> str | None:
    """The file that pages load first, according to the metadata; None: it is on another host."""
    entry = str(metadata.get("bundle_location") or DEFAULT_ENTRY)
    return None if "://" in entry else entry.removeprefix("/")


def require_entry(source: Path, folder: Path, metadata: Metadata) -> None:
    """Raises: PublishingError, if `folder` has no entry file. The message names `source`."""
    entry = entry_file(metadata)
    if entry is None:
        return
    if problem := portable_problem(entry):
        raise PublishingError(f"{source}: plugin.json: bundle_location {entry!r}: {problem}")
    path = folder / entry
    if not path.is_file() or not path.stat().st_size:
        raise PublishingError(f"{source}: no entry file {entry} (bundle_location in plugin.json)")


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise PublishingError(f"{folder}: is a symbolic link; expected a folder, or nothing")


def _require_same(source: Path, target: Path, state: FolderState) -> None:
    """Raises: PublishingError, if `target` holds another build than `state`."""
    published = look_at(target, None)
    if published is None or published.build != state.build:
        slug, version = target.parent.name, target.name.removeprefix("v")
        build = published.build if published else "unknown"
        raise PublishingError(
            f"{slug} {version} is published already with other content:"
            f" build {build} there, build {state.build} in {source};"
            " a published version never changes, publish a new one"
        )


def _encode(
    storage: PluginStorage, folder: Path, state: FolderState, max_bytes: int, progress: Progress
) -> None:
    """Makes the encoded variants now, so that the first request finds them."""
    encoder = Encoder(storage.cache.encoded)
    for name, digest in with_progress("encoding", state.digests.items(), progress):
        size = state.sizes[name]
        if size <= max_bytes and is_worth_encoding(AssetPath(name), size):
            encoder.make_now((folder / name).read_bytes(), digest)


def _put_in_place(staging: Path, target: Path, progress: Progress) -> None:
    """Syncs all files, then renames the folder: after a power cut it is complete or missing."""
    for path in with_progress("writing", [*staging.rglob("*"), staging], progress):
        make_durable(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging.rename(target)
    make_durable(target.parent)
    make_durable(target.parent.parent)
