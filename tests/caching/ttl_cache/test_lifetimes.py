"""How long a value answers while its source works."""

import asyncio
import gc
import random
from typing import Any

import pytest

from gateway.caching.entries import Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from tests.support.ttl_caches import (
    NEGATIVE_TTL_S,
    STALE_S,
    TTL_S,
    Clock,
    Setup,
    Source,
    SourceError,
    in_loop,
    quiet,
)

# Freshness and refresh


@pytest.mark.parametrize(
    ("age_s", "loads"),
    [(0.0, 1), (TTL_S * 0.7, 1), (TTL_S, 2), (TTL_S + STALE_S, 2), (1e6, 2)],
)
@in_loop
async def test_a_value_is_used_for_its_ttl(age_s: float, loads: int) -> None:
    setup = Setup()
    await setup.filled("old")
    setup.source.value = "new"
    setup.clock.advance(age_s)
    assert await setup.get() == ("old" if loads == 1 else "new")
    assert setup.loads == loads


@in_loop
async def test_a_cache_told_nothing_else_keeps_no_value_past_its_ttl() -> None:
    clock, source = Clock(), Source()
    cache: TTLCache[str, Any] = TTLCache(
        source.load, times=Times(TTL_S), capacity=Capacity(2), clock=clock
    )
    for value in ("first", None):
        source.value = value
        source.recover()
        assert await cache.get("k") is value
        clock.advance(TTL_S * 0.6)
        assert await cache.get("k") is value
        clock.advance(TTL_S * 0.4)
        source.fail()
        with pytest.raises(SourceError):
            await cache.get("k")
    assert (cache.counters.hits, cache.counters.negative_hits) == (2, 0)


@in_loop
async def test_shortly_before_the_end_one_refresh_runs_and_callers_do_not_wait() -> None:
    setup = Setup()
    await setup.filled("old")
    setup.clock.advance(TTL_S * 0.95)
    setup.source.value = "new"
    setup.source.close_gate()
    assert [await setup.get() for _ in range(100)] == ["old"] * 100
    await quiet()
    assert (setup.loads, setup.counters.hits, setup.counters.misses) == (2, 100, 1)
    setup.source.open_gate()
    await quiet()
    assert await setup.get() == "new"
    assert setup.loads == 2


@in_loop
async def test_a_caller_after_the_end_joins_the_refresh_that_runs() -> None:
    setup = Setup()
    await setup.filled("old")
    setup.clock.advance(TTL_S * 0.95)
    setup.source.value = "new"
    setup.source.close_gate()
    await setup.get()
    setup.clock.advance(TTL_S)
    caller = await setup.start_get()
    setup.source.open_gate()
    assert await caller == "new"
    assert setup.loads == 2


@in_loop
async def test_the_age_of_a_value_counts_from_the_start_of_its_load() -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.clock.advance(TTL_S - 1)
    setup.source.open_gate()
    await caller
    setup.source.value = "new"
    setup.clock.advance(1)
    assert await setup.get() == "new"


@in_loop
async def test_a_load_that_outlasts_the_ttl_answers_its_callers_and_nobody_after() -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.clock.advance(TTL_S + STALE_S + 1)
    setup.source.open_gate()
    assert await caller == "first"
    setup.source.value = "new"
    assert await setup.get() == "new"


@in_loop
async def test_a_failing_refresh_leaves_the_fresh_value_and_is_no_complaint_of_the_loop() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S * 0.95)
    setup.source.fail()
    assert await setup.get() == "first"
    await quiet()
    assert await setup.get() == "first"
    await quiet()
    gc.collect()
    assert (setup.loads, setup.counters.load_errors) == (2, 1)


# Negative answers


@in_loop
async def test_known_to_be_missing_is_a_value_and_kept_for_the_negative_ttl() -> None:
    setup = Setup()
    await setup.filled(None)
    setup.clock.advance(NEGATIVE_TTL_S * 0.9)
    setup.source.value = "installed"
    assert await setup.get() is None
    assert (setup.loads, setup.counters.negative_hits, setup.counters.hits) == (1, 1, 0)
    setup.clock.advance(NEGATIVE_TTL_S * 0.1)
    assert await setup.get() == "installed"


@in_loop
async def test_a_negative_answer_does_not_stand_in_when_the_source_fails() -> None:
    setup = Setup()
    await setup.filled(None)
    setup.clock.advance(NEGATIVE_TTL_S)
    setup.source.fail()
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_a_value_that_went_missing_is_replaced_by_the_negative_answer() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S)
    setup.source.value = None
    assert await setup.get() is None
    setup.source.fail()
    setup.clock.advance(NEGATIVE_TTL_S)
    with pytest.raises(SourceError):
        await setup.get()


# Callers with a maximum age


@pytest.mark.parametrize(
    ("age_s", "max_age_s", "expected"),
    [
        (0.0, 0.0, "old"),
        (1.0, 1.0, "old"),
        (1.0, 2.0, "old"),
        (1.5, 1.0, "new"),
        (0.1, 0.0, "new"),
        (5.0, None, "old"),
        (TTL_S, 100.0, "new"),
    ],
)
@in_loop
async def test_a_caller_may_ask_for_a_younger_value(
    age_s: float, max_age_s: float | None, expected: str
) -> None:
    setup = Setup()
    await setup.filled("old")
    setup.source.value = "new"
    setup.clock.advance(age_s)
    assert await setup.get(max_age_s=max_age_s) == expected
    assert await setup.get() == expected


@in_loop
async def test_an_older_value_stands_in_for_a_younger_one_when_the_source_fails() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(2.0)
    assert await setup.get(max_age_s=1.0) == "first"
    assert setup.counters.stale_hits == 1


# Jitter


@in_loop
async def test_lifetimes_are_spread_within_the_jitter_and_never_beyond_the_ttl() -> None:
    random.seed(1)
    setup = Setup(jitter=0.2, max_size=1000)
    for number in range(300):
        await setup.get(str(number))
    lifetimes_s = []
    for number in range(300):
        entry = setup.cache.peek(str(number))
        assert entry is not None
        lifetimes_s.append(entry.fresh_until - setup.clock())
        assert setup.clock() < entry.refresh_at < entry.fresh_until
    assert min(lifetimes_s) >= TTL_S * 0.8
    assert max(lifetimes_s) <= TTL_S
    assert max(lifetimes_s) - min(lifetimes_s) > TTL_S * 0.15


# TTL zero


@in_loop
async def test_with_ttl_zero_every_later_caller_asks_again() -> None:
    setup = Setup(ttl_s=0.0)
    for value in ("a", "b", "c"):
        await setup.filled(value)
    assert setup.loads == 3


@pytest.mark.parametrize("value", ["first", None])
@in_loop
async def test_with_ttl_zero_callers_that_wait_together_share_one_load(value: str | None) -> None:
    setup = Setup(ttl_s=0.0, negative_ttl_s=0.0)
    setup.source.value = value
    setup.source.close_gate()
    callers = [asyncio.create_task(setup.get()) for _ in range(1000)]
    await quiet()
    setup.source.open_gate()
    assert set(await asyncio.gather(*callers)) == {value}
    assert setup.loads == 1


@in_loop
async def test_with_ttl_zero_the_last_value_still_stands_in_when_the_source_fails() -> None:
    setup = Setup(ttl_s=0.0)
    await setup.filled()
    setup.source.fail()
    assert await setup.get() == "first"
    setup.clock.advance(STALE_S)
    with pytest.raises(SourceError):
        await setup.get()
