"""How often the cache knows the answer, by its size and its TTL: the real cache, time injected."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.users import zipf
from gateway.caching.entries import Capacity, Times
from gateway.caching.ttl_cache import TTLCache

USERS = 100_000
PAGES_PER_S = 200
FILES_OF_A_PAGE = 10
SIZES = (100, 1_000, 10_000, 100_000)
TTLS_S = (1.0, 5.0, 10.0, 60.0)


@dataclass(frozen=True, slots=True)
class HitRatio:
    max_entries: int
    ttl_s: float
    ratio: float
    """Of the requests: a page of ten files asks ten times within a moment."""


async def hit_ratios(pages: int) -> Sequence[HitRatio]:
    """Zipf's users ask for pages at an even pace; the first tenth of them warms the cache."""
    return [
        HitRatio(size, ttl_s, await _hit_ratio(size, ttl_s, pages))
        for ttl_s in TTLS_S
        for size in SIZES
    ]


async def _hit_ratio(size: int, ttl_s: float, pages: int) -> float:
    now = 0.0

    async def load(user: int) -> int:
        return user

    cache: TTLCache[int, int] = TTLCache(
        load, times=Times(ttl_s), capacity=Capacity(size), clock=lambda: now
    )
    choose = zipf(USERS)
    warm = (0, 0)
    for page in range(pages):
        if page == pages // 10:
            warm = cache.counters.hits, cache.counters.misses
        user = choose()
        for _ in range(FILES_OF_A_PAGE):
            await cache.get(user)
        now += 1 / PAGES_PER_S
        if page % 100 == 0:
            await asyncio.sleep(0)  # refreshes ahead of time are tasks of their own
    await cache.close()
    hits, misses = cache.counters.hits - warm[0], cache.counters.misses - warm[1]
    return hits / (hits + misses)
