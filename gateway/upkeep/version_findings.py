"""Is a folder in `shared/` what was published? Blocking."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.disk.builds import FolderState, look_at
from gateway.disk.files import is_real_folder
from gateway.disk.metadata import entry_file, read_metadata
from gateway.disk.published_record import read_record
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError
from gateway.names import parse_or_none, parse_slug, parse_version
from gateway.upkeep.findings import Code, Finding, new_finding

_MOST_NAMES = 5


def shared_folders(storage: PluginStorage) -> Iterator[Path]:
    """Every path where a version's folder is expected, and everything in `shared/` that is not
    a plugin's folder."""
    for folder in sorted(storage.shared.path.iterdir()) if storage.shared.path.is_dir() else ():
        if is_real_folder(folder) and parse_or_none(parse_slug, folder.name) is not None:
            yield from sorted(folder.iterdir())
        else:
            yield folder


def version_findings(path: Path) -> list[Finding]:
    slug, version = path.parent.name, path.name.removeprefix("v")
    is_version = path.name.startswith("v") and parse_or_none(parse_version, version) is not None
    if not (is_version and is_real_folder(path)):
        return [new_finding(Code.FOREIGN_NAME, f"{path} is no folder of a version", path=path)]
    about: Any = {"slug": slug, "version": version, "path": path}
    try:
        state = look_at(path, None)
        return [*_drift(path, state, about), *_missing_entry(path, about)] if state else []
    except OSError as error:
        return [new_finding(Code.UNREADABLE_VERSION, f"{path}: {error.strerror}", **about)]


def _drift(path: Path, state: FolderState, about: Any) -> Iterator[Finding]:
    try:
        record = read_record(path)
    except ValueError:
        text = f"{path}: the record of its files is damaged"
        yield new_finding(Code.DRIFTED_CONTENT, text, **about)
        return
    if record is None:
        text = f"{path} has no record of what was published"
        yield new_finding(Code.NO_RECORD, text, **about)
    elif record.build != state.build:
        text = f"{path} is not what was published: {_changes(record.files, state)}"
        yield new_finding(Code.DRIFTED_CONTENT, text, **about)


def _changes(published: Mapping[str, str], state: FolderState) -> str:
    present = {name: digest.hex() for name, digest in state.digests.items()}
    changes = {
        "differ": [
            name for name in published if present.get(name, "") not in ("", published[name])
        ],
        "are missing": [name for name in published if name not in present],
        "were added": [name for name in present if name not in published],
    }
    return "; ".join(f"{_listed(names)} {change}" for change, names in changes.items() if names)


def _missing_entry(path: Path, about: Any) -> Iterator[Finding]:
    try:
        entry = entry_file(read_metadata(path))
    except PublishingError as error:
        yield new_finding(Code.NO_ENTRY_FILE, f"{path}: {error}", **about)
        return
    if entry is not None and not (path / entry).is_file():
        yield new_finding(Code.NO_ENTRY_FILE, f"{path} has no entry file {entry}", **about)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
