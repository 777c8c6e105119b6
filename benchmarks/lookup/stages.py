"""The stages of a lookup, each as the gateway runs it, and what they are held against.

A stage measures itself once in each round; rounds go through all stages, so that whatever else
the machine does meets all of them.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import aiosqlite
import anyio
import orjson
from databases import Database
from databases.core import Connection

from benchmarks.lookup.inside import Inside, Nanoseconds, made, received, timed, timed_async
from benchmarks.subjects import Asking
from gateway.caching.basis import AT_HAND, Basis
from gateway.disk.storage import PluginStorage
from gateway.identity.chain import IdentityChain
from gateway.identity.jwt import JwtIdentity
from gateway.names import Target, UserId, parse_target
from gateway.serving.resolver import Resolution

# As tables.py asks; the parameter is written as each driver wants it.
_QUERY = "SELECT id, plugin_slug, version, enabled FROM plugin WHERE user_id = :user"
_QUICK_CALLS, _SLOW_CALLS = 2000, 100


class NotHere(Exception):
    """The stage makes no sense on this site; the text says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    calls: int
    """In each round."""
    measure: Callable[[Inside, Sequence[Asking]], Awaitable[Nanoseconds]]
    """One round, over so many requests. Raises: NotHere."""


async def _clock(_inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    return timed(lambda _asking: None, askings)


async def _identity(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    return _identified(inside.gateway.core.identity, askings)[1]


async def _unknown_token(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    return _identified(IdentityChain([JwtIdentity(inside.gateway.core.settings)]), askings)[0]


def _identified(chain: IdentityChain, askings: Sequence[Asking]) -> tuple[Nanoseconds, Nanoseconds]:
    """Each token twice."""
    first, second = (
        timed(lambda asked: chain.identify(AT_HAND, *asked), received(askings)) for _ in range(2)
    )
    return first, second


async def _parsing(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    return timed(lambda scope: parse_target(inside.below(scope)), made(askings))


async def _resolved(
    inside: Inside, askings: Sequence[Asking]
) -> list[tuple[UserId, Target, Resolution]]:
    resolve = inside.gateway.core.resolver.resolve
    asked = [(asking.user, parse_target(inside.below(asking.scope))) for asking in askings]
    return [(*pair, await Basis().settled(resolve, *pair)) for pair in asked]


async def _resolution(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    resolve = inside.gateway.core.resolver.resolve
    pairs = [(user, target) for user, target, _ in await _resolved(inside, askings)]
    return timed(lambda pair: resolve(AT_HAND, *pair), pairs)


async def _construction(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    keys = [resolution.key for _, _, resolution in await _resolved(inside, askings)]
    storage = inside.gateway.core.storage
    return timed(lambda key: storage.construct_shared_path(key.slug, key.version), keys)


async def _json_read(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    storage = inside.gateway.core.storage
    return timed(storage.read_installations, [asking.user for asking in askings])


async def _json_through_thread(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    get = inside.gateway.core.lookups.installations.get
    inside.forget(askings)
    return await timed_async(get, [asking.user for asking in askings])


async def _query_by_gateway(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    read = inside.gateway.core.database.read_records
    return await timed_async(read, [[asking.user] for asking in askings])


def _parameters(askings: Sequence[Asking]) -> list[dict[str, str]]:
    return [{"user": asking.user} for asking in askings]


async def _query_per_call(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    async with Database(_url(inside)) as database:
        return await timed_async(
            lambda values: database.fetch_all(_QUERY, values), _parameters(askings)
        )


async def _query_held(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    async with (
        Database(_url(inside)) as database,
        database.connection() as held,
    ):
        connection: Connection = held
        return await timed_async(
            lambda values: connection.fetch_all(_QUERY, values), _parameters(askings)
        )


async def _query_aiosqlite(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    async with aiosqlite.connect(_file(inside)) as connection:
        return await timed_async(
            lambda values: connection.execute_fetchall(_QUERY, values), _parameters(askings)
        )


async def _query_sqlite3(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    with closing(sqlite3.connect(_file(inside))) as connection:
        return timed(
            lambda values: connection.execute(_QUERY, values).fetchall(), _parameters(askings)
        )


async def _query_and_read(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    """The least that a cold lookup could do: one query, one file, nothing else."""
    storage = PluginStorage(inside.gateway.core.settings.plugins_dir)
    async with aiosqlite.connect(_file(inside)) as connection:

        async def ask(asking: Asking) -> None:
            await connection.execute_fetchall(_QUERY, {"user": asking.user})
            path = storage.installations_file(asking.user)
            try:
                orjson.loads(path.read_bytes())
            except FileNotFoundError:
                raise NotHere(f"{asking.user} has no {path.name}") from None

        return await timed_async(ask, askings)


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


async def _warm(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    await inside.look_up_all(askings)
    return timed(inside.look_up, received(askings))


async def _cold(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    await inside.look_up_all(askings)
    inside.forget(askings)
    return await timed_async(inside.look_up_waiting, made(askings))


async def _at_once(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    await _warm_send(inside, askings)
    answer = inside.gateway.front.answer_at_once
    if any(answer(*asked) is None for asked in received(askings)):
        raise NotHere("a file is not in memory")
    return timed(lambda asked: answer(*asked), received(askings))


async def _later(inside: Inside, askings: Sequence[Asking]) -> Nanoseconds:
    send = await _warm_send(inside, askings)
    return await timed_async(send, made(askings))


async def _warm_send(
    inside: Inside, askings: Sequence[Asking]
) -> Callable[[dict[str, object]], Awaitable[None]]:
    """The long way of a request, once everything is in memory."""
    statuses: set[object] = set()

    async def discard(message: Any) -> None:
        statuses.add(message.get("status", 200))

    async def send(scope: dict[str, object]) -> None:
        await inside.gateway.front.answer_later(scope, anyio.sleep_forever, discard)  # type: ignore[arg-type]

    for asking in askings:
        await send(asking.scope)
    if statuses != {200}:
        raise NotHere(f"a file was not served: {statuses}")
    return send


LOOKUP_WARM = "lookup, warm"
LOOKUP_COLD = "lookup, both caches cold"
LEAST = "one held aiosqlite query, one file read"

STAGES = (
    Stage("the clock alone", _QUICK_CALLS, _clock),
    Stage("identity, token known", _QUICK_CALLS, _identity),
    Stage("identity, token new (HS256)", _SLOW_CALLS, _unknown_token),
    Stage("URL to target", _QUICK_CALLS, _parsing),
    Stage("resolution, warm", _QUICK_CALLS, _resolution),
    Stage("path construction", _QUICK_CALLS, _construction),
    Stage(LOOKUP_WARM, _QUICK_CALLS, _warm),
    Stage("request answered at once, whole", _QUICK_CALLS, _at_once),
    Stage("request, the long way, whole", _SLOW_CALLS, _later),
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
