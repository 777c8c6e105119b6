"""A site of a realistic size: ten plugins, half of them in use at two versions."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.payload import javascript
from gateway.disk.storage import PluginStorage
from gateway.lifecycle.publishing import publish
from gateway.names import Slug, UserId, Version

_PLUGINS = 10
_VERSIONS = (Version("1.0.0"), Version("1.1.0"))
# A small webpack federation remote: its entry, chunks, styles, pictures; no source maps.
_FILE_BYTES = {
    "dist/remoteEntry.js": 9_000,
    **{
        f"dist/{number}.js": size
        for number, size in enumerate((64_000, 31_000, 18_000, 11_000, 6_500, 4_000, 2_500, 1_200))
    },
    "dist/main.css": 7_000,
    "assets/icon.svg": 1_500,
    "assets/preview.png": 22_000,
}

Tell = Callable[[int, int], None]
"""Hears how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Holding:
    user: UserId
    slug: Slug
    version: Version


def holdings(users: int) -> Iterator[Holding]:
    """Every user has every plugin; of every second plugin every second user is a version behind."""
    for number in range(users):
        for plugin in range(_PLUGINS):
            behind = plugin % 2 == 1 and number % 2 == 1
            slug, version = Slug(f"Plugin{plugin}"), _VERSIONS[0 if behind else 1]
            yield Holding(UserId(f"{number:032x}"), slug, version)


def publish_all(storage: PluginStorage, users: int, scratch: Path) -> Sequence[Path]:
    """Publishes what is held, with its encoded variants; the folders of the versions."""
    for folder in (storage.shared, storage.users, storage.cache):
        folder.mkdir(parents=True)
    held = sorted({(holding.slug, holding.version) for holding in holdings(users)})
    return [publish(storage, _source(scratch, *names)).folder for names in held]


def write_installations(storage: PluginStorage, users: int) -> None:
    slugs: dict[UserId, list[Slug]] = {}
    for holding in holdings(users):
        slugs.setdefault(holding.user, []).append(holding.slug)
    for user, held in slugs.items():
        path = storage.installations_file(user)
        path.parent.mkdir(parents=True)
        metadata = {"installation_type": "production", "installed_at": "2026-01-02T03:04:05Z"}
        path.write_bytes(orjson.dumps({slug: {"installation_metadata": metadata} for slug in held}))


def copy_to_each(storage: PluginStorage, users: int, target: Path, tell: Tell) -> None:
    """The files of each holding, copied into a folder of its user."""
    everything = list(holdings(users))
    for number, holding in enumerate(everything):
        source = storage.construct_shared_path(holding.slug, holding.version)
        shutil.copytree(source, target / holding.user / holding.slug / f"v{holding.version}")
        tell(number + 1, len(everything))


def allocated_bytes(folder: Path) -> int:
    """Disk that the files below the folder take (`st_blocks` counts 512 bytes, POSIX)."""
    return 512 * sum(path.lstat().st_blocks for path in folder.rglob("*"))


def _source(scratch: Path, slug: Slug, version: Version) -> Path:
    folder = scratch / f"{slug}-{version}"
    metadata = {
        "slug": slug,
        "version": version,
        "name": f"{slug} for benchmarks",
        "description": "As large as a small plugin is.",
        "modules": [{"name": f"Board{number}", "config_fields": {}} for number in range(3)],
    }
    folder.mkdir(parents=True)
    (folder / "plugin.json").write_bytes(orjson.dumps(metadata))
    for name, size in _FILE_BYTES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        # Different in each: nothing is shared between versions by chance.
        path.write_bytes(f"/* {slug} {version} {name} */\n".encode() + javascript(size))
    return folder
