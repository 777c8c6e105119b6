"""Keys that are missed together share one load."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.support.ttl_caches import (
    TTL_S,
    Clock,
    SourceError,
    build_cache,
    in_loop,
    invalidate,
    quiet,
)


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
        self.cache = build_cache(
            load_many=self.source.load, max_size=10_000, clock=self.clock, **options
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


@pytest.fixture
def turn_s(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long each turn of the loop seems to take."""

    def set_turn_s(turn_s: float) -> None:
        moments = itertools.count(1000.0, turn_s)
        monkeypatch.setattr("gateway.caching.flights.perf_counter", lambda: next(moments))

    return set_turn_s


@in_loop
async def test_keys_that_are_missed_while_the_loop_is_busy_share_a_load(
    turn_s: Callable[[float], None],
) -> None:
    turn_s(0.0001)
    setup = ManySetup()
    asking = []
    for key in "abcd":
        asking += setup.ask(key)
        for _ in range(3):
            await asyncio.sleep(0)
    assert setup.source.asked == []
    await asyncio.gather(*asking)
    assert setup.source.asked == [["a", "b", "c", "d"]]


@pytest.mark.parametrize(("busy_s", "turns"), [(0.0001, 25), (0.001, 5), (0.000005, 4)])
@in_loop
async def test_a_load_begins_at_once_in_an_idle_loop_and_after_a_while_in_a_busy_one(
    turn_s: Callable[[float], None], busy_s: float, turns: int
) -> None:
    turn_s(busy_s)
    setup = ManySetup()
    (asking,) = setup.ask("a")
    for _ in range(turns):
        await asyncio.sleep(0)
    assert setup.source.asked == [["a"]]
    await asking


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
    assert list(setup.cache) == ["c"]


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
    assert sorted(setup.cache) == ["a", "c"]


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
