"""Publishing: a plugin's files become `shared/<slug>/v<version>/`, whole or not at all.

The files are unpacked and checked in a staging folder, made durable, and moved by one rename: the
version is complete or missing. It is never changed. Publishing the same content again adds
the record of what was published if the version has none, and other content is refused. Blocking.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.changes import Change
from gateway.disk.audit_log import Author, Record
from gateway.disk.builds import FolderState, look_at
from gateway.disk.encoder import Encoder, is_worth_encoding
from gateway.disk.files import make_durable, write_atomically
from gateway.disk.metadata import Metadata, entry_file, read_metadata
from gateway.disk.published_record import RECORD_NAME, make_record, read_record
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
    has_new_record: bool
    """Whether the record of its content was written now."""

    def audited(self, by: Author) -> Record:
        return Record(by, "publish", plugin=self.slug, after=self.version)

    @property
    def change(self) -> Change:
        """What to announce."""
        return Change(slug=self.slug, version=self.version)


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
                (staging / RECORD_NAME).write_bytes(make_record(staging, state))
                Retention(storage.cache).forget(slug, version)
                _put_in_place(staging, target, progress)
            else:
                _require_same(source, target, state)
            has_new_record = is_new or _complete_record(target, state)
    count = len(state.digests)
    return Published(slug, version, state.build, count, target, is_new, has_new_record)


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
    where = "plugin.json or package.json" if metadata else "no plugin's folder, no plugin.json"
    for name, given, stated in (
        ("slug", slug, stated_slug(metadata)),
        ("version", version, stated_version),
    ):
        if given is None and stated is None:
            raise PublishingError(f"{source}: {where}: no {name}; --{name} can say it")
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
            " a published version never changes: raise version in plugin.json"
        )


def _complete_record(target: Path, state: FolderState) -> bool:
    """Writes the record of a version that lacks it, or that has one of an earlier release.

    Returns whether it did. Raises: PublishingError, OSError.
    """
    try:
        record = read_record(target)
    except ValueError:  # damaged
        record = None
    if record is not None and record.integrity and record.describes(state):
        return False
    write_atomically(target / RECORD_NAME, make_record(target, state))
    return True


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
