"""The stages of a lookup, each as the gateway runs it, and other ways to the same data.

Each round measures every stage once, so that other load on the machine falls on all of them.
To add a stage: a row in STAGES.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiosqlite
import anyio
import orjson
from databases import Database

from benchmarks.client import Request
from benchmarks.lookup.inside import (
    Inside,
    Nanoseconds,
    received,
    scopes,
    timed,
    timed_async,
)
from gateway.caching.basis import AT_HAND, Basis
from gateway.disk.storage import PluginStorage
from gateway.identity.chain import IdentityChain
from gateway.identity.jwt import JwtIdentity
from gateway.names import Target, UserId, parse_target
from gateway.serving.resolver import Resolution

# The columns that the gateway needs, for one user.
_QUERY = "SELECT id, plugin_slug, version, enabled FROM plugin WHERE user_id = :user"
_CALLS, _SLOW_CALLS = 2000, 100


class NotHere(Exception):
    """The stage cannot be measured on this site; the text says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    calls: int
    """In each round."""
    measure: Callable[[Inside, Sequence[Request]], Awaitable[Nanoseconds]]
    """One round over these requests. Raises: NotHere."""


async def _clock(_inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    return timed(lambda _request: None, requests)


async def _identity(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    return _identified(inside.gateway.core.identity, requests)[1]


async def _unknown_token(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    return _identified(IdentityChain([JwtIdentity(inside.gateway.core.settings)]), requests)[0]


def _identified(
    chain: IdentityChain, requests: Sequence[Request]
) -> tuple[Nanoseconds, Nanoseconds]:
    """Times of each token's first and second verification."""
    first, second = (
        timed(lambda item: chain.identify(AT_HAND, *item), received(requests)) for _ in range(2)
    )
    return first, second


async def _parsing(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    return timed(lambda scope: parse_target(inside.below(scope)), scopes(requests))


async def _resolved(
    inside: Inside, requests: Sequence[Request]
) -> list[tuple[UserId, Target, Resolution]]:
    resolve = inside.gateway.core.resolver.resolve
    pairs = [
        (UserId(request.user), parse_target(inside.below(request.scope))) for request in requests
    ]
    return [(*pair, await Basis().settled(resolve, *pair)) for pair in pairs]


async def _resolution(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    resolve = inside.gateway.core.resolver.resolve
    pairs = [(user, target) for user, target, _ in await _resolved(inside, requests)]
    return timed(lambda pair: resolve(AT_HAND, *pair), pairs)


async def _construction(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    keys = [resolution.key for _, _, resolution in await _resolved(inside, requests)]
    storage = inside.gateway.core.storage
    return timed(lambda key: storage.construct_shared_path(key.slug, key.version), keys)


def _users(requests: Sequence[Request]) -> list[UserId]:
    return [UserId(request.user) for request in requests]


async def _json_read(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    storage = inside.gateway.core.storage
    return timed(storage.users.read_installations, _users(requests))


async def _json_through_thread(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    get = inside.gateway.core.lookups.installations.get
    inside.forget(requests)
    return await timed_async(get, _users(requests))


async def _query_by_gateway(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    read = inside.gateway.core.database.read_records
    return await timed_async(read, [[user] for user in _users(requests)])


def _parameters(requests: Sequence[Request]) -> list[dict[str, str]]:
    return [{"user": request.user} for request in requests]


async def _query_per_call(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    async with Database(_url(inside)) as database:
        return await timed_async(partial(database.fetch_all, _QUERY), _parameters(requests))


async def _query_held(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    async with Database(_url(inside)) as database, database.connection() as held:
        return await timed_async(partial(held.fetch_all, _QUERY), _parameters(requests))


async def _query_aiosqlite(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    async with aiosqlite.connect(_file(inside)) as connection:
        return await timed_async(
            partial(connection.execute_fetchall, _QUERY), _parameters(requests)
        )


async def _query_sqlite3(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    with closing(sqlite3.connect(_file(inside))) as connection:
        return timed(
            lambda values: connection.execute(_QUERY, values).fetchall(), _parameters(requests)
        )


async def _query_and_read(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    """The least that a cold lookup could do: one query, one file, nothing else."""
    storage = PluginStorage(inside.gateway.core.settings.plugins_dir)
    async with aiosqlite.connect(_file(inside)) as connection:

        async def ask(request: Request) -> None:
            await connection.execute_fetchall(_QUERY, {"user": request.user})
            path = storage.users.file(UserId(request.user))
            try:
                orjson.loads(path.read_bytes())
            except FileNotFoundError:
                raise NotHere(f"{request.user} has no {path.name}") from None

        return await timed_async(ask, requests)


def _url(inside: Inside) -> str:
    """Absolute: a relative one counts from the configuration, not from here."""
    settings = inside.gateway.core.settings
    if settings.database_dialect == "sqlite":
        return f"sqlite:///{settings.sqlite_file}"
    return settings.database.url


def _file(inside: Inside) -> str:
    settings = inside.gateway.core.settings
    if settings.database_dialect != "sqlite":
        raise NotHere("the database is not SQLite")
    return str(settings.sqlite_file)


async def _warm(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    await inside.look_up_all(requests)
    return timed(inside.look_up, received(requests))


async def _cold(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    await inside.look_up_all(requests)
    inside.forget(requests)
    return await timed_async(inside.look_up_waiting, scopes(requests))


async def _at_once(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    await _warm_send(inside, requests)
    answer = inside.gateway.front.answer_hot
    if any(answer(*item) is None for item in received(requests)):
        raise NotHere("a file is not in memory")
    return timed(lambda item: answer(*item), received(requests))


async def _later(inside: Inside, requests: Sequence[Request]) -> Nanoseconds:
    send = await _warm_send(inside, requests)
    return await timed_async(send, scopes(requests))


async def _warm_send(
    inside: Inside, requests: Sequence[Request]
) -> Callable[[dict[str, object]], Awaitable[None]]:
    """The cold path of a request, once everything is in memory."""
    statuses: set[object] = set()

    async def discard(message: Any) -> None:
        statuses.add(message.get("status", 200))

    async def send(scope: dict[str, object]) -> None:
        await inside.gateway.front.answer_cold(scope, anyio.sleep_forever, discard)  # type: ignore[arg-type]

    for request in requests:
        await send(request.scope)
    if statuses != {200}:
        raise NotHere(f"a file was not served: {statuses}")
    return send


LOOKUP_WARM = "lookup, warm"
LOOKUP_COLD = "lookup, both caches cold"
LEAST = "one held aiosqlite query, one file read"

STAGES = (
    Stage("the clock alone", _CALLS, _clock),
    Stage("identity, token known", _CALLS, _identity),
    Stage("identity, token new (HS256)", _SLOW_CALLS, _unknown_token),
    Stage("URL to target", _CALLS, _parsing),
    Stage("resolution, warm", _CALLS, _resolution),
    Stage("path construction", _CALLS, _construction),
    Stage(LOOKUP_WARM, _CALLS, _warm),
    Stage("request, hot path, whole", _CALLS, _at_once),
    Stage("request, cold path, whole", _SLOW_CALLS, _later),
    Stage("JSON read", _SLOW_CALLS, _json_read),
    Stage("JSON read, in a thread, cached", _SLOW_CALLS, _json_through_thread),
    Stage("query: sqlite3", _SLOW_CALLS, _query_sqlite3),
    Stage("query: aiosqlite, held", _SLOW_CALLS, _query_aiosqlite),
    Stage("query: databases, held", _SLOW_CALLS, _query_held),
    Stage("query: databases, per call", _SLOW_CALLS, _query_per_call),
    Stage("query: the gateway's", _SLOW_CALLS, _query_by_gateway),
    Stage(LEAST, _SLOW_CALLS, _query_and_read),
    Stage(LOOKUP_COLD, _SLOW_CALLS, _cold),
)
