"""Deadlines move without a timer each, and nobody who takes bytes is cut off."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.hot_path.deadlines import Deadline, StallWatch


class Timer:
    def __init__(self, moment: float, call: Callable[[], None]) -> None:
        self.moment, self.call = moment, call
        self.is_cancelled = False

    def when(self) -> float:
        return self.moment

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> Timer:
        timer = Timer(self.now + delay_s, lambda: call(*arguments))
        self.timers.append(timer)
        return timer

    def turn_to(self, moment: float) -> None:
        while due := [timer for timer in self.waiting if timer.moment <= moment]:
            timer = min(due, key=Timer.when)
            self.now = timer.moment
            timer.is_cancelled = True
            timer.call()
        self.now = moment

    @property
    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def reached(loop: Loop) -> list[float]:
    return []


@pytest.fixture
def deadline(loop: Loop, reached: list[float]) -> Deadline:
    return Deadline(cast(asyncio.AbstractEventLoop, loop), lambda: reached.append(loop.now))


def test_a_deadline_is_reached_at_its_moment(
    loop: Loop, deadline: Deadline, reached: list[float]
) -> None:
    deadline.set(5)
    loop.turn_to(4.9)
    assert reached == []
    loop.turn_to(20)
    assert reached == [5]


def test_one_timer_follows_a_deadline_that_moves_away(
    loop: Loop, deadline: Deadline, reached: list[float]
) -> None:
    for moment in range(1000):
        loop.now = moment / 1000
        deadline.set(5)
    assert len(loop.timers) == 1
    loop.turn_to(20)
    assert reached == [pytest.approx(5.999)]


def test_a_deadline_that_comes_closer_is_kept(
    loop: Loop, deadline: Deadline, reached: list[float]
) -> None:
    deadline.set(10)
    deadline.set(5)
    loop.turn_to(20)
    assert reached == [5]


def test_a_deadline_that_is_cleared_or_closed_is_never_reached(
    loop: Loop, deadline: Deadline, reached: list[float]
) -> None:
    deadline.set(5)
    deadline.clear()
    loop.turn_to(20)
    assert loop.waiting == []
    deadline.set(5)
    deadline.close()
    loop.turn_to(40)
    assert reached == []


class Transport:
    """Writes into a buffer from which a test takes."""

    def __init__(self) -> None:
        self.buffered = 0
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def stall(loop: Loop, transport: Transport) -> StallWatch:
    return StallWatch(
        cast(asyncio.AbstractEventLoop, loop), cast(asyncio.Transport, transport), timeout_s=30
    )


def write(stall: StallWatch, transport: Transport, size: int) -> None:
    stall.written_bytes += size
    transport.buffered += size
    stall.watch()


def test_a_client_that_takes_nothing_is_cut_off(
    loop: Loop, transport: Transport, stall: StallWatch
) -> None:
    write(stall, transport, 100)
    loop.turn_to(29)
    assert not transport.is_aborted
    loop.turn_to(31)
    assert transport.is_aborted


def test_a_client_that_takes_a_byte_in_time_is_not_although_more_is_written(
    loop: Loop, transport: Transport, stall: StallWatch
) -> None:
    for moment in range(0, 300, 25):
        loop.turn_to(moment)
        transport.buffered = max(0, transport.buffered - 1)
        write(stall, transport, 1)
    assert not transport.is_aborted


def test_nothing_is_watched_when_all_is_taken(
    loop: Loop, transport: Transport, stall: StallWatch
) -> None:
    write(stall, transport, 100)
    transport.buffered = 0
    loop.turn_to(100)
    assert loop.waiting == []
    assert not transport.is_aborted
