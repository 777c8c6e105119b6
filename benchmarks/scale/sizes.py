"""What is measured at each size, in a process of its own. Times are in microseconds.

A gateway with as many users as may be warm at once: all of the site's, up to the 100,000 that
the caches keep by default.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns, process_time_ns

import psutil

from benchmarks.lookup.inside import (
    Inside,
    gateway_inside,
    made,
    received,
    settle,
    timed,
    timed_async,
)
from benchmarks.percentiles import Latencies
from benchmarks.population import PopulatedSite, Population
from benchmarks.subjects import Asking, made_subjects
from benchmarks.users import shuffled, zipf
from gateway.application import create_app
from gateway.caching.basis import AT_HAND
from gateway.changes import ANYTHING, Change
from gateway.freshness.sqlite import SqliteSource

# As many as the caches keep by default.
MOST_WARM = 100_000
# Of every site the same: what the site's size alone does.
FEW = 1_000
_WARM_CALLS = 5_000
_COLD_CALLS = 200
_PURGES = 200
_LOADS_AT_ONCE = 8
# A commit every half second: several polls lie between two of them.
_COMMIT_PAUSE_S = 0.5
_COMMIT_DEADLINE_S = 30.0


@dataclass(slots=True)
class Rounds:
    """Figures of a size, by name; one number for each round."""

    us: dict[str, list[float]] = field(default_factory=dict)
    warm_users: int = 0
    entry_bytes: float = 0.0
    """Memory of the process for each user that both caches hold."""

    def add(self, name: str, microseconds: float) -> None:
        self.us.setdefault(name, []).append(microseconds)


async def measure_size(folder: Path, population: Population, rounds: int, most_warm: int) -> Rounds:
    """Lookups, purges and memory."""
    found = Rounds()
    site = PopulatedSite(folder, population)
    subjects = made_subjects(site, most_warm)
    async with gateway_inside(subjects) as inside:
        askings = shuffled(inside.askings)
        few = askings[:FEW]
        for number in range(rounds):
            warm = await _warm_lookups(inside, few, number)
            found.add("warm lookup, 1,000 warm, p50", warm.percentile_us(50))
        inside.forget(few)
        await _fill(inside, found)
        for number in range(rounds):
            warm = await _warm_lookups(inside, askings, number)
            found.add("warm lookup, p50", warm.percentile_us(50))
            found.add("warm lookup, p99", warm.percentile_us(99))
            found.add("cold lookup, p50", await _cold_us(inside, askings, number))
            await _measure_purges(inside, askings, found)
    return found


async def _fill(inside: Inside, found: Rounds) -> None:
    """Everyone asks once; the tokens are remembered before memory is measured."""
    identify, lookups = inside.gateway.core.identity.identify, inside.gateway.core.lookups
    users = [identify(AT_HAND, *asked) for asked in received(inside.askings)]
    await settle()
    before = psutil.Process().memory_info().rss
    for start in range(0, len(users), _LOADS_AT_ONCE):
        chunk = users[start : start + _LOADS_AT_ONCE]
        await asyncio.gather(
            *map(lookups.records.get, chunk), *map(lookups.installations.get, chunk)
        )
    await settle()
    grown = psutil.Process().memory_info().rss - before
    found.warm_users = len(users)
    found.entry_bytes = grown / len(users)


async def _warm_lookups(inside: Inside, askings: Sequence[Asking], number: int) -> Latencies:
    """By Zipf's law, other users in each round."""
    choose = zipf(len(askings), seed=number)
    asked = [askings[choose()] for _ in range(_WARM_CALLS)]
    await inside.look_up_all(asked)
    await settle()
    return Latencies(timed(inside.look_up, received(asked)))


async def _cold_us(inside: Inside, askings: Sequence[Asking], number: int) -> float:
    """The median of the rarest users, purged before; others in each round."""
    places = range(number * _COLD_CALLS, (number + 1) * _COLD_CALLS)
    rarest = [askings[-1 - place % len(askings)] for place in places]
    await inside.look_up_all(rarest)
    inside.forget(rarest)
    await settle()
    return Latencies(await timed_async(inside.look_up_waiting, made(rarest))).percentile_us(50)


async def _measure_purges(inside: Inside, askings: Sequence[Asking], found: Rounds) -> None:
    apply = inside.gateway.core.invalidation.apply
    changes = [Change(user=asking.user) for asking in askings[:_PURGES]]
    purges = Latencies(timed(apply, changes))
    found.add("purge of one user, p50", purges.percentile_us(50))
    soft = Latencies(timed(apply, [ANYTHING] * 10))
    found.add("soft purge of everything, p50", soft.percentile_us(50))


@dataclass(slots=True)
class Commits:
    """Commits by another program to a table that is not ours."""

    delays_us: list[float] = field(default_factory=list)
    """Until the gateway has heard."""
    cpu_us: list[float] = field(default_factory=list)
    """Of this process, from the commit until half a second later."""
    told_anything: int = 0
    """Times that the gateway heard "anything may have changed"."""
    failed: str = ""


async def measure_commits(folder: Path, population: Population, commits: int) -> Commits:
    """What one foreign commit costs, to a table `audit_logs` that is made for it and dropped."""
    site = PopulatedSite(folder, population)
    settings = site.settings()
    told: asyncio.Queue[Change] = asyncio.Queue()
    found = Commits()
    source = SqliteSource(
        settings.sqlite_file,
        settings.freshness.sqlite_poll,
        settings.database.query_timeout,
        create_app(settings).core.lookups,
    )
    with closing(sqlite3.connect(site.database, isolation_level=None, timeout=30)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS audit_logs (id INTEGER PRIMARY KEY)")
        listening = asyncio.create_task(source.run(told.put_nowait, lambda: None))
        try:
            await _next_news(told, listening)
            for _ in range(commits):
                await _one_commit(connection, told, listening, found)
        except (TimeoutError, SourceEnded) as error:
            found.failed = str(error) or f"nothing was heard for {_COMMIT_DEADLINE_S:g} s"
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            connection.execute("DROP TABLE audit_logs")
    return found


class SourceEnded(Exception):
    """The freshness source gave up; the text says why."""


async def _one_commit(
    connection: sqlite3.Connection,
    told: "asyncio.Queue[Change]",
    listening: "asyncio.Task[None]",
    found: Commits,
) -> None:
    await asyncio.sleep(_COMMIT_PAUSE_S)
    connection.execute("INSERT INTO audit_logs DEFAULT VALUES")
    committed_ns, spent_ns = perf_counter_ns(), process_time_ns()
    change = await _next_news(told, listening)
    found.delays_us.append((perf_counter_ns() - committed_ns) / 1000)
    found.told_anything += change == ANYTHING
    await asyncio.sleep(_COMMIT_PAUSE_S)
    found.cpu_us.append((process_time_ns() - spent_ns) / 1000)


async def _next_news(told: "asyncio.Queue[Change]", listening: "asyncio.Task[None]") -> Change:
    """Raises: TimeoutError, SourceEnded."""
    news = asyncio.create_task(told.get())
    done, _ = await asyncio.wait(
        {news, listening}, timeout=_COMMIT_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED
    )
    if news in done:
        return news.result()
    news.cancel()
    if listening in done:
        raise SourceEnded(f"the source ended: {listening.exception()!r}")
    raise TimeoutError
