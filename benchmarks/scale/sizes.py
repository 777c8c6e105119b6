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

from benchmarks.client import Request
from benchmarks.figures import Latencies
from benchmarks.lookup.inside import (
    Inside,
    gateway_inside,
    received,
    scopes,
    settle,
    timed,
    timed_async,
)
from benchmarks.open_loop import shuffled, zipf
from benchmarks.scale.quantities import COLD, PURGE, SOFT_PURGE, WARM_FEW, WARM_P50, WARM_P99
from benchmarks.sites import Population, Site
from benchmarks.subjects import made_subjects
from gateway.application import create_app
from gateway.caching.basis import AT_HAND
from gateway.changes import ANYTHING, Change
from gateway.freshness.sqlite import SqliteSource
from gateway.names import UserId

# As many as the caches keep by default.
MOST_WARM = 100_000
# The same number on every site: it shows what the site's size alone does.
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
    measured = Rounds()
    site = Site(folder, population)
    subjects = made_subjects(site, most_warm)
    async with gateway_inside(subjects) as inside:
        requests = shuffled(inside.requests)
        few = requests[:FEW]
        for number in range(rounds):
            warm = await _warm_lookups(inside, few, number)
            measured.add(WARM_FEW.name, warm.percentile_us(50))
        inside.forget(few)
        await _fill(inside, measured)
        for number in range(rounds):
            warm = await _warm_lookups(inside, requests, number)
            measured.add(WARM_P50.name, warm.percentile_us(50))
            measured.add(WARM_P99.name, warm.percentile_us(99))
            measured.add(COLD.name, await _cold_us(inside, requests, number))
            await _measure_purges(inside, requests, measured)
    return measured


async def _fill(inside: Inside, measured: Rounds) -> None:
    """Loads every user; tokens are verified before, so that memory is that of the lookups alone."""
    identify, lookups = inside.gateway.core.identity.identify, inside.gateway.core.lookups
    users = [identify(AT_HAND, *item) for item in received(inside.requests)]
    await settle()
    before = psutil.Process().memory_info().rss
    for start in range(0, len(users), _LOADS_AT_ONCE):
        chunk = users[start : start + _LOADS_AT_ONCE]
        await asyncio.gather(
            *map(lookups.records.get, chunk), *map(lookups.installations.get, chunk)
        )
    await settle()
    grown = psutil.Process().memory_info().rss - before
    measured.warm_users = len(users)
    measured.entry_bytes = grown / len(users)


async def _warm_lookups(inside: Inside, requests: Sequence[Request], number: int) -> Latencies:
    """Lookups of users drawn by Zipf's law, other users in each round."""
    choose = zipf(len(requests), seed=number)
    chosen = [requests[choose()] for _ in range(_WARM_CALLS)]
    await inside.look_up_all(chosen)
    await settle()
    return Latencies(timed(inside.look_up, received(chosen)))


async def _cold_us(inside: Inside, requests: Sequence[Request], number: int) -> float:
    """The median for the rarest users, purged before; others in each round."""
    places = range(number * _COLD_CALLS, (number + 1) * _COLD_CALLS)
    rarest = [requests[-1 - place % len(requests)] for place in places]
    await inside.look_up_all(rarest)
    inside.forget(rarest)
    await settle()
    return Latencies(await timed_async(inside.look_up_waiting, scopes(rarest))).percentile_us(50)


async def _measure_purges(inside: Inside, requests: Sequence[Request], measured: Rounds) -> None:
    apply = inside.gateway.core.invalidation.apply
    changes = [Change(user=UserId(request.user)) for request in requests[:_PURGES]]
    purges = Latencies(timed(apply, changes))
    measured.add(PURGE.name, purges.percentile_us(50))
    soft = Latencies(timed(apply, [ANYTHING] * 10))
    measured.add(SOFT_PURGE.name, soft.percentile_us(50))


@dataclass(slots=True)
class Commits:
    """Commits by another program to a table that is not ours."""

    delays_us: list[float] = field(default_factory=list)
    """Until the gateway has heard."""
    cpu_us: list[float] = field(default_factory=list)
    """CPU time of this process, from the commit until half a second later."""
    anything_changed: int = 0
    """Times that the gateway heard "anything may have changed"."""
    failed: str = ""


async def measure_commits(folder: Path, population: Population, commits: int) -> Commits:
    """The cost of foreign commits, to a table `audit_logs` that is made for it and dropped."""
    site = Site(folder, population)
    settings = site.settings()
    changes: asyncio.Queue[Change] = asyncio.Queue()
    measured = Commits()
    core = create_app(settings).core
    source = SqliteSource(
        settings.sqlite_file,
        settings.freshness.sqlite_poll,
        settings.database.query_timeout,
        core.lookups,
        core.manifests,
    )
    with closing(sqlite3.connect(site.database, isolation_level=None, timeout=30)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS audit_logs (id INTEGER PRIMARY KEY)")
        watching = asyncio.create_task(source.run(changes.put_nowait, lambda: None))
        try:
            await _next_change(changes)
            for _ in range(commits):
                await _one_commit(connection, changes, measured)
        except TimeoutError:
            measured.failed = f"nothing was heard for {_COMMIT_DEADLINE_S:g} s"
            if watching.done():
                measured.failed = f"the source ended: {watching.exception()!r}"
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            connection.execute("DROP TABLE audit_logs")
    return measured


async def _one_commit(
    connection: sqlite3.Connection, changes: "asyncio.Queue[Change]", measured: Commits
) -> None:
    await asyncio.sleep(_COMMIT_PAUSE_S)
    connection.execute("INSERT INTO audit_logs DEFAULT VALUES")
    committed_ns, spent_ns = perf_counter_ns(), process_time_ns()
    change = await _next_change(changes)
    measured.delays_us.append((perf_counter_ns() - committed_ns) / 1000)
    measured.anything_changed += change == ANYTHING
    await asyncio.sleep(_COMMIT_PAUSE_S)
    measured.cpu_us.append((process_time_ns() - spent_ns) / 1000)


async def _next_change(changes: "asyncio.Queue[Change]") -> Change:
    """Raises: TimeoutError."""
    async with asyncio.timeout(_COMMIT_DEADLINE_S):
        return await changes.get()
