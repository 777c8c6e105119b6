"""How a caller got an entry, and which keys answered."""

import asyncio

from gateway.caching.ttl_cache import CacheStatus
from tests.support.ttl_caches import (
    PAUSE_S,
    TTL_S,
    Setup,
    in_loop,
    quiet,
)

# How a caller got an entry


@in_loop
async def test_the_first_caller_of_a_load_is_told_from_those_who_joined_it() -> None:
    setup = Setup()
    setup.source.close_gate()
    callers = [asyncio.create_task(setup.cache.trace_entry("k")) for _ in range(3)]
    await quiet()
    setup.source.open_gate()
    statuses = [status for _, status in await asyncio.gather(*callers)]
    assert statuses == [
        CacheStatus("miss", stored=True),
        CacheStatus("miss", collapsed=True, stored=True),
        CacheStatus("miss", collapsed=True, stored=True),
    ]
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus()


@in_loop
async def test_a_load_that_was_begun_ahead_has_its_caller() -> None:
    setup = Setup()
    assert setup.cache.begin("k") == "miss"
    assert not setup.cache.begin("k")  # it is another's
    _, status = await setup.cache.trace_entry("k")
    assert status == CacheStatus("miss", collapsed=True, stored=True)
    assert not setup.cache.begin("k")


@in_loop
async def test_a_stale_entry_that_is_loaded_again_is_told_from_a_miss() -> None:
    setup = Setup()
    await setup.filled()
    setup.cache.expire("k")
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus("stale", stored=True)
    setup.clock.advance(TTL_S)
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus("stale", stored=True)


@in_loop
async def test_an_entry_that_is_too_old_for_a_caller_is_told_from_a_stale_one() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(2.0)
    _, status = await setup.cache.trace_entry("k", max_age_s=1.0)
    assert status == CacheStatus("request", stored=True)
    assert (await setup.cache.trace_entry("k", max_age_s=1.0))[1] == CacheStatus()


@in_loop
async def test_what_stands_in_while_the_source_fails_is_told_from_a_hit() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus("stale", is_stale=True)
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus(is_stale=True)  # not asked again
    setup.source.recover()
    setup.clock.advance(PAUSE_S)
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus("stale", stored=True)


@in_loop
async def test_what_stands_in_for_a_slow_source_is_told_from_a_hit() -> None:
    setup = Setup(patience_s=0.01)
    await setup.filled()
    setup.source.close_gate()
    setup.clock.advance(TTL_S)
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus("stale", is_stale=True)
    setup.source.open_gate()


@in_loop
async def test_what_was_purged_while_it_was_loaded_is_not_called_stored() -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = asyncio.create_task(setup.cache.trace_entry("k"))
    await quiet()
    setup.cache.purge("k")
    setup.source.open_gate()
    assert (await caller)[1] == CacheStatus("miss")


@in_loop
async def test_a_hit_that_begins_a_refresh_is_a_hit_and_whoever_joins_it_later_is_told_so() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.close_gate()
    setup.clock.advance(TTL_S * 0.8)
    assert (await setup.cache.trace_entry("k"))[1] == CacheStatus()
    setup.clock.advance(TTL_S * 0.8)
    joining = asyncio.create_task(setup.cache.trace_entry("k"))
    await quiet()
    setup.source.open_gate()
    assert (await joining)[1] == CacheStatus("stale", collapsed=True, stored=True)


# What answered


@in_loop
async def test_the_keys_that_answered_since_the_last_call_are_taken_once_each() -> None:
    setup = Setup(order_within_s=5.0)
    for key in ("a", "b", "c"):
        await setup.filled(key=key)
    setup.cache.at_hand("a")
    assert setup.cache.take_used() == []  # nobody had asked for them
    for key in ("b", "a", "b", "unknown"):
        setup.cache.at_hand(key)
    assert setup.cache.take_used() == ["b", "a"]
    assert setup.cache.take_used() == []
    setup.cache.at_hand("b")
    setup.clock.advance(TTL_S)
    setup.cache.at_hand("c")  # stale
    assert setup.cache.take_used() == ["b"]


@in_loop
async def test_an_entry_that_is_due_answers_at_once_and_begins_one_load() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(8.0)
    setup.source.close_gate()
    for _ in range(3):
        entry = setup.cache.at_hand("k")
        assert entry is not None
        assert entry.value == "first"
        await quiet()
    assert setup.loads == 2
    setup.source.open_gate()


@in_loop
async def test_a_stale_entry_is_at_hand_only_while_its_source_is_left_alone() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S)
    assert setup.cache.at_hand("k") is None
    setup.source.fail()
    assert await setup.get() == "first"
    assert setup.cache.at_hand("k") is not None
    setup.clock.advance(PAUSE_S)
    assert setup.cache.at_hand("k") is None
    assert setup.counters.stale_hits == 2
