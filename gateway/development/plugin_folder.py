"""A developer's folder: which of its files are a build, and what they are called in the version.

The folder is the plugin's, with plugin.json and `dist/`, or the one that the bundler writes, with
plugin.json in it or above it. The metadata says where the entry is, and the entry says where the
bundler writes. A build is the metadata files, what the bundler writes, and `assets/`; sources are
no part of it, so an editor that saves one ends no build. Blocking.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gateway.disk.metadata import METADATA_FILES, Metadata, entry_file, read_metadata
from gateway.errors import PublishingError
from gateway.lifecycle.publishing import stated_slug
from gateway.lifecycle.unpacking import MAX_FILES, is_left_out
from gateway.names import Slug, parse_slug, portable_problem

_ASSETS = "assets"
_LEVELS_ABOVE = 2
"""`build/dist` of a plugin."""

Facts = tuple[str, int, int, int, int]
"""Name, size, times and inode of a file or folder: each change of it changes them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the files of a version come from."""

    metadata_folder: Path
    entry: str
    """In the version."""
    parts: Mapping[str, Path]
    """Folders by what they are called in the version; "" for the version's own folder. The first
    one has the entry."""


@dataclass(frozen=True)
class Look:
    """What the folder held at one moment. Looks that are equal saw the same files."""

    layout: Layout | None
    problem: str | None
    """Why there is no layout."""
    facts: tuple[Facts, ...]

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file, by its name in the version."""
        return {name: size for name, size, *_ in self.facts if not name.endswith("/")}

    @property
    def has_entry(self) -> bool:
        return self.layout is not None and self.sizes.get(self.layout.entry, 0) > 0

    @property
    def changed_at(self) -> float:
        """The last change of a file or folder, by the clock of the disk; seconds since the epoch.

        By the times of inodes: a file may be copied with the time of its original.
        """
        return max((changed_ns for _, _, _, changed_ns, _ in self.facts), default=0) / 1e9


class PluginFolder:
    def __init__(self, folder: Path) -> None:
        self.path = folder.resolve()

    def slug(self) -> Slug:
        """As the metadata says it. Raises: PublishingError, one line that says what is missing."""
        metadata = self.metadata()
        if not stated_slug(metadata):
            raise PublishingError(
                f"{self.path}: no plugin.json in it or above it that names the plugin;"
                " --slug can name it"
            )
        try:
            return parse_slug(stated_slug(metadata))
        except ValueError as error:
            raise PublishingError(f"{self.path}: {error}; --slug can name it") from None

    def metadata(self) -> Metadata:
        """Raises: PublishingError, OSError."""
        return read_metadata(self.metadata_folder())

    def missing(self) -> str:
        """What a first build would bring: the path of the entry."""
        try:
            layout = self.layout()
        except PublishingError as error:
            return str(error)
        prefix, folder = next(iter(layout.parts.items()))
        return str(folder / layout.entry.removeprefix(f"{prefix}/"))

    def look(self) -> Look:
        """Raises: OSError, also when a file vanishes during the look."""
        try:
            layout = self.layout()
            # A set: the bundler may write into the folder of the metadata.
            return Look(layout, None, tuple(sorted(set(_facts(layout)))))
        except PublishingError as error:
            return Look(None, str(error), tuple(_metadata_facts(self.metadata_folder())))

    def layout(self) -> Layout:
        """Raises: PublishingError, if the metadata cannot be read or its entry is no file."""
        folder = self.metadata_folder()
        entry = _entry(folder, read_metadata(folder))
        parts = self._parts(folder, entry)
        if "" not in parts:
            parts.setdefault(_ASSETS, folder / _ASSETS)
        return Layout(folder, entry, parts)

    def metadata_folder(self) -> Path:
        """The nearest with a plugin.json, or else with a package.json, or else the folder."""
        folders = [self.path, *self.path.parents][: _LEVELS_ABOVE + 1]
        for name in reversed(METADATA_FILES):
            for folder in folders:
                if (folder / name).is_file():
                    return folder
        return self.path

    def _parts(self, metadata_folder: Path, entry: str) -> dict[str, Path]:
        written, _, name = entry.rpartition("/")
        if metadata_folder != self.path:
            inside = self.path.relative_to(metadata_folder).as_posix()
            return {inside if entry.startswith(f"{inside}/") else written: self.path}
        if not written or (not (self.path / written).is_dir() and (self.path / name).is_file()):
            return {written: self.path}
        top = entry.partition("/")[0]
        return {top: self.path / top}


def _entry(folder: Path, metadata: Metadata) -> str:
    entry = entry_file(metadata)
    if entry is None:
        raise PublishingError(f"{folder}: bundle_location: the entry is on another host")
    if problem := portable_problem(entry):
        raise PublishingError(f"{folder}: bundle_location {entry!r}: {problem}")
    return entry


def _facts(layout: Layout) -> Iterator[Facts]:
    """Of all that a version would be made of. Raises: PublishingError, if that is too much."""
    count = 0
    yield from _metadata_facts(layout.metadata_folder)
    for prefix, folder in layout.parts.items():
        for facts in _facts_below(prefix, folder):
            count += 1
            if count > MAX_FILES:
                raise PublishingError(f"{folder}: more than {MAX_FILES} files and folders")
            yield facts


def _metadata_facts(folder: Path) -> Iterator[Facts]:
    for name in METADATA_FILES:
        path = folder / name
        if path.is_file():
            yield _facts_of(name, path.stat())


def _facts_below(prefix: str, folder: Path) -> Iterator[Facts]:
    """Names of folders end in a slash. Links below are listed: who copies them refuses them."""
    if folder.is_symlink():
        raise PublishingError(f"{folder}: is a link (links are not taken)")
    if not folder.is_dir():
        return
    names = [f"{prefix}/" if prefix else ""]
    yield _facts_of(names[0] or "/", folder.stat())
    while names:
        below = names.pop()
        with os.scandir(folder / below.removeprefix(f"{prefix}/")) as entries:
            for entry in entries:
                name = below + entry.name
                if is_left_out(entry.name):  # its folders are none
                    continue
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    name += "/"
                    names.append(name)
                yield _facts_of(name, facts)


def _facts_of(name: str, facts: os.stat_result) -> Facts:
    size = 0 if name.endswith("/") else facts.st_size
    return (name, size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
