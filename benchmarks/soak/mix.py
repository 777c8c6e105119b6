"""The load of a soak: kinds of requests, clients that are slow or leave, and changes."""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from benchmarks.client import Request, read_head
from benchmarks.open_loop import NO_ANSWER, shuffled, zipf
from benchmarks.processes import HOST
from benchmarks.sites import VERSIONS, Site
from benchmarks.subjects import Subjects
from gateway.disk.files import write_atomically
from gateway.disk.storage import PluginStorage
from gateway.names import Slug, UserId

BIG_PATH = "dist/big.js"
BIG_BYTES = 4 * 2**20

_HOSTILE = (
    "%2e%2e/%2e%2e/secret.js", "..%2f..%2fgateway.db", "dist/%00.js", "dist/..%5cgateway.db",
    ".git/config.json", "dist/nowhere.js", "dist/" + "a" * 300 + ".js", "dist/remoteEntry.py",
    "dist//remoteEntry.js", "@9.9.9~0123456789abcdef/x.js",
)  # fmt: skip
# How often each kind of request comes, in percent.
_WEIGHTS = {"file": 80, "manifest": 6, "cold": 6, "hostile": 5, "stranger": 3}
EXPECTED: Mapping[str, frozenset[int]] = {
    # 404: the plugin was revoked a moment ago.
    "file": frozenset({200, 404}),
    "manifest": frozenset({200}),
    "cold": frozenset({200, 404}),
    "hostile": frozenset({400, 403, 404, 410}),
    "stranger": frozenset({401}),
}
_SLOW_PAUSE_S = 0.05
_SLOW_BYTES = 64 * 2**10
_CHANGES_EVERY_S = 0.5
_UPDATE = "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = ?"


@dataclass(frozen=True, slots=True)
class Mix:
    """Requests of some users, ready to be sent."""

    files: Sequence[Request]
    manifests: Sequence[bytes]

    def choose(self, seed: int = 3) -> Callable[[], tuple[str, bytes]]:
        """Draws the kind of a request, and the request."""
        source = random.Random(seed)  # noqa: S311 (no secret)
        # Half of the users come often; of the others each request may be the first.
        regulars = len(self.files) // 2
        rank = zipf(regulars, seed)
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())

        def next_request() -> tuple[str, bytes]:
            (kind,) = source.choices(kinds, weights)
            file = self.files[rank()]
            if kind == "manifest":
                return kind, self.manifests[rank()]
            if kind == "cold":
                file = self.files[source.randrange(regulars, len(self.files))]
            elif kind == "hostile":
                return kind, _hostile_request(file, source.choice(_HOSTILE))
            elif kind == "stranger":
                return kind, file.raw.replace(b"Bearer ", b"Bearer x", 1)
            return kind, file.raw

        return next_request


def make_mix(subjects: Subjects) -> Mix:
    files = shuffled(subjects.request(subject) for subject in subjects.chosen)
    path = f"{subjects.settings.http.api_prefix}/plugins/manifest"
    return Mix(files, [Request(path, file.headers).raw for file in files])


def _hostile_request(file: Request, path: str) -> bytes:
    folder, _, _ = file.path.rpartition("/dist/")
    return Request(f"{folder}/{path}", file.headers).raw


async def read_slowly(port: int, request: bytes) -> int:
    """A client on a bad line: 64 KiB twenty times a second. The status of its answer."""
    async with _connection(port) as (reader, writer):
        writer.write(request)
        status, left = await read_head(reader)
        while left > 0:
            received = await reader.read(min(left, _SLOW_BYTES))
            if not received:
                return NO_ANSWER
            left -= len(received)
            await asyncio.sleep(_SLOW_PAUSE_S)
        return status


async def abort(port: int, request: bytes) -> int:
    """A client that leaves in the middle of the file. The status of its answer."""
    async with _connection(port) as (reader, writer):
        writer.write(request)
        status, _ = await read_head(reader)
        await reader.read(_SLOW_BYTES)
        writer.transport.abort()
        return status


@asynccontextmanager
async def _connection(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port, limit=_SLOW_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()


async def keep_changing(
    site: Site, plugins: Sequence[tuple[UserId, Slug]], changes: Counter[str]
) -> None:
    """Changes the site as an application does, until it is cancelled. Counts in `changes`.

    Every half second it makes an update or a revocation, which a later one undoes.
    """
    source = random.Random(5)  # noqa: S311 (no secret)
    storage = PluginStorage(site.plugins)
    with closing(sqlite3.connect(site.database, isolation_level=None, timeout=10)) as connection:
        while True:
            await asyncio.sleep(_CHANGES_EVERY_S)
            user, slug = source.choice(plugins)
            if source.random() < 0.5:
                connection.execute(_UPDATE, (source.choice(VERSIONS), user, slug))
                changes["updates"] += 1
            else:
                await asyncio.to_thread(_toggle, storage, user, slug)
                changes["revocations and returns"] += 1


def _toggle(storage: PluginStorage, user: UserId, slug: Slug) -> None:
    file = storage.users.file(user)
    content = json.loads(file.read_bytes())
    if slug in content:
        del content[slug]
    else:
        content[slug] = {}
    write_atomically(file, json.dumps(content).encode())
