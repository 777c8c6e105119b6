"""Turns of those who watch for changes: who looks when, and what a request waits for after a rest.

A rest here lasts until somebody asks: only an alarm can wake who rests.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import uvloop

from gateway.caching import turns as turns_module
from gateway.caching.turns import Turns, next_turn
from tests.support.waiting import DEADLINE_S, until

PERIOD_S = 0.005


@pytest.fixture(autouse=True)
def _times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_UNASKED_S", 0.02)
    monkeypatch.setattr(turns_module, "_REST_S", 3600.0)
    monkeypatch.setattr(turns_module, "_PATIENCE_S", DEADLINE_S)


class Watcher:
    """Looks at each turn, while it may."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.may_look = asyncio.Event()
        self.may_look.set()
        self.looking = self.looked = 0

    async def run(self) -> None:
        while True:
            self.looking += 1
            await self.may_look.wait()
            self.looked += 1
            await self._turns.next(PERIOD_S)


class Watched:
    """Two watchers, and how many requests were answered."""

    def __init__(self) -> None:
        self.answered = 0
        self.turns = Turns(lambda: self.answered)
        self.watchers = [Watcher(self.turns), Watcher(self.turns)]
        self.tasks: list[asyncio.Task[None]] = []

    async def all_rest(self) -> None:
        await until(lambda: len(self.turns._asleep) == len(self.watchers))

    async def ask(self) -> None:
        async with self.turns.asking():
            self.answered += 1


Scenario = Callable[[Watched], Awaitable[None]]


def watching(scenario: Scenario) -> None:
    async def main() -> None:
        watched = Watched()
        watched.tasks = [asyncio.create_task(watcher.run()) for watcher in watched.watchers]
        async with asyncio.timeout(DEADLINE_S):
            await scenario(watched)
        for task in watched.tasks:
            task.cancel()
        await asyncio.gather(*watched.tasks, return_exceptions=True)

    asyncio.run(main())


@asynccontextmanager
async def begun(asking: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """A request that waits, until the block ends."""
    task = asyncio.ensure_future(asking)
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_turns_come_once_each_and_together_for_all_who_wait(run: Callable[..., None]) -> None:
    period_s = 0.05
    woken: dict[str, list[tuple[float, float]]] = {"a": [], "b": []}
    """When, and how late: in periods."""

    async def wait(name: str, late_s: float) -> None:
        await asyncio.sleep(late_s)
        while len(woken[name]) < 10:
            delay_s = await next_turn(period_s)
            woken[name].append((asyncio.get_running_loop().time() / period_s, delay_s / period_s))

    async def main() -> None:
        await asyncio.gather(wait("a", 0.0), wait("b", period_s / 2))

    run(main())
    for name, seen in woken.items():
        turns = {round(moment - late) for moment, late in seen}
        assert len(turns) == len(seen)  # none came twice
        # A busy machine is late, but not always: who began between two turns wakes at one.
        assert any(abs(moment - round(moment)) < 0.2 for moment, _ in seen), name


def test_nobody_rests_unless_requests_are_counted() -> None:
    async def main() -> None:
        watcher = Watcher(turns := Turns())
        task = asyncio.create_task(watcher.run())
        await until(lambda: watcher.looked > 20)
        assert not turns.is_resting
        task.cancel()

    asyncio.run(main())


def test_while_nobody_asks_nobody_looks() -> None:
    async def scenario(watched: Watched) -> None:
        await watched.all_rest()
        assert watched.turns.is_resting
        looked = [watcher.looked for watcher in watched.watchers]
        await asyncio.sleep(10 * PERIOD_S)  # not for luck: ten turns
        assert [watcher.looked for watcher in watched.watchers] == looked

    watching(scenario)


def test_answers_at_once_keep_all_awake() -> None:
    async def scenario(watched: Watched) -> None:
        first, _ = watched.watchers
        for _ in range(10):
            watched.answered += 1
            looked = first.looked
            await until(lambda: first.looked > looked)  # noqa: B023
            assert not watched.turns.is_resting

    watching(scenario)


def test_a_request_that_is_being_answered_keeps_all_awake() -> None:
    async def scenario(watched: Watched) -> None:
        async with watched.turns.asking():
            await until(lambda: watched.watchers[0].looked > 20)
            assert not watched.turns.is_resting
        await watched.all_rest()

    watching(scenario)


def test_the_first_request_after_a_rest_waits_until_all_have_looked() -> None:
    async def scenario(watched: Watched) -> None:
        await watched.all_rest()
        slow, quick = watched.watchers
        slow.may_look.clear()
        looked = quick.looked
        async with begun(watched.ask()) as first, begun(watched.ask()) as second:
            await until(lambda: quick.looked > looked + 2)  # it looks as often as before the rest
            assert watched.turns.is_resting
            assert watched.answered == 0
            slow.may_look.set()
            await asyncio.gather(first, second)
        assert not watched.turns.is_resting

    watching(scenario)


def test_a_look_that_hangs_is_waited_for_no_longer_than_a_change_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "_PATIENCE_S", 0.01)

    async def scenario(watched: Watched) -> None:
        await watched.all_rest()
        hanging, other = watched.watchers
        hanging.may_look.clear()
        await watched.ask()
        assert not watched.turns.is_resting
        # All rest again without it, and the next request does not wait for it.
        await until(lambda: watched.turns._asleep and watched.turns.is_resting)
        monkeypatch.setattr(turns_module, "_PATIENCE_S", 3600.0)
        looked = other.looked
        await watched.ask()
        assert other.looked > looked

    watching(scenario)


def test_who_ends_is_not_waited_for() -> None:
    async def scenario(watched: Watched) -> None:
        await watched.all_rest()
        watched.tasks[0].cancel()
        await asyncio.gather(watched.tasks[0], return_exceptions=True)
        await watched.ask()
        assert watched.answered == 1

    watching(scenario)


def test_a_client_who_goes_away_leaves_the_others_waiting_for_the_looks() -> None:
    async def scenario(watched: Watched) -> None:
        await watched.all_rest()
        slow, _ = watched.watchers
        slow.may_look.clear()
        async with AsyncExitStack() as stack:
            async with begun(watched.ask()):
                waiting = await stack.enter_async_context(begun(watched.ask()))
            assert watched.turns.is_resting
            slow.may_look.set()
            await waiting
        assert watched.answered == 1
        await watched.all_rest()  # nobody counts as asking any more

    watching(scenario)


def test_an_alarm_makes_all_look_at_once() -> None:
    async def scenario(watched: Watched) -> None:
        await watched.all_rest()
        looked = [watcher.looked for watcher in watched.watchers]
        watched.turns.wake()
        await until(
            lambda: all(
                watcher.looked > before
                for watcher, before in zip(watched.watchers, looked, strict=True)
            )
        )
        assert not watched.turns.is_resting

    watching(scenario)
