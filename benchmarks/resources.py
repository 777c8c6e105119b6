"""`python -m benchmarks resources`: what sharing versions saves, of memory and of disk.

Memory is that of the objects that know a version: the index of its files with their digests, and
its metadata. tracemalloc counts every allocation of Python, in a process of its own.
"""

import gc
import shutil
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.processes import in_fresh_process
from benchmarks.record import Figure, Table
from benchmarks.sites import VERSIONS, Population, Site, Tell, javascript
from gateway.caching.basis import Basis
from gateway.disk.builds import look_at
from gateway.disk.published_record import read_integrity
from gateway.disk.storage import PluginStorage
from gateway.lifecycle.publishing import publish
from gateway.names import Slug, UserId, Version
from gateway.serving.shared_versions import SharedVersion, SharedVersions

PLUGINS = 10
PUBLISHED = 15
_PROMISED_USERS = 1_000
_NEVER_AGAIN_S = 24 * 3600.0
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

Holding = tuple[UserId, Slug, Version]


class Holders(Population):
    """All users have all plugins; every second plugin is in use at two versions."""

    def __init__(self, users: int) -> None:
        super().__init__(users, PLUGINS, PLUGINS, plugins=PLUGINS)

    def plugins_of(self, number: int) -> list[tuple[Slug, Version]]:
        """Every second user is a version behind in every second plugin."""
        return [
            (slug, VERSIONS[0 if place % 2 and number % 2 else 1])
            for place, slug in enumerate(self.slugs)
        ]

    def holdings(self) -> Iterator[Holding]:
        for number in range(self.users):
            for slug, version in self.plugins_of(number):
                yield self.user(number), slug, version


class PublishedSite(Site):
    """Versions as `gateway publish` makes them, with their metadata and encoded variants."""

    def _publish(self) -> None:
        storage = PluginStorage(self.plugins)
        sources = self.folder / "sources"
        pairs = {pair for number in range(2) for pair in self.population.plugins_of(number)}
        for slug, version in sorted(pairs):
            publish(storage, _source(sources, slug, version))
        shutil.rmtree(sources)


def _source(folder: Path, slug: Slug, version: Version) -> Path:
    folder = folder / f"{slug}-{version}"
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
        # Each file is different, so that versions share nothing by chance.
        path.write_bytes(f"/* {slug} {version} {name} */\n".encode() + javascript(size))
    return folder


@benchmark(Plan(quick="A few seconds, to see that it works."))
@click.option("--users", type=click.IntRange(1), help="Who have every plugin; 1,000, quick 50.")
def resources(run: Run, users: int | None) -> None:
    """Memory and disk of shared versions, against those of a copy for each user.

    Both are measured: objects are loaded and counted, files are copied and their blocks added
    up. 1,000 users take a minute and 2 GB of disk for as long.
    """
    holders = Holders(users or (50 if run.quick else _PROMISED_USERS))
    run.describe(users=holders.users)
    run.show("publishing")
    site = PublishedSite(run.folder / "site", holders)
    site.make()
    run.show("loading objects")
    core, arguments = run.cores.server, (site.plugins, holders.users)
    memory = [in_fresh_process(core, count, *arguments) for count in (shared_bytes, own_bytes)]
    run.show("copying files")
    copies = run.folder / "copies"
    copy_to_each(site, copies, run.tell)
    # The shared side counts all that it keeps: encoded variants and the users' JSON too.
    disk = [allocated_bytes(site.plugins), allocated_bytes(copies)]
    rows = [
        _note(run, holders, "shared_memory", "lifecycle managers in memory", memory, "KiB"),
        _note(run, holders, "shared_disk", "files on disk", disk, "MiB"),
    ]
    columns = ("", "shared", "for each user", "saved")
    run.record.tables.append(Table(f"{holders.users:,} users with ten plugins each", columns, rows))


def _note(
    run: Run, holders: Holders, key: str, name: str, sizes_bytes: Sequence[int], unit: str
) -> Sequence[str]:
    """The row of the table. sizes_bytes: shared, and for each user."""
    divisor = 1024 if unit == "KiB" else 2**20
    shared, own = (size / divisor for size in sizes_bytes)
    saved = Figure(f"{name}: saved by sharing", "of 1", [1 - shared / own], more_is_better=True)
    run.record.figures += [
        saved,
        Figure(f"{name}: shared", unit, [shared]),
        Figure(f"{name}: for each user", unit, [own]),
    ]
    few = holders.users < _PROMISED_USERS
    doubt = f"promised of {_PROMISED_USERS:,} users" if few else ""
    case = f"{holders.users:,} users, {PUBLISHED} versions"
    run.record.judge(key, {case: saved.spread}, doubt=doubt)
    sizes = (f"{shared:,.1f} {unit}", f"{own:,.1f} {unit}")
    return (name, *sizes, f"{100 * saved.rounds[0]:.2f} %")


def copy_to_each(site: Site, target: Path, tell: Tell) -> None:
    """Copies the files of each holding into a folder of its user."""
    population = site.population
    for number in range(population.users):
        for slug, version in population.plugins_of(number):
            source = site.shared / slug / f"v{version}"
            shutil.copytree(source, target / population.user(number) / slug / f"v{version}")
        tell(number + 1, population.users)


def allocated_bytes(folder: Path) -> int:
    """Disk that the files below the folder take (`st_blocks` counts 512 bytes, POSIX)."""
    return 512 * sum(path.lstat().st_blocks for path in folder.rglob("*"))


async def shared_bytes(plugins: Path, users: int) -> int:
    """Memory of one object for each version, as the gateway has them."""
    storage = PluginStorage(plugins)
    versions = SharedVersions(storage, None, _NEVER_AGAIN_S)
    # The first use starts threads and imports modules: that is no memory of the objects.
    _, slug, version = next(Holders(users).holdings())
    await Basis().settled(SharedVersions(storage, None, 0.0).get, slug, version)

    async def load(slug: Slug, version: Version) -> SharedVersion | None:
        return await Basis().settled(versions.get, slug, version)

    return await _bytes_of(load, users)


async def own_bytes(plugins: Path, users: int) -> int:
    """Memory of one object for each user and plugin, each loaded by itself."""
    storage = PluginStorage(plugins)

    async def load(slug: Slug, version: Version) -> SharedVersion | None:
        folder = storage.construct_shared_path(slug, version)
        state = look_at(folder, None)
        if state is None:
            return None
        integrity = read_integrity(folder, state)
        return SharedVersion(slug, version, folder, state, None, integrity, None)

    return await _bytes_of(load, users)


async def _bytes_of(
    load: Callable[[Slug, Version], Awaitable[SharedVersion | None]], users: int
) -> int:
    """Memory of what `load` returns for all holdings of the users, with the metadata."""
    holdings = Holders(users).holdings
    loaded: list[SharedVersion | None] = [None] * sum(1 for _ in holdings())
    with _tracing_memory() as allocated:
        for place, (_, slug, version) in enumerate(holdings()):
            shared = loaded[place] = await load(slug, version)
            if shared is not None:
                _ = shared.metadata
        return allocated()


@contextmanager
def _tracing_memory() -> Iterator[Callable[[], int]]:
    """Gives a function that returns the bytes which the block has allocated and still holds."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    def allocated() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    try:
        yield allocated
    finally:
        tracemalloc.stop()
