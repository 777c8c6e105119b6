"""What is counted, not timed: queries and file reads of concurrent misses, and hit ratios."""

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.figures import exactly
from benchmarks.lookup.inside import gateway_inside
from benchmarks.open_loop import zipf
from benchmarks.record import Figure, Record, Table
from benchmarks.subjects import Subjects
from gateway.caching.entries import Capacity, Times
from gateway.caching.ttl_cache import TTLCache

CONCURRENT = 10_000
SIZES = (100, 1_000, 10_000, 100_000)
TTLS_S = (1.0, 5.0, 10.0, 60.0)
_USERS = 100_000
_PAGES_PER_S = 200
_FILES_OF_A_PAGE = 10


async def concurrent_misses(subjects: Subjects) -> Counter[str]:
    """10,000 requests of one user, all at once, to a gateway whose caches are empty: how many
    queries reach the database, and how often the user's JSON is opened.

    Run it in a process of its own: an audit hook cannot be removed.
    """
    counted = Counter({"queries": 0, "file reads": 0})
    async with gateway_inside(Subjects(subjects.settings, subjects.chosen[:1])) as inside:
        (request,) = inside.requests
        core = inside.gateway.core
        file = str(core.storage.users.file(subjects.chosen[0].user))
        connection: Any = core.database.tables.connection  # every query of a user goes through it
        fetch = connection.fetch

        def count_opens(event: str, arguments: tuple[Any, ...]) -> None:
            counted["file reads"] += event == "open" and arguments[0] == file

        async def counting_fetch(statement: str, *values: Any) -> Any:
            counted["queries"] += 1
            return await fetch(statement, *values)

        sys.addaudithook(count_opens)
        connection.fetch = counting_fetch
        scopes = [request.scope for _ in range(CONCURRENT)]
        await asyncio.gather(*(inside.look_up_waiting(scope) for scope in scopes))
    return counted


def note_misses(record: Record, counted: Mapping[str, int]) -> None:
    for name, number in counted.items():
        label = f"{CONCURRENT:,} concurrent misses of one user: {name}"
        record.figures.append(Figure(label, "", [number]))
    figures = {name: exactly(number) for name, number in counted.items()}
    record.judge("concurrent_misses", figures)


async def hit_ratios(pages: int) -> Mapping[tuple[float, int], float]:
    """Shares of requests by TTL (seconds) and size (entries), of the gateway's own cache with an
    injected clock. A page asks ten times within a moment.

    Users ask for pages by Zipf's law, evenly in time. The first tenth of the pages warms the cache.
    """
    return {
        (ttl_s, size): await _hit_ratio(size, ttl_s, pages) for ttl_s in TTLS_S for size in SIZES
    }


async def _hit_ratio(size: int, ttl_s: float, pages: int) -> float:
    now = 0.0

    async def load(user: int) -> int:
        return user

    cache: TTLCache[int, int] = TTLCache(
        load, times=Times(ttl_s), capacity=Capacity(size), clock=lambda: now
    )
    choose = zipf(_USERS)
    warm = (0, 0)
    for page in range(pages):
        if page == pages // 10:
            warm = cache.counters.hits, cache.counters.misses
        user = choose()
        for _ in range(_FILES_OF_A_PAGE):
            await cache.get(user)
        now += 1 / _PAGES_PER_S
        if page % 100 == 0:
            await asyncio.sleep(0)  # refreshes ahead of time are tasks of their own
    await cache.close()
    hits, misses = cache.counters.hits - warm[0], cache.counters.misses - warm[1]
    return hits / (hits + misses)


def note_hit_ratios(record: Record, ratios: Mapping[tuple[float, int], float]) -> None:
    title = (
        f"Hit ratio by TTL and max_entries: {_USERS:,} users by Zipf's law,"
        f" {_PAGES_PER_S} pages/s of {_FILES_OF_A_PAGE} files"
    )
    rows = [[f"{ttl_s:g} s", *(f"{ratios[ttl_s, size]:.3f}" for size in SIZES)] for ttl_s in TTLS_S]
    record.tables.append(Table(title, ["ttl", *(f"{size:,}" for size in SIZES)], rows))

    def draw(axes: Any) -> None:
        for ttl_s in TTLS_S:
            points = [ratios[ttl_s, size] for size in SIZES]
            axes.plot(SIZES, points, marker="o", label=f"ttl {ttl_s:g} s")
        axes.set(xscale="log", xlabel="max_entries", ylabel="hits of all lookups", ylim=(0.85, 1))
        axes.legend()

    record.plot("lookup-hit-ratio", "Hit ratio", draw)
