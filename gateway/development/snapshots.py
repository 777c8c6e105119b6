"""Copies of finished builds, each a version of its own: `<slug>/v<version>-dev.<number>/`.

A version of its own has a pin of its own, so a page that is open keeps its chunks when the next
build comes. The last copies are kept, within bounds. They lie in a temporary folder. Blocking.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.development.plugin_folder import Layout, Look
from gateway.disk.builds import look_at
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.files import read_regular
from gateway.disk.metadata import MAX_METADATA_BYTES, METADATA_FILES, Metadata, read_metadata
from gateway.disk.published_record import RECORD_NAME, make_record
from gateway.disk.shared_folder import SharedFolder
from gateway.errors import PublishingError
from gateway.errors.sentences import sentence_of
from gateway.lifecycle.publishing import require_entry
from gateway.lifecycle.releases import row_metadata
from gateway.lifecycle.unpacking import unpack
from gateway.names import Build, Slug, Version, parse_new_version

_MOST_COPIES = 20
_MOST_BYTES = 512 * 2**20
"""Of all copies; the last one is always kept. A build with source maps takes 10 MB."""
_NO_VERSION = "0.0.0"
_MOST_CHARACTERS = 50
"""Of the stated version: with the number it stays a version."""


@dataclass(frozen=True, slots=True)
class DevelopedRelease:
    """A build as the user's version of the plugin."""

    version: Version
    entry: str
    metadata: Metadata
    """For a row that the user does not have."""
    changes: Metadata
    """For the row that the user has: what the plugin's own metadata says, without npm's words."""
    made_at: datetime


class Candidate(NamedTuple):
    """A copy of what the folder held, which may be a build or the half of one."""

    look: Look
    problem: str | None
    """Why it cannot be served, a sentence."""
    build: Build | None = None
    base: str = ""
    """The version that its metadata states."""


class Snapshots:
    def __init__(self, folder: Path, slug: Slug, is_published: Callable[[Version], bool]) -> None:
        """`folder`: is made. `is_published`: versions that the plugin has in `shared/`."""
        self.shared = SharedFolder(folder / "versions")
        """The copies, in the layout of `plugins/shared/`."""
        self.notes = CacheFolder(folder / "notes")
        """For notes about the copies."""
        self._incoming = folder / "incoming"
        self._slug = slug
        self._is_published = is_published
        self._kept: tuple[tuple[Version, int], ...] = ()
        """The oldest first, with their bytes. Replaced as a whole: other threads read it."""
        self._last_build: Build | None = None
        (self.shared.path / slug).mkdir(parents=True)

    def holds(self, slug: Slug, version: Version) -> bool:
        """Whether there is such a copy. In any thread."""
        return slug == self._slug and any(version == kept for kept, _ in self._kept)

    def prepare(self, look: Look) -> Candidate:
        """Copies and checks what the look saw, in the place of the candidate before."""
        try:
            if look.layout is None:
                return Candidate(look, look.problem)
            self._copy(look.layout, look)
            metadata = read_metadata(self._incoming)
            require_entry(look.layout.metadata_folder, self._incoming, metadata)
            state = look_at(self._incoming, None)
            if state is None:
                return Candidate(look, None)
            # A copy never changes, so its integrity is as right as that of a published version.
            (self._incoming / RECORD_NAME).write_bytes(make_record(self._incoming, state))
            return Candidate(look, None, state.build, base_version(metadata))
        except (PublishingError, OSError) as error:
            return Candidate(look, sentence_of(error))

    def keep(self, candidate: Candidate, number: int) -> DevelopedRelease | None:
        """Makes the last candidate a version; None: it has the content of the version before.

        Raises: PublishingError, OSError.
        """
        layout = candidate.look.layout
        if layout is None or candidate.build == self._last_build:
            return None
        version = free_version(candidate.base, number, self._is_published)
        release = make_release(self._incoming, self._slug, version, layout.entry)
        self._incoming.rename(self.shared.version_folder(self._slug, version))
        self._last_build = candidate.build
        self._kept = (*self._kept, (version, sum(candidate.look.sizes.values())))
        self._remove_old()
        return release

    def _copy(self, layout: Layout, look: Look) -> None:
        """Raises: PublishingError, if it could not be published either; OSError."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir()
        for prefix, folder in layout.parts.items():
            if any(name.startswith(f"{prefix}/" if prefix else "") for name in look.sizes):
                unpack(folder, self._incoming / prefix, lambda *_: None)
        for name in METADATA_FILES:
            try:
                content = read_regular(layout.metadata_folder / name, MAX_METADATA_BYTES)
            except ValueError as error:
                raise PublishingError(str(error)) from None
            if content is not None:
                (self._incoming / name).write_bytes(content)

    def _remove_old(self) -> None:
        while len(self._kept) > 1 and (
            len(self._kept) > _MOST_COPIES or sum(size for _, size in self._kept) > _MOST_BYTES
        ):
            (version, _), *rest = self._kept
            self._kept = tuple(rest)
            folder = self.shared.version_folder(self._slug, version)
            shutil.rmtree(folder, ignore_errors=True)


def make_release(folder: Path, slug: Slug, version: Version, entry: str) -> DevelopedRelease:
    """From the metadata in a folder. Raises: PublishingError, OSError."""
    return DevelopedRelease(
        version,
        entry,
        row_metadata(folder, slug, is_new=True),
        row_metadata(folder, slug, is_new=False),
        datetime.now(UTC),
    )


def free_version(base: str, number: int, is_published: Callable[[Version], bool]) -> Version:
    """A version that nobody has published."""
    version = Version(f"{base}-dev.{number}")
    while is_published(version):  # somebody's real pre-release
        version = Version(f"{version}.{number}")
    return version


def base_version(metadata: Metadata) -> str:
    """The version that the metadata states. Raises: PublishingError."""
    try:
        return parse_new_version(metadata.get("version") or _NO_VERSION)[:_MOST_CHARACTERS]
    except ValueError as error:
        raise PublishingError(f"plugin.json or package.json: {error}") from None
