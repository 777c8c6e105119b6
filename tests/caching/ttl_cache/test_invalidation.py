"""Purges, soft expiries, replacements, and who is told of a change."""

import asyncio
from typing import Any

import pytest

from tests.support.ttl_caches import (
    STALE_S,
    TTL_S,
    Setup,
    SourceError,
    in_loop,
    invalidate,
    quiet,
)

# Purge


@in_loop
async def test_a_purged_key_is_loaded_anew() -> None:
    setup = Setup()
    await setup.filled("old")
    setup.source.value = "new"
    setup.cache.purge("k")
    assert setup.cache.peek("k") is None
    assert await setup.get() == "new"
    assert setup.counters.purged == 1


@in_loop
async def test_a_purged_value_does_not_stand_in_when_the_source_fails() -> None:
    setup = Setup()
    await setup.filled()
    setup.cache.purge("k")
    setup.source.fail()
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_a_purge_leaves_other_keys_alone() -> None:
    setup = Setup()
    await setup.filled(key="a")
    await setup.filled(key="b")
    setup.cache.purge("a")
    await setup.get("b")
    assert setup.source.asked == ["a", "b"]


@in_loop
async def test_a_purge_of_an_unknown_key_is_not_counted() -> None:
    setup = Setup()
    setup.cache.purge("k")
    assert setup.counters.purged == 0


@pytest.mark.parametrize("how", ["purge", "purge_all", "expire", "expire_all"])
@pytest.mark.parametrize("old_ends_last", [True, False])
@in_loop
async def test_a_load_that_began_before_an_invalidation_is_never_stored_after_it(
    how: str, old_ends_last: bool
) -> None:
    setup = Setup()
    old_gate = setup.source.close_gate()
    before = await setup.start_get()
    setup.source.value = "new"
    invalidate(setup.cache, how)
    new_gate = setup.source.close_gate()
    after = await setup.start_get()
    assert setup.loads == 2
    for gate in (new_gate, old_gate) if old_ends_last else (old_gate, new_gate):
        gate.set()
        await quiet()
    assert (await before, await after) == ("first", "new")
    assert await setup.get() == "new"
    assert setup.loads == 2


@pytest.mark.parametrize("how", ["purge", "purge_all", "expire", "expire_all"])
@in_loop
async def test_a_refresh_that_began_before_an_invalidation_is_never_stored_after_it(
    how: str,
) -> None:
    setup = Setup()
    await setup.filled("old")
    setup.clock.advance(TTL_S * 0.95)
    gate = setup.source.close_gate()
    await setup.get()
    setup.source.value = "new"
    invalidate(setup.cache, how)
    gate.set()
    await quiet()
    assert await setup.get() == "new"


@pytest.mark.parametrize("how", ["purge", "purge_all", "expire", "expire_all"])
@in_loop
async def test_an_old_load_that_fails_does_not_disturb_the_new_value(how: str) -> None:
    setup = Setup()
    setup.source.fail()
    old_gate = setup.source.close_gate()
    before = await setup.start_get()
    setup.source.recover()
    invalidate(setup.cache, how)
    setup.source.gate = asyncio.Event()
    setup.source.open_gate()
    assert await setup.get() == "first"
    old_gate.set()
    with pytest.raises(SourceError):
        await before
    entry = setup.cache.peek("k")
    assert entry is not None
    assert entry.retry_at <= setup.clock()


@in_loop
async def test_purging_everything_counts_every_entry() -> None:
    setup = Setup()
    for key in "abc":
        await setup.filled(key=key)
    setup.cache.purge_all()
    assert (setup.counters.purged, len(setup.cache)) == (3, 0)


# Soft expiry


@in_loop
async def test_after_an_expiry_every_value_is_asked_for_again_at_its_next_use() -> None:
    setup = Setup()
    for key in "ab":
        await setup.filled("old", key)
    setup.source.value = "new"
    setup.cache.expire_all()
    assert [await setup.get(key) for key in "abab"] == ["new"] * 4
    assert setup.source.asked == ["a", "b", "a", "b"]
    assert setup.counters.purged == 0


@in_loop
async def test_an_expired_value_stands_in_when_the_source_fails() -> None:
    setup = Setup()
    await setup.filled()
    setup.cache.expire_all()
    setup.source.fail()
    assert await setup.get() == "first"
    assert setup.counters.stale_hits == 1


@in_loop
async def test_an_expiry_does_not_lengthen_the_life_of_a_value() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S + STALE_S - 1)
    setup.cache.expire_all()
    setup.clock.advance(1)
    setup.source.fail()
    with pytest.raises(SourceError):
        await setup.get()


@pytest.mark.parametrize("how", ["expire", "expire_all"])
@in_loop
async def test_an_expiry_ends_the_pause_after_a_failure(how: str) -> None:
    # Who expires knows that something changed: "asked for again at its next use".
    setup = Setup()
    await setup.filled("old")
    setup.source.fail()
    setup.clock.advance(TTL_S)
    assert await setup.get() == "old"
    setup.source.recover()
    setup.source.value = "new"
    invalidate(setup.cache, how)
    assert await setup.get() == "new"


@in_loop
async def test_an_entry_whose_load_began_before_an_expiry_is_not_fresh_after_it() -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = asyncio.create_task(setup.cache.trace_entry("k"))
    await quiet()
    setup.cache.expire_all()
    setup.source.open_gate()
    entry, _ = await caller
    assert not setup.cache.is_fresh(entry)


@in_loop
async def test_an_expiry_during_a_load_starts_one_new_load_for_all_later_callers() -> None:
    setup = Setup()
    setup.source.close_gate()
    early = await setup.start_get()
    setup.cache.expire_all()
    late = [await setup.start_get() for _ in range(10)]
    setup.source.open_gate()
    await asyncio.gather(early, *late)
    assert setup.loads == 2


# One key: soft expiry, replacement


@in_loop
async def test_expiring_a_key_asks_for_it_again_and_leaves_the_others() -> None:
    setup = Setup()
    for key in "ab":
        await setup.filled("old", key)
    setup.source.value = "new"
    setup.cache.expire("a")
    setup.cache.expire("unknown")
    assert [await setup.get(key) for key in "ab"] == ["new", "old"]
    assert setup.counters.purged == 0


@in_loop
async def test_an_expired_key_stands_in_when_the_source_fails() -> None:
    setup = Setup()
    await setup.filled()
    setup.cache.expire("k")
    setup.source.fail()
    assert await setup.get() == "first"


@in_loop
async def test_replacing_a_value_keeps_its_moments_and_is_a_change() -> None:
    setup = Setup()
    value = object()
    await setup.filled(value)
    setup.clock.advance(5.0)
    setup.cache.replace("k", value, "better")
    assert await setup.get() == "better"
    assert (setup.loads, setup.changes) == (1, 1)
    setup.clock.advance(5.0)
    await setup.filled("reloaded")
    assert setup.loads == 2


@pytest.mark.parametrize("held", [True, False])
@in_loop
async def test_a_value_is_replaced_only_if_it_is_still_the_expected_one(held: bool) -> None:
    setup = Setup()
    if held:
        await setup.filled("another")
    setup.cache.replace("k", object(), "better")
    entry = setup.cache.peek("k")
    assert (entry.value if entry else None) == ("another" if held else None)
    assert setup.changes == 0


@in_loop
async def test_a_value_replaced_while_its_load_fails_still_stands_in() -> None:
    setup = Setup()
    value = object()
    await setup.filled(value)
    setup.clock.advance(TTL_S)
    setup.source.fail()
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.cache.replace("k", value, "better")
    setup.source.open_gate()
    assert await caller in (value, "better")


@in_loop
async def test_a_replacement_is_measured_anew() -> None:
    setup = Setup(max_size=10, size_of=len)
    value = "x" * 3
    await setup.filled(value)
    setup.cache.replace("k", value, "x" * 7)
    assert setup.cache.size == 7
    entry = setup.cache.peek("k")
    assert entry is not None
    setup.cache.replace("k", entry.value, "x" * 11)
    assert setup.cache.size == 0


# Telling of changes


@in_loop
async def test_a_first_load_a_hit_and_a_reload_of_the_same_value_are_no_change() -> None:
    setup = Setup()
    await setup.filled()
    await setup.get()
    setup.clock.advance(TTL_S)
    await setup.get()
    setup.clock.advance(TTL_S * 0.95)
    await setup.get()
    await quiet()
    assert setup.loads == 3
    assert setup.changes == 0


@in_loop
async def test_failures_evictions_and_values_that_stand_in_are_no_change() -> None:
    setup = Setup(max_size=1)
    await setup.filled(key="a")
    await setup.filled(key="b")
    setup.source.fail()
    setup.clock.advance(TTL_S)
    await setup.get("b")
    with pytest.raises(SourceError):
        await setup.get("c")
    assert setup.counters.evicted == 1
    assert setup.changes == 0


@pytest.mark.parametrize("age_s", [TTL_S * 0.95, TTL_S])
@in_loop
async def test_a_load_that_brings_another_value_is_a_change(age_s: float) -> None:
    setup = Setup()
    await setup.filled("old")
    setup.clock.advance(age_s)
    setup.source.value = "new"
    await setup.get()
    await quiet()
    assert setup.changes == 1
    assert await setup.get() == "new"


@in_loop
async def test_a_value_that_went_missing_is_a_change() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S)
    await setup.filled(None)
    assert setup.changes == 1


@in_loop
async def test_a_value_that_grew_larger_than_the_cache_is_a_change() -> None:
    setup = Setup(max_size=10, size_of=len)
    await setup.filled("old")
    setup.clock.advance(TTL_S)
    await setup.filled("x" * 11)
    assert setup.changes == 1


@pytest.mark.parametrize("how", ["purge", "purge_all", "expire", "expire_all"])
@in_loop
async def test_an_invalidation_is_a_change_that_is_told_when_it_holds(how: str) -> None:
    fresh_when_told: list[bool] = []

    def look() -> None:
        entry = setup.cache.peek("k")
        fresh_when_told.append(entry is not None and setup.cache.is_fresh(entry))

    setup = Setup(on_change=look)
    await setup.filled()
    invalidate(setup.cache, how)
    assert fresh_when_told == [False]


@in_loop
async def test_a_change_is_told_when_the_new_value_is_in_place() -> None:
    told: list[Any] = []

    def look() -> None:
        entry = setup.cache.peek("k")
        told.append(entry.value if entry else None)

    setup = Setup(on_change=look)
    await setup.filled("old")
    setup.clock.advance(TTL_S)
    await setup.filled("new")
    assert told == ["new"]
