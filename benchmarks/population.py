"""Sites of any size: rows and JSON files as an application writes them, a million users' too.

Everything follows from a user's number, so nothing of it is kept in memory, and the same
population is the same on every machine. Written without the gateway's own functions: those
make every write safe, which a site that can be made again does not need.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import orjson

from benchmarks.payload import javascript
from gateway.lifecycle.rows import database_id
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings, load_settings
from gateway.upkeep.site import CONFIG_NAME, make_site

PLUGINS = 500
VERSIONS = (Version("1.0.0"), Version("1.1.0"))
PUBLISHED_VERSIONS = PLUGINS * len(VERSIONS)
ENTRY = "dist/remoteEntry.js"
CHUNK = "dist/chunk.js"

_SLUGS = tuple(Slug(f"Plugin{number:03}") for number in range(PLUGINS))
_SECRET = "of sites that benchmarks make, and of no other"  # noqa: S105
_BATCH = 20_000
_MOMENT = "2026-01-02 03:04:05"
_METADATA = {
    "installation_metadata": {
        "installation_type": "production",
        "source_url": "https://plugins.example/releases",
        "installed_by": "lifecycle_service",
        "installed_at": "2026-01-02T03:04:05Z",
    }
}
_COLUMNS = (
    "id", "plugin_slug", "name", "description", "version", "type", "enabled", "status", "official",
    "scope", "bundle_method", "bundle_location", "is_local", "created_at", "updated_at", "user_id",
)  # fmt: skip
# Steps of a hash: neighbours in number have nothing else in common.
_HASH = 2654435761
_QUANTILES = 4096
# Raised when what is made changes: sites of earlier runs are then made again.
_FORMAT = 2
_MARK = "complete"

Tell = Callable[[int, int], None]
"""Hears how many users are done, of how many."""


@dataclass(frozen=True)
class Population:
    """`users` users with `least` to `most` plugins each: many have few, few have many (1/n²)."""

    users: int
    least: int = 5
    most: int = 50
    plugins: int = PLUGINS
    """How many there are to choose from."""
    file_bytes: int = 2048
    """Of each version's two files, ENTRY and CHUNK."""

    def __str__(self) -> str:
        name = f"{self.users}-users-{self.least}-to-{self.most}"
        if (self.plugins, self.file_bytes) == (PLUGINS, 2048):
            return name
        return f"{name}-of-{self.plugins}-with-{self.file_bytes}-bytes"

    @cached_property
    def _counts(self) -> Sequence[int]:
        """Plugins of a user, by quantile."""
        sizes = range(self.least, self.most + 1)
        weights = [1 / size**2 for size in sizes]
        total, reached = sum(weights), 0.0
        found: list[int] = []
        for size, weight in zip(sizes, weights, strict=True):
            reached += weight
            found += [size] * (round(_QUANTILES * reached / total) - len(found))
        return found

    def user(self, number: int) -> UserId:
        """Ids are spread over all 32 hex digits, and rise with the number."""
        return UserId(f"{number * (2**128 // self.users):032x}")

    def plugins_of(self, number: int) -> list[tuple[Slug, Version]]:
        count = self._counts[number * _HASH % _QUANTILES]
        return [
            # 13 shares no factor with the number of plugins: no slug comes twice. The versions are
            # bits of a hash, so few users hold the same plugins at the same versions.
            (
                _SLUGS[(number * 7 + place * 13) % self.plugins],
                VERSIONS[(number * _HASH >> (place + 9)) % 2],
            )
            for place in range(count)
        ]


class PopulatedSite:
    """The folder of a population."""

    def __init__(self, folder: Path, population: Population) -> None:
        self.folder = folder
        self.population = population
        self.database = folder / "gateway.db"
        self.plugins = folder / "plugins"
        self.secret = _SECRET

    @property
    def environment(self) -> dict[str, str]:
        return {"GATEWAY__IDENTITY__JWT__SECRET": self.secret}

    def settings(self, **changes: str) -> Settings:
        """`changes`: of settings, as in the environment."""
        return load_settings(self.folder / CONFIG_NAME, {**self.environment, **changes})

    def is_complete(self) -> bool:
        mark = self.folder / _MARK
        return mark.exists() and mark.read_text() == _mark(self.population)

    def make(self, tell: Tell = lambda _done, _of: None) -> None:
        """Blocking: about two minutes and 10 GB for a million users. What is there is removed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        anyio.run(make_site, self.folder)
        self._publish()
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            # A site that was not made whole is made again, so nothing needs a journal.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            for start in range(0, self.population.users, _BATCH):
                numbers = range(start, min(start + _BATCH, self.population.users))
                self._write_rows(connection, numbers)
                self._write_files(numbers)
                tell(numbers.stop, self.population.users)
            connection.execute("PRAGMA journal_mode = DELETE")
        (self.folder / _MARK).write_text(_mark(self.population))

    def _publish(self) -> None:
        content = javascript(self.population.file_bytes)
        for slug in _SLUGS[: self.population.plugins]:
            for version in VERSIONS:
                for name in (ENTRY, CHUNK):
                    file = self.plugins / "shared" / slug / f"v{version}" / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(f"/* {slug} {version} {name} */\n".encode() + content)

    def _write_rows(self, connection: sqlite3.Connection, numbers: range) -> None:
        names, places = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO plugin ({names}) VALUES ({places})",  # noqa: S608 (our own names)
            (row for number in numbers for row in _rows(self.population, number)),
        )
        connection.execute("COMMIT")

    def _write_files(self, numbers: range) -> None:
        users = os.fspath(self.plugins / "users")
        for number in numbers:
            folder = f"{users}/user_{self.population.user(number)}"
            os.mkdir(folder)  # noqa: PTH102 (a million times)
            slugs = (slug for slug, _ in self.population.plugins_of(number))
            content = orjson.dumps(dict.fromkeys(slugs, _METADATA))
            with open(f"{folder}/installed_plugins.json", "xb", buffering=0) as file:  # noqa: PTH123
                file.write(content)


def kept_site(
    site_dir: Path, population: Population, tell: Tell = lambda _done, _of: None
) -> PopulatedSite:
    """The population's site below `site_dir`, made where it is not there. Not to be written to."""
    site = PopulatedSite(site_dir / str(population), population)
    if not site.is_complete():
        site.make(tell)
    return site


def sampled(population: Population, count: int) -> Iterator[int]:
    """`count` users at most, spread over all."""
    step = max(1, population.users // count)
    return islice(range(0, population.users, step), count)


def _mark(population: Population) -> str:
    return f"{_FORMAT} {population}\n"


def _rows(population: Population, number: int) -> Iterator[tuple[Any, ...]]:
    user = population.user(number)
    for slug, version in population.plugins_of(number):
        yield (
            *(database_id(user, slug), slug, slug, "made by benchmarks", version, "frontend"),
            *(True, "activated", False, slug, "webpack", ENTRY, True, _MOMENT, _MOMENT, user),
        )
