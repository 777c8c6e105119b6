"""The one maker of sites: users with rows, JSON files and published versions, up to a million.

Everything follows from a user's number, so nothing of it is kept in memory, and a population is
the same on every machine. Sites are written without the gateway's own functions: those make every
write safe, which a site that can be made again does not need.
"""

import os
import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

import anyio
import brotli
import orjson

from benchmarks.processes import HOST, Command
from gateway.identity.jwt import issue_token
from gateway.lifecycle.releases import database_id
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings, load_settings
from gateway.upkeep.new_site import CONFIG_NAME, make_site

PLUGINS = 500
VERSIONS = (Version("1.0.0"), Version("1.1.0"))
PUBLISHED_VERSIONS = PLUGINS * len(VERSIONS)
ENTRY = "dist/remoteEntry.js"
CHUNK = "dist/chunk.js"
# Lifetimes so long that no cached value expires during a measurement.
LASTING = {
    **{
        f"GATEWAY__CACHE__{cache}__{setting}": "3600"
        for cache in ("INSTALLATIONS", "VERSIONS")
        for setting in ("TTL", "NEGATIVE_TTL")
    },
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600",
}

_SLUGS = tuple(Slug(f"Plugin{number:03}") for number in range(PLUGINS))
_SECRET = "of sites that benchmarks make, and of no other"  # noqa: S105
_TOKEN_TTL_S = 24 * 3600.0
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
# Multiplier of a hash, so that users with neighbouring numbers have different plugins.
_HASH = 2654435761
_QUANTILES = 4096
# Raise it when the content of sites changes: sites of earlier runs are then made again.
_FORMAT = 2
_MARK = "complete"

_WORDS = [
    "render", "update", "module", "plugin", "config", "user", "state", "value", "index", "result",
    "element", "options", "request", "response", "context", "handler", "provider", "children",
    "theme", "layout", "event", "query", "cache", "store", "version", "listener", "callback",
    "promise", "factory", "column", "border", "label", "margin", "source", "target",
]  # fmt: skip

Environment = Mapping[str, str]
"""Settings as environment variables."""
_NO_SETTINGS: Environment = {}
Tell = Callable[[int, int], None]
"""Called with how many users are done, and of how many."""


@dataclass(frozen=True)
class Population:
    """`users` users with `least` to `most` plugins each: many have few, few have many (1/n²)."""

    users: int
    least: int = 5
    most: int = 50
    plugins: int = PLUGINS
    """How many there are to choose from."""
    file_bytes: int = 2048
    """Size of each version's two files, ENTRY and CHUNK."""

    def __str__(self) -> str:
        name = f"{self.users}-users-{self.least}-to-{self.most}"
        if (self.plugins, self.file_bytes) == (PLUGINS, 2048):
            return name
        return f"{name}-of-{self.plugins}-with-{self.file_bytes}-bytes"

    @cached_property
    def _counts(self) -> Sequence[int]:
        """Number of plugins of a user, by quantile."""
        sizes = range(self.least, self.most + 1)
        weights = [1 / size**2 for size in sizes]
        total, reached = sum(weights), 0.0
        counts: list[int] = []
        for size, weight in zip(sizes, weights, strict=True):
            reached += weight
            counts += [size] * (round(_QUANTILES * reached / total) - len(counts))
        return counts

    @property
    def slugs(self) -> Sequence[Slug]:
        return _SLUGS[: self.plugins]

    def user(self, number: int) -> UserId:
        """Ids are spread over all 32 hex digits, and rise with the number."""
        return UserId(f"{number * (2**128 // self.users):032x}")

    def plugins_of(self, number: int) -> list[tuple[Slug, Version]]:
        return [
            # 13 shares no factor with the number of plugins: no slug comes twice. The versions are
            # bits of a hash, so few users hold the same plugins at the same versions.
            (
                _SLUGS[(number * 7 + place * 13) % self.plugins],
                VERSIONS[(number * _HASH >> (place + 9)) % 2],
            )
            for place in range(self._counts[number * _HASH % _QUANTILES])
        ]

    def sampled(self, users: int) -> Iterator[int]:
        """Numbers of that many users at most, spread over all."""
        step = max(1, self.users // users)
        return islice(range(0, self.users, step), users)


class Site:
    """The folder of a population. A subclass changes what its files are."""

    def __init__(self, folder: Path, population: Population) -> None:
        self.folder = folder
        self.population = population
        self.database = folder / "gateway.db"
        self.plugins = folder / "plugins"
        self.shared = self.plugins / "shared"
        self.secret = _SECRET

    @property
    def environment(self) -> dict[str, str]:
        """Settings that differ from those of the configuration file."""
        return {"GATEWAY__IDENTITY__JWT__SECRET": self.secret}

    def settings(self, **changes: str) -> Settings:
        """`changes`: settings as in the environment."""
        return load_settings(self.folder / CONFIG_NAME, {**self.environment, **changes})

    @cached_property
    def _settings(self) -> Settings:
        return self.settings()

    def token(self, number: int) -> str:
        """A bearer token of the user with that number, for a day."""
        user = self.population.user(number)
        return issue_token(self._settings, user, _TOKEN_TTL_S, time.time())

    def command(self, *arguments: str, settings: Environment = _NO_SETTINGS) -> Command:
        """`gateway …` over this site."""
        config = str((self.folder / CONFIG_NAME).absolute())
        words = (sys.executable, "-m", "gateway", "--config", config, *arguments)
        return Command(words, {**self.environment, **settings})

    def serve_command(
        self, port: int, *options: str, settings: Environment = _NO_SETTINGS
    ) -> Command:
        """`gateway serve …` over this site, with the metrics that measurements read."""
        settings = {"GATEWAY__OBSERVABILITY__METRICS": "true", **settings}
        arguments = ("serve", "--host", HOST, "--port", str(port), *options)
        return self.command(*arguments, settings=settings)

    def is_complete(self) -> bool:
        mark = self.folder / _MARK
        return mark.exists() and mark.read_text() == self._mark

    def make(self, tell: Tell = lambda _done, _total: None) -> None:
        """Blocking: about two minutes and 10 GB for a million users. Removes what is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        anyio.run(make_site, self.folder)
        self._publish()
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            # An incomplete site is made again, so nothing needs a journal.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            for start in range(0, self.population.users, _BATCH):
                numbers = range(start, min(start + _BATCH, self.population.users))
                self._write_rows(connection, numbers)
                self._write_files(numbers)
                tell(numbers.stop, self.population.users)
            connection.execute("PRAGMA journal_mode = DELETE")
        (self.folder / _MARK).write_text(self._mark)

    def _publish(self) -> None:
        """Writes both versions of each plugin."""
        content = javascript(self.population.file_bytes)
        for slug in self.population.slugs:
            for version in VERSIONS:
                for name in (ENTRY, CHUNK):
                    file = self.shared / slug / f"v{version}" / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(f"/* {slug} {version} {name} */\n".encode() + content)

    def _installations(self, number: int) -> bytes | None:
        """Content of the user's installed_plugins.json; None: the user has no such file."""
        slugs = (slug for slug, _ in self.population.plugins_of(number))
        return orjson.dumps(dict.fromkeys(slugs, _METADATA))

    @property
    def _mark(self) -> str:
        return f"{_FORMAT} {self.population}\n"

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
            content = self._installations(number)
            if content is None:
                continue
            folder = f"{users}/user_{self.population.user(number)}"
            os.mkdir(folder)  # noqa: PTH102 (a million times)
            with open(f"{folder}/installed_plugins.json", "xb", buffering=0) as file:  # noqa: PTH123
                file.write(content)


def kept_site(
    site_dir: Path, population: Population, tell: Tell = lambda _done, _total: None
) -> Site:
    """The population's site below `site_dir`; made if it is not there. It must not be changed."""
    site = Site(site_dir / str(population), population)
    if not site.is_complete():
        site.make(tell)
    return site


SMALL = Population(20, 10, 10, plugins=10, file_bytes=8192)
"""Users who all have the same ten plugins."""
USER = 10
"""Number of the user who asks on the site of SMALL."""
SLUG, VERSION = SMALL.plugins_of(USER)[0]
OTHER_SLUG, _ = SMALL.plugins_of(USER)[1]


class SmallSite(Site):
    """The site of SMALL, with files of given sizes in SLUG's VERSION."""

    def __init__(self, folder: Path, sizes_bytes: Collection[int] = ()) -> None:
        """Makes it. `folder` may be there."""
        super().__init__(folder, SMALL)
        self.make()
        self.user = SMALL.user(USER)
        self.bearer = self.token(USER)
        for size_bytes in sizes_bytes:
            file = self._file(size_bytes)
            content = javascript(size_bytes)
            file.write_bytes(content)
            # For servers that want variants beside the file; quality 11 as the gateway encodes.
            coded = brotli.compress(content, quality=11)
            file.with_name(f"{file.name}.br").write_bytes(coded)

    def content(self, size_bytes: int) -> bytes:
        """The file of that size."""
        return self._file(size_bytes).read_bytes()

    def _file(self, size_bytes: int) -> Path:
        return self.shared / SLUG / f"v{VERSION}" / asset_path(size_bytes)


def asset_path(size_bytes: int) -> str:
    """Path of SmallSite's file of that size in its version's folder."""
    return f"dist/{size_bytes // 1024}KiB.js"


def javascript(size_bytes: int) -> bytes:
    """Exactly `size_bytes` of ASCII that compresses as bundled JavaScript does: to a fifth or more.

    The seed is fixed, so runs on different days send the same bytes.
    """
    choose = random.Random(7)  # noqa: S311 (not a secret)
    text = "/* made by benchmarks/sites.py */\n"
    pieces = [text]
    length = len(text)
    for number in count():
        if length >= size_bytes:
            break
        piece = _function(choose, number)
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces).encode()[:size_bytes]


def _function(choose: random.Random, number: int) -> str:
    first, second, third = choose.sample(_WORDS, 3)
    return (
        f"function {first}{second.title()}{number}({first},{second}){{"
        f"if({first}.{third}!=={choose.randrange(1 << 16)})"
        f"return {second}.{choose.choice(_WORDS)}({first},{choose.randrange(1 << 20):#x});"
        f"const {third}={first}.map(e=>e.{choose.choice(_WORDS)}+{choose.random():.5f});"
        f'return{{...{second},{third},key:"{choose.getrandbits(48):012x}"}}}}\n'
    )


def _rows(population: Population, number: int) -> Iterator[tuple[Any, ...]]:
    user = population.user(number)
    for slug, version in population.plugins_of(number):
        yield (
            *(database_id(user, slug), slug, slug, "made by benchmarks", version, "frontend"),
            *(True, "activated", False, slug, "webpack", ENTRY, True, _MOMENT, _MOMENT, user),
        )
