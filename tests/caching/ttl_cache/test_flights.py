"""Callers who miss one key at the same time share one load."""

import asyncio
import gc

import pytest

from tests.support.ttl_caches import (
    TTL_S,
    Setup,
    SourceError,
    in_loop,
    invalidate,
    quiet,
)

# Single flight


@pytest.mark.slow
@in_loop
async def test_ten_thousand_callers_of_one_key_cause_one_load() -> None:
    setup = Setup()
    setup.source.close_gate()
    callers = [asyncio.create_task(setup.get()) for _ in range(10_000)]
    await quiet()
    assert not any(caller.done() for caller in callers)
    setup.source.open_gate()
    assert set(await asyncio.gather(*callers)) == {"first"}
    assert setup.loads == setup.counters.loads == 1
    assert setup.counters.misses == 10_000


@in_loop
async def test_different_keys_are_loaded_beside_each_other() -> None:
    setup = Setup()
    setup.source.close_gate()
    await setup.start_get("a")
    await setup.start_get("b")
    assert setup.source.running == 2
    setup.source.open_gate()
    await quiet()


@in_loop
async def test_a_caller_that_comes_after_the_load_is_a_hit() -> None:
    setup = Setup()
    await setup.filled()
    assert await setup.get() == "first"
    assert (setup.counters.misses, setup.counters.hits, setup.loads) == (1, 1, 1)


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 2], [0, 1]])
@in_loop
async def test_a_cancelled_caller_cancels_nobody_else(cancelled: list[int]) -> None:
    setup = Setup()
    setup.source.close_gate()
    callers = [await setup.start_get() for _ in range(3)]
    for number in cancelled:
        callers[number].cancel()
    await quiet()
    assert all(callers[number].cancelled() for number in cancelled)
    setup.source.open_gate()
    others = [caller for number, caller in enumerate(callers) if number not in cancelled]
    assert await asyncio.gather(*others) == ["first"] * len(others)
    assert setup.loads == 1


@in_loop
async def test_a_load_that_nobody_waits_for_any_more_is_kept() -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = await setup.start_get()
    caller.cancel()
    await quiet()
    setup.source.open_gate()
    await quiet()
    assert await setup.get() == "first"
    assert setup.loads == 1


@in_loop
async def test_all_callers_see_the_error_of_their_load_and_it_is_not_kept() -> None:
    setup = Setup()
    setup.source.close_gate()
    setup.source.fail()
    callers = [await setup.start_get() for _ in range(3)]
    setup.source.open_gate()
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [SourceError] * 3
    assert (setup.loads, setup.counters.load_errors, len(setup.cache)) == (1, 1, 0)
    setup.source.recover()
    assert await setup.get() == "first"
    assert setup.loads == 2


@in_loop
async def test_an_error_that_nobody_waits_for_is_no_complaint_of_the_loop() -> None:
    setup = Setup()
    setup.source.close_gate()
    setup.source.fail()
    caller = await setup.start_get()
    caller.cancel()
    await quiet()
    setup.source.open_gate()
    await quiet()
    del caller
    gc.collect()
    assert setup.counters.load_errors == 1


# Loads that begin before they are asked for


@in_loop
async def test_a_caller_joins_a_load_that_began_before() -> None:
    setup = Setup()
    setup.cache.begin("k")
    setup.cache.begin("k")
    assert await setup.get() == await setup.get() == "first"
    assert setup.loads == 1
    assert (setup.counters.loads, setup.counters.misses, setup.counters.hits) == (1, 1, 1)


@in_loop
async def test_nothing_begins_where_an_entry_answers() -> None:
    setup = Setup()
    await setup.filled("value")
    assert not setup.cache.begin("k")
    assert setup.counters.loads == 1


@pytest.mark.parametrize("is_expired", [False, True])
@in_loop
async def test_a_stale_entry_is_loaded_ahead(is_expired: bool) -> None:
    """Whoever needs several keys begins them all, and waits as long as for the slowest."""
    setup = Setup()
    await setup.filled("value")
    if is_expired:
        setup.cache.expire("k")
    else:
        setup.clock.advance(TTL_S)
    assert setup.cache.begin("k") == "stale"
    assert not setup.cache.begin("k")
    assert setup.counters.loads == 2


@in_loop
async def test_a_source_that_failed_a_moment_ago_is_not_asked_ahead() -> None:
    setup = Setup()
    await setup.filled("value")
    setup.clock.advance(TTL_S)
    setup.source.fail()
    await setup.get()  # the stale value stands in
    loads = setup.counters.loads
    assert not setup.cache.begin("k")
    assert setup.counters.loads == loads


# Closing


@in_loop
async def test_closing_ends_loads_and_refreshes_that_still_run() -> None:
    setup = Setup()
    await setup.filled(key="refreshed")
    setup.clock.advance(TTL_S * 0.95)
    setup.source.close_gate()
    await setup.get("refreshed")
    caller = await setup.start_get("cold")
    assert setup.source.running == 2
    await setup.cache.close()
    assert setup.source.running == 0
    with pytest.raises(asyncio.CancelledError):
        await caller


@pytest.mark.parametrize("how", ["purge", "purge_all", "expire", "expire_all"])
@in_loop
async def test_closing_ends_loads_that_an_invalidation_has_outdated(how: str) -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = await setup.start_get()
    invalidate(setup.cache, how)
    await setup.cache.close()
    running = setup.source.running
    caller.cancel()
    setup.source.open_gate()
    await quiet()
    assert running == 0


@in_loop
async def test_closing_an_idle_cache_does_nothing() -> None:
    setup = Setup()
    await setup.cache.close()
    await setup.cache.close()
