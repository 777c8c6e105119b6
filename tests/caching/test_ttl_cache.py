"""Every promise of caching/ttl_cache.py, with a clock and a source that the test controls."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.caching.ttl_cache import Counters, Entry, Outcome, TTLCache
from tests.conftest import QUICK

TTL_S = 10.0
NEGATIVE_TTL_S = 1.0
STALE_S = 60.0
PAUSE_S = 1.0
"""After a failure, its source is left alone for so long."""
DEADLINE_S = 20.0

P = ParamSpec("P")


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """The test, run in an event loop that may hear of no error nobody looked at."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        complaints: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(
                lambda _loop, context: complaints.append(context)
            )
            async with asyncio.timeout(DEADLINE_S):
                await test(*args, **kwargs)

        asyncio.run(main())
        assert complaints == []

    return run


async def quiet() -> None:
    """Lets every task run until it ends or waits for an event of the test."""
    for _ in range(20):
        await asyncio.sleep(0)


class SourceError(Exception):
    """The source cannot be asked."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class Source:
    """Answers with what it holds when the load begins, once the gate is open."""

    def __init__(self) -> None:
        self.value: Any = "first"
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.running = 0

    async def load(self, key: str) -> Any:
        self.asked.append(key)
        value, error, gate = self.value, self.error, self.gate
        self.running += 1
        try:
            await gate.wait()
        finally:
            self.running -= 1
        if error is not None:
            raise error
        return value

    def close_gate(self) -> asyncio.Event:
        """Loads from now on wait for the returned event."""
        self.gate = asyncio.Event()
        return self.gate

    def open_gate(self) -> None:
        self.gate.set()

    def fail(self) -> None:
        self.error = SourceError("down")

    def recover(self) -> None:
        self.error = None


class Setup:
    """A cache, its clock, its source, and how often it told of a change."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.source = Source()
        self.changes = 0
        self.cache: TTLCache[str, Any] = TTLCache(
            self.source.load,
            **{
                "ttl_s": TTL_S,
                "max_size": 100,
                "negative_ttl_s": NEGATIVE_TTL_S,
                "stale_if_error_s": STALE_S,
                "is_negative": lambda value: value is None,
                "jitter": 0.0,
                "clock": self.clock,
                "on_change": self.count_change,
                **options,
            },
        )

    def count_change(self) -> None:
        self.changes += 1

    @property
    def loads(self) -> int:
        return len(self.source.asked)

    @property
    def counters(self) -> Counters:
        return self.cache.counters

    async def get(self, key: str = "k", **options: Any) -> Any:
        return await self.cache.get(key, **options)

    async def start_get(self, key: str = "k") -> "asyncio.Task[Any]":
        """A caller, run as far as it comes."""
        task = asyncio.create_task(self.get(key))
        await quiet()
        return task

    async def filled(self, value: Any = "first", key: str = "k") -> None:
        self.source.value = value
        assert await self.get(key) == value


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
    cache: TTLCache[str, Any] = TTLCache(source.load, ttl_s=TTL_S, max_size=2, clock=clock)
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


# Stale answers


@pytest.mark.parametrize(
    ("age_s", "usable"),
    [
        (TTL_S, True),
        (TTL_S + STALE_S - 0.001, True),
        (TTL_S + STALE_S, False),
        (TTL_S + STALE_S + 1, False),
    ],
)
@in_loop
async def test_while_the_source_fails_the_last_value_stands_in_within_its_bound(
    age_s: float, usable: bool
) -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(age_s)
    if usable:
        assert await setup.get() == "first"
        assert setup.counters.stale_hits == 1
    else:
        with pytest.raises(SourceError):
            await setup.get()
    assert setup.loads == 2


@in_loop
async def test_standing_in_does_not_lengthen_the_bound() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    for _ in range(int(STALE_S) - 1):
        assert await setup.get() == "first"
        setup.clock.advance(1.0)
    assert await setup.get() == "first"
    setup.clock.advance(1.0)
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_the_bound_holds_for_a_load_that_fails_after_it() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S)
    setup.source.fail()
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.clock.advance(STALE_S)
    setup.source.open_gate()
    with pytest.raises(SourceError):
        await caller


@in_loop
async def test_without_a_bound_for_errors_nothing_stands_in() -> None:
    setup = Setup(stale_if_error_s=0.0)
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_a_source_that_failed_is_left_alone_for_a_moment() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    assert [await setup.get() for _ in range(50)] == ["first"] * 50
    assert setup.loads == 2
    setup.clock.advance(PAUSE_S)
    assert [await setup.get() for _ in range(50)] == ["first"] * 50
    assert setup.loads == 3
    assert setup.counters.stale_hits == 100


@in_loop
async def test_a_source_that_recovers_is_heard_after_the_pause() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    await setup.get()
    setup.source.recover()
    setup.source.value = "new"
    setup.clock.advance(PAUSE_S)
    assert await setup.get() == "new"


@in_loop
async def test_a_failed_refresh_is_not_tried_again_at_every_request() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S * 0.76)
    for _ in range(50):
        assert await setup.get() == "first"
        await quiet()
    assert setup.loads == 2


@in_loop
async def test_a_key_that_never_loaded_is_tried_at_every_request() -> None:
    setup = Setup()
    setup.source.fail()
    for _ in range(3):
        with pytest.raises(SourceError):
            await setup.get()
    assert setup.loads == 3


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


def invalidate(cache: TTLCache[str, Any], how: str) -> None:
    if how == "purge":
        cache.purge("k")
    elif how == "expire":
        cache.expire("k")
    elif how == "purge_all":
        cache.purge_all()
    else:
        cache.expire_all()


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
    caller = asyncio.create_task(setup.cache.get_entry("k"))
    await quiet()
    setup.cache.expire_all()
    setup.source.open_gate()
    assert not setup.cache.is_fresh(await caller)


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


# How a caller got an entry


@in_loop
async def test_the_first_caller_of_a_load_is_told_from_those_who_joined_it() -> None:
    setup = Setup()
    setup.source.close_gate()
    callers = [asyncio.create_task(setup.cache.trace_entry("k")) for _ in range(3)]
    await quiet()
    setup.source.open_gate()
    outcomes = [outcome for _, outcome in await asyncio.gather(*callers)]
    assert outcomes == [
        Outcome("miss", stored=True),
        Outcome("miss", collapsed=True, stored=True),
        Outcome("miss", collapsed=True, stored=True),
    ]
    assert (await setup.cache.trace_entry("k"))[1] == Outcome()


@in_loop
async def test_a_load_that_was_begun_ahead_has_its_caller() -> None:
    setup = Setup()
    assert setup.cache.begin("k") == "miss"
    assert not setup.cache.begin("k")  # it is another's
    _, outcome = await setup.cache.trace_entry("k")
    assert outcome == Outcome("miss", collapsed=True, stored=True)
    assert not setup.cache.begin("k")


@in_loop
async def test_a_stale_entry_that_is_loaded_again_is_told_from_a_miss() -> None:
    setup = Setup()
    await setup.filled()
    setup.cache.expire("k")
    assert (await setup.cache.trace_entry("k"))[1] == Outcome("stale", stored=True)
    setup.clock.advance(TTL_S)
    assert (await setup.cache.trace_entry("k"))[1] == Outcome("stale", stored=True)


@in_loop
async def test_an_entry_that_is_too_old_for_a_caller_is_told_from_a_stale_one() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(2.0)
    _, outcome = await setup.cache.trace_entry("k", max_age_s=1.0)
    assert outcome == Outcome("request", stored=True)
    assert (await setup.cache.trace_entry("k", max_age_s=1.0))[1] == Outcome()


@in_loop
async def test_what_stands_in_while_the_source_fails_is_told_from_a_hit() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    assert (await setup.cache.trace_entry("k"))[1] == Outcome("stale", is_stale=True)
    assert (await setup.cache.trace_entry("k"))[1] == Outcome(is_stale=True)  # not asked again
    setup.source.recover()
    setup.clock.advance(PAUSE_S)
    assert (await setup.cache.trace_entry("k"))[1] == Outcome("stale", stored=True)


@in_loop
async def test_what_stands_in_for_a_slow_source_is_told_from_a_hit() -> None:
    setup = Setup(patience_s=0.01)
    await setup.filled()
    setup.source.close_gate()
    setup.clock.advance(TTL_S)
    assert (await setup.cache.trace_entry("k"))[1] == Outcome("stale", is_stale=True)
    setup.source.open_gate()


@in_loop
async def test_what_was_purged_while_it_was_loaded_is_not_called_stored() -> None:
    setup = Setup()
    setup.source.close_gate()
    caller = asyncio.create_task(setup.cache.trace_entry("k"))
    await quiet()
    setup.cache.purge("k")
    setup.source.open_gate()
    assert (await caller)[1] == Outcome("miss")


@in_loop
async def test_a_hit_that_begins_a_refresh_is_a_hit_and_whoever_joins_it_later_is_told_so() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.close_gate()
    setup.clock.advance(TTL_S * 0.8)
    assert (await setup.cache.trace_entry("k"))[1] == Outcome()
    setup.clock.advance(TTL_S * 0.8)
    joining = asyncio.create_task(setup.cache.trace_entry("k"))
    await quiet()
    setup.source.open_gate()
    assert (await joining)[1] == Outcome("stale", collapsed=True, stored=True)


# What came since a moment


@in_loop
async def test_what_landed_since_a_moment_is_asked_for_again_and_nothing_else() -> None:
    setup = Setup()
    await setup.filled("old", "early")
    setup.clock.advance(1.0)
    moment = setup.clock()
    await setup.filled("old", "late")  # at that very moment
    setup.source.value = "new"
    changes = setup.changes
    setup.cache.expire_landed_since(moment)
    assert setup.changes == changes + 1
    assert (await setup.get("early"), await setup.get("late")) == ("old", "new")
    setup.source.fail()
    setup.cache.expire_landed_since(moment)
    assert await setup.get("late") == "new"  # soft: it stands in


@in_loop
async def test_a_load_that_began_before_the_moment_and_landed_after_it_is_asked_for_again() -> None:
    setup = Setup()
    setup.source.value = "old"
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.clock.advance(1.0)
    moment = setup.clock()
    setup.source.open_gate()
    assert await caller == "old"
    setup.source.value = "new"
    setup.cache.expire_landed_since(moment)
    assert await setup.get() == "new"


@in_loop
async def test_a_load_that_is_under_way_is_not_kept() -> None:
    setup = Setup()
    setup.source.value = "old"
    setup.source.close_gate()
    caller = await setup.start_get()
    changes = setup.changes
    setup.cache.expire_landed_since(setup.clock() + 1.0)
    assert setup.changes == changes + 1  # whoever waits must not remember what they get
    setup.source.open_gate()
    assert await caller == "old"
    setup.source.value = "new"
    assert await setup.get() == "new"


@in_loop
async def test_where_nothing_landed_nothing_is_told() -> None:
    setup = Setup()
    await setup.filled()
    changes = setup.changes
    setup.cache.expire_landed_since(setup.clock() + 1.0)
    assert setup.changes == changes
    assert await setup.get() == "first"
    assert setup.counters.hits == 1


@in_loop
async def test_what_is_confirmed_and_agrees_stays() -> None:
    setup = Setup()
    for key in ("agrees", "differs", "unasked"):
        await setup.filled("old", key)
    setup.cache.confirm_landed({"agrees": "old", "differs": "other", "absent": "old"})
    setup.source.value = "new"
    setup.cache.expire_landed_since(setup.clock())
    seen = [await setup.get(key) for key in ("agrees", "differs", "unasked")]
    assert seen == ["old", "new", "new"]
    # What was loaded since is not confirmed.
    setup.cache.purge("agrees")
    assert await setup.get("agrees") == "new"
    setup.source.value = "newer"
    setup.cache.expire_landed_since(setup.clock())
    assert await setup.get("agrees") == "newer"


@in_loop
async def test_more_than_are_remembered_are_all_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.caching.ttl_cache._MOST_LANDINGS", 3)
    setup = Setup()
    for number in range(5):
        await setup.filled("old", str(number))
        setup.clock.advance(0.1)
    setup.source.value = "new"
    remembered = setup.clock() - 0.35  # before the third
    setup.cache.expire_landed_since(remembered)
    assert [await setup.get(str(number)) for number in range(5)] == ["old"] * 2 + ["new"] * 3
    setup.source.value = "newer"
    setup.cache.expire_landed_since(0.0)
    assert {await setup.get(str(number)) for number in range(5)} == {"newer"}


# Bounds


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


# Many keys at once


class ManySource:
    """Answers for many keys with what it holds when the load begins; one key may be slow alone."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.value: Any = "first"
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.alone: dict[str, asyncio.Future[Any]] = {}

    async def load(self, keys: Sequence[str]) -> dict[str, Any]:
        self.asked.append(list(keys))
        value, error = self.value, self.error
        await self.gate.wait()
        if error is not None:
            raise error
        return {key: self.alone.get(key, value) for key in keys}

    def slow(self, key: str) -> "asyncio.Future[Any]":
        self.alone[key] = future = asyncio.get_running_loop().create_future()
        return future


class ManySetup:
    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.source = ManySource()
        self.cache: TTLCache[str, Any] = TTLCache(
            load_many=self.source.load,
            **{
                "ttl_s": TTL_S,
                "max_size": 10_000,
                "stale_if_error_s": STALE_S,
                "jitter": 0.0,
                "clock": self.clock,
                **options,
            },
        )

    def ask(self, *keys: str) -> "list[asyncio.Task[Any]]":
        return [asyncio.create_task(self.cache.get(key)) for key in keys]


@in_loop
async def test_keys_that_are_missed_together_share_a_load() -> None:
    setup = ManySetup()
    assert await asyncio.gather(*setup.ask("a", "b", "a", "c")) == ["first"] * 4
    assert setup.source.asked == [["a", "b", "c"]]
    assert await asyncio.gather(*setup.ask("a", "b", "c")) == ["first"] * 3
    assert len(setup.source.asked) == 1
    counters = setup.cache.counters
    assert (counters.loads, counters.misses, counters.hits) == (3, 4, 3)


@in_loop
async def test_keys_that_are_missed_while_a_load_runs_share_the_next() -> None:
    setup = ManySetup()
    setup.source.gate.clear()
    first = setup.ask("a")
    await quiet()
    rest = setup.ask("b", "c", "a", "b")
    await quiet()
    assert setup.source.asked == [["a"]]
    setup.source.gate.set()
    assert await asyncio.gather(*first, *rest) == ["first"] * 5
    assert setup.source.asked == [["a"], ["b", "c"]]


@in_loop
async def test_no_load_is_of_more_keys_than_the_source_takes() -> None:
    setup = ManySetup()
    keys = [str(number) for number in range(1_200)]
    await asyncio.gather(*setup.ask(*keys))
    assert [len(asked) for asked in setup.source.asked] == [500, 500, 200]
    assert [key for asked in setup.source.asked for key in asked] == keys


@in_loop
async def test_a_load_that_fails_fails_those_who_share_it_and_not_the_next() -> None:
    setup = ManySetup()
    setup.source.gate.clear()
    setup.source.error = SourceError("down")
    first = setup.ask("a", "b")
    await quiet()
    setup.source.error = None
    second = setup.ask("c")
    setup.source.gate.set()
    outcomes = await asyncio.gather(*first, *second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [SourceError, SourceError, str]
    assert setup.cache.counters.load_errors == 2
    assert setup.cache.held_keys() == ["c"]


@in_loop
async def test_a_key_that_takes_longer_than_the_others_delays_nobody_else() -> None:
    setup = ManySetup()
    late = setup.source.slow("b")
    tasks = setup.ask("a", "b", "c")
    await quiet()
    assert [task.done() for task in tasks] == [True, False, True]
    assert await asyncio.gather(*setup.ask("d")) == ["first"]  # the next load runs as well
    collapsed = setup.ask("b")
    await quiet()
    late.set_result("late")
    assert await asyncio.gather(tasks[1], *collapsed) == ["late", "late"]
    assert setup.source.asked == [["a", "b", "c"], ["d"]]
    assert setup.cache.peek("b") is not None


@in_loop
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_key_that_fails_alone_fails_nobody_else(at_once: bool) -> None:
    setup = ManySetup()
    late = setup.source.slow("b")
    if at_once:
        late.set_exception(SourceError("down"))
    tasks = setup.ask("a", "b", "c")
    await quiet()
    if not at_once:
        late.set_exception(SourceError("down"))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [str, SourceError, str]
    assert sorted(setup.cache.held_keys()) == ["a", "c"]


@in_loop
@pytest.mark.parametrize("how", ["purge", "purge_all", "expire", "expire_all"])
@pytest.mark.parametrize("when", ["waiting", "loading", "late"])
async def test_what_changed_while_its_key_waits_or_is_loaded_is_not_kept(
    how: str, when: str
) -> None:
    setup = ManySetup()
    late = setup.source.slow("k") if when == "late" else None
    setup.source.gate.clear()
    tasks = setup.ask("other") if when == "waiting" else []
    await quiet()
    tasks += setup.ask("k")
    await quiet()
    if late is not None:
        setup.source.gate.set()
        await quiet()
    invalidate(setup.cache, how)
    setup.source.value = "second"
    setup.source.alone.clear()
    tasks += setup.ask("k")
    await quiet()
    setup.source.gate.set()
    if late is not None:
        late.set_result("first")
    values = await asyncio.gather(*tasks)
    assert values[-1] == "second", "the load began before the change"
    assert await setup.cache.get("k") == "second"


@in_loop
async def test_an_age_counts_from_the_start_of_the_load_and_not_from_the_wait_for_it() -> None:
    setup = ManySetup()
    setup.source.gate.clear()
    tasks = setup.ask("a")
    await quiet()
    tasks += setup.ask("b")
    await quiet()
    setup.clock.advance(TTL_S / 2)
    setup.source.gate.set()
    await asyncio.gather(*tasks)
    ages = [setup.clock() - entry.loaded_at for key in "ab" if (entry := setup.cache.peek(key))]
    assert ages == [TTL_S / 2, 0.0]


@in_loop
async def test_whoever_leaves_takes_a_shared_load_from_nobody() -> None:
    setup = ManySetup()
    setup.source.gate.clear()
    leaving, waiting = setup.ask("a", "a")
    queued, staying = setup.ask("b", "c")
    await quiet()
    for task in (leaving, queued):
        task.cancel()
    setup.source.gate.set()
    assert [await waiting, await staying] == ["first", "first"]
    assert setup.cache.peek("b") is not None


@in_loop
async def test_closing_ends_a_load_of_many_keys_and_the_wait_for_the_next() -> None:
    setup = ManySetup()
    setup.source.gate.clear()
    tasks = setup.ask("a", "b")
    await quiet()
    tasks += setup.ask("c")
    await quiet()
    await setup.cache.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    assert setup.source.asked == [["a", "b"]]


@in_loop
async def test_after_a_load_that_was_cancelled_from_within_the_next_one_runs() -> None:
    setup = ManySetup()
    setup.source.gate.clear()
    setup.source.error = asyncio.CancelledError()  # type: ignore[assignment]
    first = setup.ask("a")
    await quiet()
    setup.source.error = None
    second = setup.ask("b")
    setup.source.gate.set()
    outcomes = await asyncio.gather(*first, *second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, str]


# A model


class _Call:
    """A caller that waits, and what it may be told."""

    def __init__(self, key: str, task: "asyncio.Task[Any]", floor: int, failures: int) -> None:
        self.key = key
        self.task = task
        self.floor = floor
        self.failures = failures


class CacheModel(RuleBasedStateMachine):
    """Any sequence of events against the bounds that the cache promises.

    Each key of the source holds a version number that only grows, and is missing at every
    third version. The bounds follow from when a version was replaced.
    """

    KEYS = ("a", "b", "c")
    MAX_SIZE = 2

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.version = dict.fromkeys(self.KEYS, 1)
        self.replaced_at = {key: {0: self.clock()} for key in self.KEYS}
        self.floor = dict.fromkeys(self.KEYS, 0)
        self.expiry_floor = dict.fromkeys(self.KEYS, 0)
        self.failures_at_expiry = dict.fromkeys(self.KEYS, 0)
        self.failing = False
        self.failures = 0
        self.failed_at = float("-inf")
        self.gate: asyncio.Event | None = None
        self.asked = 0
        self.calls: list[_Call] = []
        self.cache: TTLCache[str, Any] = TTLCache(
            self.load,
            ttl_s=TTL_S,
            max_size=self.MAX_SIZE,
            negative_ttl_s=NEGATIVE_TTL_S,
            stale_if_error_s=STALE_S,
            is_negative=missing,
            jitter=0.1,
            clock=self.clock,
        )

    async def load(self, key: str) -> int:
        self.asked += 1
        value, failing, gate = self.version[key], self.failing, self.gate
        if gate is not None:
            await gate.wait()
        if failing:
            self.failures += 1
            self.failed_at = self.clock()
            raise SourceError("down")
        return value

    @rule(seconds=st.sampled_from([0.1, 0.5, 0.99, 1.0, 2.6, 7.5, 9.0, 10.0, 30.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(key=st.sampled_from(KEYS))
    def source_changes(self, key: str) -> None:
        self.replaced_at[key][self.version[key]] = self.clock()
        self.version[key] += 1

    @rule(failing=st.booleans())
    def source_fails_or_recovers(self, failing: bool) -> None:
        self.failing = failing

    @rule()
    def source_becomes_slow_or_fast(self) -> None:
        if self.gate is None:
            self.gate = asyncio.Event()
            return
        self.gate.set()
        self.gate = None
        self.settle()
        for call in self.calls:
            assert call.task.done()
            self.check_waited(call)
        self.calls.clear()

    @rule(key=st.sampled_from(KEYS))
    def purge(self, key: str) -> None:
        self.cache.purge(key)
        self.floor[key] = self.version[key]

    @rule()
    def purge_all(self) -> None:
        self.cache.purge_all()
        self.floor.update(self.version)

    @rule(key=st.sampled_from(KEYS))
    def expire(self, key: str) -> None:
        self.cache.expire(key)
        self.expiry_floor[key] = self.version[key]
        self.failures_at_expiry[key] = self.failures

    @rule()
    def expire_all(self) -> None:
        self.cache.expire_all()
        self.expiry_floor.update(self.version)
        self.failures_at_expiry = dict.fromkeys(self.KEYS, self.failures)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: str) -> None:
        call = _Call(
            key, self.loop.create_task(self.cache.get(key)), self.floor[key], self.failures
        )
        self.settle()
        if not call.task.done():
            assert self.gate is not None, "only a slow source makes anybody wait"
            self.calls.append(call)
        elif self.check_waited(call):
            self.check_age(call)

    def settle(self) -> None:
        self.loop.run_until_complete(quiet())

    def check_waited(self, call: _Call) -> bool:
        """What holds however long the caller waited. Whether there is a value."""
        if call.task.exception() is not None:
            assert isinstance(call.task.exception(), SourceError)
            assert self.failures > call.failures, "an error that no load met"
            return False
        value = call.task.result()
        assert call.floor <= value <= self.version[call.key], "older than a purge"
        return True

    def check_age(self, call: _Call) -> None:
        """What holds for an answer that came at once."""
        value = call.task.result()
        failed_now = self.failures > call.failures
        paused = self.clock() - self.failed_at < PAUSE_S
        if value < self.expiry_floor[call.key]:
            assert self.failures > self.failures_at_expiry[call.key], "older than an expiry"
            assert failed_now or paused, "older than an expiry"
        if value == self.version[call.key]:
            return
        age_s = self.clock() - self.replaced_at[call.key][value]
        ttl_s = NEGATIVE_TTL_S if missing(value) else TTL_S
        stands_in = (failed_now or paused) and not missing(value)
        assert age_s <= ttl_s + (STALE_S if stands_in else 0.0) + 1e-6, "older than its bound"

    @invariant()
    def bounded_and_counted(self) -> None:
        assert len(self.cache) <= self.MAX_SIZE
        assert self.cache.counters.loads == self.asked
        assert all(count >= 0 for count in self.cache.counters.as_dict().values())

    def teardown(self) -> None:
        for call in self.calls:
            call.task.cancel()
        if self.gate is not None:
            self.gate.set()
        self.settle()
        self.loop.run_until_complete(self.cache.close())
        self.loop.close()


class TogetherCacheModel(CacheModel):
    """The same events where the keys that are missed together share a load, and one of them may
    take longer or fail alone."""

    ALONE = "c"

    def __init__(self) -> None:
        super().__init__()
        self.is_slow_alone = False
        self.cache = TTLCache(
            load_many=self.load_many,
            ttl_s=TTL_S,
            max_size=self.MAX_SIZE,
            negative_ttl_s=NEGATIVE_TTL_S,
            stale_if_error_s=STALE_S,
            is_negative=missing,
            jitter=0.1,
            clock=self.clock,
        )

    async def load_many(self, keys: Sequence[str]) -> dict[str, Any]:
        assert len(set(keys)) == len(keys)
        if self.is_slow_alone and self.ALONE in keys:
            alone = asyncio.ensure_future(self.load(self.ALONE))
            self.asked += len(keys) - 1
            values = {key: self.version[key] for key in keys if key != self.ALONE}
            return {**values, self.ALONE: alone}
        values = {key: self.version[key] for key in keys}
        self.asked += len(keys) - 1
        await self.load(keys[0])
        return values

    @rule(alone=st.booleans())
    def one_key_is_like_the_others_or_not(self, alone: bool) -> None:
        self.is_slow_alone = alone

    @invariant()
    def bounded_and_counted(self) -> None:
        assert len(self.cache) <= self.MAX_SIZE
        # A key that is purged while it waits for its load is loaded once for two callers.
        assert self.cache.counters.loads >= self.asked
        assert all(count >= 0 for count in self.cache.counters.as_dict().values())


class RoomyCacheModel(CacheModel):
    """With room for every key: a value that may still be used is used."""

    MAX_SIZE = 10

    @rule(key=st.sampled_from(CacheModel.KEYS))
    def get_what_may_stand_in(self, key: str) -> None:
        entry = self.cache.peek(key)
        if self.gate is None and entry is not None and not missing(entry.value):
            within_s = entry.loaded_at + TTL_S * 0.9 + STALE_S - self.clock()
            try:
                self.loop.run_until_complete(self.cache.get(key))
            except SourceError:
                assert within_s <= 0, "a usable value was withheld"
            self.settle()

    @invariant()
    def nothing_is_evicted(self) -> None:
        assert self.cache.counters.evicted == 0


def missing(value: int) -> bool:
    return value % 3 == 0


_SETTINGS = settings(max_examples=15 if QUICK else 150, stateful_step_count=50, deadline=None)

TestModel = CacheModel.TestCase
TestModel.settings = _SETTINGS
TestRoomyModel = RoomyCacheModel.TestCase
TestRoomyModel.settings = _SETTINGS
TestTogetherModel = TogetherCacheModel.TestCase
TestTogetherModel.settings = _SETTINGS


# Confirmations

MAX_AGE_S = 30.0


def confirm_all(setup: Setup, at: float) -> None:
    setup.cache.confirm_all(at)


def confirm_one(setup: Setup, at: float) -> None:
    setup.cache.confirm("k", at)


each_confirmation = pytest.mark.parametrize("confirm", [confirm_all, confirm_one])
Confirm = Callable[[Setup, float], None]


@each_confirmation
@in_loop
async def test_the_lifetime_counts_from_the_moment_of_the_last_confirmation(
    confirm: Confirm,
) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    observed_at = setup.clock.now_s + 6.0
    setup.clock.advance(9.0)
    confirm(setup, observed_at)
    setup.clock.advance(6.9)
    assert setup.cache.at_hand("k") is not None
    setup.clock.advance(0.2)  # ttl after it was observed
    assert setup.cache.at_hand("k") is None


@each_confirmation
@pytest.mark.parametrize(("max_age_s", "until_s"), [(MAX_AGE_S, MAX_AGE_S), (0.0, TTL_S)])
@in_loop
async def test_confirmations_keep_a_value_for_max_age_and_never_less_than_ttl(
    confirm: Confirm, max_age_s: float, until_s: float
) -> None:
    setup = Setup(max_age_s=max_age_s, stale_if_error_s=0.0)
    await setup.filled()
    last = setup.clock.now_s + until_s
    while setup.clock.now_s < last - TTL_S / 4 - 1:
        assert setup.cache.at_hand("k") is not None
        setup.clock.advance(1.0)
        confirm(setup, setup.clock.now_s)
    assert setup.loads == 1
    setup.clock.now_s = last
    confirm(setup, last)
    assert setup.cache.at_hand("k") is None


@in_loop
async def test_one_key_is_confirmed_and_the_others_are_not() -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    await setup.filled(key="other")
    setup.clock.advance(6.0)
    setup.cache.confirm("k", setup.clock.now_s)
    setup.cache.confirm("unknown", setup.clock.now_s)
    setup.clock.advance(5.0)
    assert setup.cache.at_hand("k") is not None
    assert setup.cache.at_hand("other") is None


@each_confirmation
@in_loop
async def test_a_negative_value_is_confirmed_for_the_negative_ttl(confirm: Confirm) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled(None)
    setup.clock.advance(0.8)
    confirm(setup, setup.clock.now_s)
    setup.clock.advance(0.9)
    assert setup.cache.at_hand("k") is not None
    setup.clock.advance(0.2)
    assert setup.cache.at_hand("k") is None


@each_confirmation
@pytest.mark.parametrize("how", ["expire", "expire_all", "expire_landed_since"])
@in_loop
async def test_what_was_expired_is_confirmed_by_nothing(confirm: Confirm, how: str) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    confirm(setup, setup.clock.now_s + 1)
    if how == "expire_all":
        setup.cache.expire_all()
    elif how == "expire":
        setup.cache.expire("k")
    else:
        setup.cache.expire_landed_since(0.0)
    setup.clock.advance(2.0)
    confirm(setup, setup.clock.now_s)
    assert setup.cache.at_hand("k") is None
    setup.source.value = "second"
    assert await setup.get() == "second"
    setup.clock.advance(6.0)
    confirm(setup, setup.clock.now_s)
    setup.clock.advance(6.0)
    assert setup.cache.at_hand("k") is not None


@each_confirmation
@in_loop
async def test_a_confirmation_of_a_moment_before_the_load_shortens_nothing(
    confirm: Confirm,
) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    confirm(setup, setup.clock.now_s - 5.0)
    setup.clock.advance(7.4)
    assert setup.cache.at_hand("k", 7.5) is not None
    setup.clock.advance(2.5)
    assert setup.cache.at_hand("k") is not None


@each_confirmation
@in_loop
async def test_the_age_counts_from_the_confirmation(confirm: Confirm) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    setup.clock.advance(5.0)
    assert setup.cache.at_hand("k", 1.0) is None
    confirm(setup, setup.clock.now_s)
    setup.clock.advance(0.9)
    assert setup.cache.at_hand("k", 1.0) is not None
    assert setup.loads == 1


@in_loop
async def test_the_longest_lifetimes_are_spread_within_the_jitter() -> None:
    setup = Setup(max_age_s=MAX_AGE_S, jitter=0.5)
    keys = [str(number) for number in range(50)]
    for key in keys:
        await setup.filled(key=key)
    spans = [
        entry.last_until - setup.clock.now_s for key in keys if (entry := setup.cache.peek(key))
    ]
    assert len({round(span, 3) for span in spans}) > 40
    assert MAX_AGE_S / 2 <= min(spans) < MAX_AGE_S * 0.6
    assert MAX_AGE_S * 0.9 < max(spans) <= MAX_AGE_S


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
