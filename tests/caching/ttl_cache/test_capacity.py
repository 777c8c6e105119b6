"""What a cache holds is bounded, in entries or in sizes."""

import pytest

from gateway.caching.entries import Counters, Entry
from tests.support.ttl_caches import (
    NEGATIVE_TTL_S,
    STALE_S,
    TTL_S,
    Setup,
    SourceError,
    in_loop,
    quiet,
)


@in_loop
async def test_the_size_tells_what_is_held() -> None:
    setup = Setup(max_size=10, size_of=len)
    for key, value in (("a", "xx"), ("b", "xxx")):
        await setup.filled(value, key)
    assert setup.cache.size == 5


@in_loop
async def test_the_least_recently_used_entry_is_evicted() -> None:
    setup = Setup(max_size=2)
    for key in ("a", "b", "a", "c"):
        await setup.get(key)
    assert (len(setup.cache), setup.counters.evicted) == (2, 1)
    assert [setup.cache.peek(key) is not None for key in "abc"] == [True, False, True]
    assert (setup.counters.purged, setup.counters.expired) == (0, 0)


@in_loop
@pytest.mark.parametrize(
    ("pause_s", "kept"), [(0.9, [False, True, True]), (1.0, [True, False, True])]
)
async def test_the_order_of_use_may_be_known_to_within_a_while(
    pause_s: float, kept: list[bool]
) -> None:
    setup = Setup(max_size=2, order_within_s=1.0)
    for key in ("a", "a", "b", "b"):
        await setup.get(key)
    setup.clock.advance(pause_s)
    await setup.get("a")
    await setup.get("c")
    assert [setup.cache.peek(key) is not None for key in "abc"] == kept


@in_loop
async def test_entries_past_every_use_are_dropped_and_counted_as_expired() -> None:
    setup = Setup(max_size=2)
    await setup.filled(key="a")
    await setup.filled(None, key="b")
    setup.clock.advance(NEGATIVE_TTL_S)
    assert len(setup.cache) == 1
    setup.clock.advance(TTL_S + STALE_S)
    assert len(setup.cache) == 0
    assert (setup.counters.expired, setup.counters.evicted, setup.counters.purged) == (2, 0, 0)


@in_loop
async def test_an_expired_entry_makes_room_before_a_live_one_is_evicted() -> None:
    setup = Setup(max_size=2)
    await setup.filled("live", key="a")
    await setup.filled(None, key="b")
    setup.clock.advance(NEGATIVE_TTL_S)
    await setup.filled("live", key="c")
    assert setup.cache.peek("a") is not None
    assert (setup.counters.expired, setup.counters.evicted) == (1, 0)


@in_loop
async def test_as_many_expired_entries_as_a_large_value_needs_make_room_for_it() -> None:
    setup = Setup(max_size=10, size_of=lambda value: 1 if value is None else len(value))
    await setup.filled("live", key="a")
    for key in ("b", "c", "d", "e"):
        await setup.filled(None, key)
    setup.clock.advance(NEGATIVE_TTL_S)
    await setup.filled("x" * 6, key="f")
    assert setup.cache.peek("a") is not None
    assert (setup.counters.expired, setup.counters.evicted) == (4, 0)


@in_loop
async def test_a_value_that_is_past_every_use_when_it_comes_is_not_kept() -> None:
    setup = Setup(ttl_s=0.0, stale_if_error_s=0.0)
    await setup.filled()
    assert setup.cache.peek("k") is None


@in_loop
async def test_each_stored_value_drops_some_that_expired() -> None:
    """So a cache that nobody looks at shrinks, and no store drops all at once."""
    setup = Setup(max_size=100)
    for number in range(6):
        await setup.filled(key=f"old {number}")
    setup.clock.advance(TTL_S + STALE_S)
    expired = []
    for number in range(4):
        await setup.filled(key=f"new {number}")
        expired.append(setup.counters.expired)
    assert expired == [2, 4, 6, 6]
    assert (len(setup.cache), setup.counters.evicted) == (4, 0)


@in_loop
async def test_values_and_negative_answers_have_one_order_of_use() -> None:
    setup = Setup(max_size=3)
    for value, key in (("there", "a"), (None, "b"), ("there", "c")):
        await setup.filled(value, key)
        setup.clock.advance(0.1)
    await setup.get("a")
    evicted = []
    for key in ("d", "e", "f"):
        setup.clock.advance(0.1)
        await setup.filled("there", key)
        evicted.append([key for key in "abc" if setup.cache.peek(key) is None])
    assert evicted == [["b"], ["b", "c"], ["a", "b", "c"]]
    assert (setup.counters.evicted, setup.counters.expired) == (3, 0)


@in_loop
async def test_sizes_are_bounded_not_counts_where_values_have_a_size() -> None:
    setup = Setup(max_size=10, size_of=len)
    for key, value in (("a", "x" * 4), ("b", "x" * 4), ("c", "x" * 2), ("d", "x" * 5)):
        await setup.filled(value, key)
    assert [setup.cache.peek(key) is not None for key in "abcd"] == [False, False, True, True]
    assert setup.counters.evicted == 2


@in_loop
async def test_a_value_larger_than_the_cache_is_answered_and_not_kept() -> None:
    setup = Setup(max_size=10, size_of=len)
    await setup.filled("x" * 10, "small")
    await setup.filled("x" * 11, "large")
    assert setup.cache.peek("large") is None
    assert setup.cache.peek("small") is not None
    await setup.get("large")
    assert setup.source.asked == ["small", "large", "large"]
    assert setup.counters.evicted == 0


@in_loop
async def test_a_value_that_grew_larger_than_the_cache_takes_its_old_one_with_it() -> None:
    setup = Setup(max_size=10, size_of=len)
    await setup.filled("old")
    setup.clock.advance(TTL_S)
    await setup.filled("x" * 11)
    setup.source.fail()
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_a_value_that_grew_evicts_others_to_fit() -> None:
    setup = Setup(max_size=10, size_of=len)
    await setup.filled("x" * 4, "a")
    await setup.filled("x" * 4, "b")
    setup.clock.advance(TTL_S)
    await setup.filled("x" * 8, "b")
    assert [setup.cache.peek(key) is not None for key in "ab"] == [False, True]


@in_loop
async def test_looking_at_an_entry_neither_loads_nor_counts() -> None:
    setup = Setup()
    assert setup.cache.peek("k") is None
    await setup.filled()
    before = setup.counters.as_dict()
    setup.clock.advance(TTL_S + 1)
    entry = setup.cache.peek("k")
    assert isinstance(entry, Entry)
    assert entry.value == "first"
    assert not setup.cache.is_fresh(entry)
    await quiet()
    assert setup.counters.as_dict() == before
    assert setup.loads == 1


def test_counters_are_shown_by_name() -> None:
    assert Counters(hits=2, evicted=1).as_dict() == {
        "hits": 2, "negative_hits": 0, "stale_hits": 0, "misses": 0, "loads": 0,
        "load_errors": 0, "purged": 0, "evicted": 1, "expired": 0,
    }  # fmt: skip
