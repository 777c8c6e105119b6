"""Turns: one caller at a time for each key, few keys at once, and a bounded number that waits."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps

import pytest

from gateway.errors import TooManyChanges
from gateway.lifecycle.turns import Turns

AT_ONCE, MAX_WAITING = 2, 3


def in_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Runs the test in an event loop, which cancels what the test leaves waiting."""

    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class Work:
    """Callers that hold their turn until they are let go."""

    def __init__(self) -> None:
        self.turns = Turns(AT_ONCE, MAX_WAITING)
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}

    async def start(self, name: str) -> asyncio.Task[None]:
        """`name`: its first letter is the key."""
        self._ends[name] = asyncio.Event()
        task = asyncio.create_task(self._run(name))
        await settled()
        return task

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settled()

    async def _run(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.begun.append(name)
            await self._ends[name].wait()


async def settled() -> None:
    """Whoever can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


@in_a_loop
async def test_callers_of_one_key_follow_each_other_in_the_order_they_came() -> None:
    work = Work()
    tasks = [await work.start(name) for name in ("a1", "a2", "a3")]
    assert work.begun == ["a1"]
    await work.end("a1")
    assert work.begun == ["a1", "a2"]
    await work.end("a2")
    await work.end("a3")
    assert work.begun == ["a1", "a2", "a3"]
    await asyncio.gather(*tasks)


@in_a_loop
async def test_many_callers_of_one_key_do_not_keep_another_key_waiting() -> None:
    work = Work()
    for name in ("a1", "a2", "a3", "b1"):
        await work.start(name)
    assert work.begun == ["a1", "b1"]


@in_a_loop
async def test_so_many_keys_as_allowed_have_a_turn_at_once() -> None:
    work = Work()
    for name in ("a1", "b1", "c1"):
        await work.start(name)
    assert work.begun == ["a1", "b1"]
    await work.end("a1")
    assert work.begun == ["a1", "b1", "c1"]


@in_a_loop
async def test_one_caller_too_many_is_refused_at_once_and_others_are_not() -> None:
    work = Work()
    for number in range(1 + MAX_WAITING):
        await work.start(f"a{number}")
    with pytest.raises(TooManyChanges):
        await (await work.start("a9"))
    await work.start("b1")
    assert work.begun == ["a0", "b1"]
    await work.end("a0")  # one place is free again
    assert not (await work.start("a8")).done()


@in_a_loop
async def test_whoever_stops_waiting_gives_the_place_free() -> None:
    work = Work()
    await work.start("a0")
    waiting = [await work.start(f"a{number}") for number in range(1, 1 + MAX_WAITING)]
    waiting[0].cancel()
    await settled()
    assert not (await work.start("a8")).done()
    await work.end("a0")
    assert work.begun == ["a0", "a2"]


@in_a_loop
async def test_nothing_is_kept_of_a_key_that_nobody_waits_for() -> None:
    work = Work()
    task = await work.start("a1")
    await work.end("a1")
    await task
    assert not work.turns._locks
