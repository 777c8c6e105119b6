"""How does the plugin compare with what is published on this site?"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.bundles.shared_modules import required_singletons
from gateway.bundles.version_ranges import exclude_each_other
from gateway.disk.metadata import entry_file, read_metadata
from gateway.disk.shared_folder import SharedFolder
from gateway.errors import GatewayError, PublishingError
from gateway.lifecycle.unpacking import listed as listed_members
from gateway.lint.contents import MAX_FILE_BYTES, MAX_TEXT_BYTES, Contents
from gateway.lint.findings import Code, Finding, listed
from gateway.names import (
    Slug,
    Version,
    newest_before,
    newest_version,
    parse_asset_path,
    parse_or_none,
    parse_slug,
)

_MOST_GROWTH = 1.5
# A small plugin may double.
_LEAST_GROWTH_BYTES = 50_000


def site_findings(
    contents: Contents, slug: Slug, version: Version, shared: SharedFolder
) -> Iterator[Finding]:
    """Raises: OSError."""
    yield from _conflicts(contents, slug, shared)
    before = newest_before(shared.versions_of(slug), version)
    if before is not None:
        yield from _growth(contents, before, shared.version_folder(slug, before))


def _conflicts(contents: Contents, slug: Slug, shared: SharedFolder) -> Iterator[Finding]:
    required = required_singletons(contents.entry_text)
    if not required:
        return
    conflicts: dict[str, list[str]] = {}
    for name, text in _newest_entries(shared, slug):
        for key, range_ in required_singletons(text).items():
            if key in required and exclude_each_other(required[key], range_):
                conflicts.setdefault(key, []).append(f"{name} ({range_})")
    for key, others in conflicts.items():
        yield Finding(
            Code.SINGLETON_CONFLICT,
            f"it requires the singleton {key} {required[key]}, which excludes that of"
            f" {listed(others)}: a page that shows both gives one of them a version that it does"
            " not support; build for a version that both support",
            [contents.entry or ""],
        )


def _newest_entries(shared: SharedFolder, slug: Slug) -> Iterator[tuple[str, str]]:
    """Slug and version, and the text of the entry, of the other plugins; those that can be read,
    up to a bound."""
    room_bytes = MAX_TEXT_BYTES
    for name in sorted(shared.names()):
        other = parse_or_none(parse_slug, name)
        if other is None or other == slug or room_bytes <= 0:
            continue
        try:
            version = newest_version(shared.versions_of(other))
            text = _entry_text(shared, other, version) if version is not None else ""
        except (GatewayError, OSError, ValueError):  # another's plugin is not judged here
            continue
        room_bytes -= len(text)
        yield f"{other} {version}", text


def _entry_text(shared: SharedFolder, slug: Slug, version: Version) -> str:
    """Raises: GatewayError, OSError, ValueError."""
    entry = entry_file(read_metadata(shared.version_folder(slug, version)))
    if entry is None:
        return ""
    with shared.open_asset(slug, version, parse_asset_path(entry)).file as file:
        return file.read(MAX_FILE_BYTES).decode("utf-8", "replace")


def _growth(contents: Contents, before: Version, folder: Path) -> Iterator[Finding]:
    try:
        with listed_members(folder) as members:
            sizes = {member.name: member.size for member in members}
    except PublishingError:  # another program put there what the gateway would not publish
        return
    entry = contents.entry
    pairs = (
        ("the plugin", _loaded_bytes(contents.sizes), _loaded_bytes(sizes)),
        (f"the entry {entry}", contents.sizes.get(entry or "", 0), sizes.get(entry or "", 0)),
    )
    for what, now_bytes, then_bytes in pairs:
        growth_bytes = now_bytes - then_bytes
        is_much = now_bytes > then_bytes * _MOST_GROWTH and growth_bytes > _LEAST_GROWTH_BYTES
        if then_bytes and is_much:
            percent = round(100 * growth_bytes / then_bytes)
            text = f"{what} has {now_bytes:,} bytes, {percent} % more than in {before}"
            yield Finding(Code.GROWN, f"{text}; look for what the bundler took in")


def _loaded_bytes(sizes: Mapping[str, int]) -> int:
    """Without source maps, which only developers load."""
    return sum(size for name, size in sizes.items() if not name.endswith(".map"))
