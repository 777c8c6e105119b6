"""What is read of a plugin: the names and sizes of its files, its metadata, and its bundle's texts.

Reading is bounded: a bundle may have a gigabyte. Blocking.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.bundles.mf_manifest import MF_MANIFEST
from gateway.disk.metadata import (
    MAX_METADATA_BYTES,
    METADATA_FILES,
    Metadata,
    entry_file,
    parse_metadata,
)
from gateway.errors import PublishingError
from gateway.lifecycle.unpacking import Member, listed, problems, read_start

_TEXT_SUFFIXES = (".js", ".mjs", ".css", ".html")
MAX_FILE_BYTES = 8 << 20
# All patterns over so much text take about a second.
MAX_TEXT_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Contents:
    """A plugin that could be published. Paths are relative and `/`-separated."""

    sizes: Mapping[str, int]
    """Bytes, by path."""
    problems: Sequence[str]
    """Why the files could not be published."""
    stated: Mapping[str, Metadata]
    """What plugin.json and package.json say, by file; a file that cannot be read is missing."""
    unreadable: Sequence[str]
    """Why a file with metadata cannot be read; begins with the file's name."""
    texts: Mapping[str, str]
    """The entry, the scripts, styles and pages in its folder and below, and `mf-manifest.json`
    beside it, by path.
    """
    partly_read: Sequence[str]
    """Texts that are longer than what was read of them."""

    @property
    def metadata(self) -> Metadata:
        return _merged(self.stated)

    @property
    def entry(self) -> str | None:
        """The path of the entry; None if it is on another host."""
        return entry_file(self.metadata)

    @property
    def entry_text(self) -> str:
        """Empty if there is no entry, or not all of it was read."""
        entry = self.entry
        is_whole = entry is not None and entry not in self.partly_read
        return self.texts.get(entry, "") if entry is not None and is_whole else ""

    def text_beside(self, path: str, name: str) -> str:
        """The text of another file, by its name relative to the file at `path`."""
        return self.texts.get(folder_of(path) + name, "")


def folder_of(path: str) -> str:
    """The folder of a file, with a slash at its end; empty for the top."""
    folder, slash, _ = path.rpartition("/")
    return folder + slash


def read_contents(source: Path) -> Contents:
    """Raises: PublishingError, if the source cannot be read as a folder or an archive; OSError."""
    with listed(source) as members:
        stated, unreadable = _metadata(source, members)
        entry = entry_file(_merged(stated))
        read = sorted(_texts(source, members, entry)) if entry is not None else []
        return Contents(
            dict(sorted((member.name, member.size) for member in members)),
            list(problems(members)),
            stated,
            unreadable,
            {name: text for name, text, _ in read},
            [name for name, _, is_whole in read if not is_whole],
        )


def _merged(stated: Mapping[str, Metadata]) -> Metadata:
    """A value in plugin.json wins, as in `read_metadata`."""
    return {key: value for name in METADATA_FILES for key, value in stated.get(name, {}).items()}


def _metadata(source: Path, members: list[Member]) -> tuple[dict[str, Metadata], list[str]]:
    stated, unreadable = {}, []
    for member in members:
        if member.name in METADATA_FILES and member.size <= MAX_METADATA_BYTES:
            content = read_start(source, member, MAX_METADATA_BYTES)
            try:
                stated[member.name] = parse_metadata(member.name, content)
            except PublishingError as error:
                unreadable.append(str(error))
    return stated, unreadable


def _texts(source: Path, members: list[Member], entry: str) -> Iterator[tuple[str, str, bool]]:
    """Name, text, and whether that is all of it; in the order in which reading is fastest."""
    folder, room_bytes = folder_of(entry), MAX_TEXT_BYTES
    for member in members:
        max_bytes = MAX_FILE_BYTES
        if member.name != entry:  # the entry has room of its own
            is_text = member.name.endswith(_TEXT_SUFFIXES) or member.name == folder + MF_MANIFEST
            if not (is_text and member.name.startswith(folder)):
                continue
            room_bytes -= min(member.size, MAX_FILE_BYTES)
            max_bytes = MAX_FILE_BYTES if room_bytes >= 0 else 0
        content = read_start(source, member, max_bytes) if max_bytes else b""
        yield member.name, content.decode("utf-8", "replace"), member.size <= max_bytes
