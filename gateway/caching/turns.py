"""When those who watch for changes look: on common turns, and rarely while nobody asks.

Caches answer at once what their sources of changes have confirmed a moment ago. While nobody asks,
nobody can be given an old answer, so the sources rest: `Turns.next` lets them wait for two seconds.
Whoever asks then must not be answered from the caches at once, as `is_resting` says. They wait in
`asking`, which wakes all who rest, until each of these has looked: less than a millisecond.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count

import anyio

# Nobody has asked for this long: a page that loads asks more often.
_UNASKED_S = 1.0
# A wake-up with all looks and the report costs up to 2 ms after a rest: all data has left the CPU's
# caches. A worker that has not reported for 5 s counts as hung.
_REST_S = 2.0
# As long as a change may take to show. A look that takes longer hangs, and `ttl` bounds the rest.
_PATIENCE_S = 0.25
_EARLY_SHARE = 0.05
_another_each_time = count().__next__


async def next_turn(period_s: float, alarm: asyncio.Event | None = None) -> float:
    """Sleeps until the loop's clock shows a multiple of `period_s`, or until the alarm. Returns how
    many seconds after the turn it woke.

    All who wait for this moment wake the process once: waking costs 80 to 100 µs, far more than the
    work of most of them.
    """
    loop = asyncio.get_running_loop()
    now = loop.time()
    # A timer may fire a little early. Then the turn that is about to come is this one.
    turn_at = (math.floor(now / period_s + _EARLY_SHARE) + 1) * period_s
    if alarm is None:
        await asyncio.sleep(turn_at - now)
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(turn_at):
                await alarm.wait()
    return max(0.0, loop.time() - turn_at)


class Turns:
    """The turns of all who watch for changes in one event loop. Each is a task."""

    def __init__(self, answered: Callable[[], float] = _another_each_time) -> None:
        """`answered`: how many requests were answered. By default there is always a new one, so
        that nobody ever rests.
        """
        self.is_resting = False
        """Whether the caches must not answer outside of `asking`. Read in any thread."""
        self._answered = answered
        self._seen = -1.0
        self._seen_at = -math.inf
        self._asking = 0
        self._alarm = self._all_have_looked = asyncio.Event()
        self._asleep: set[object] = set()
        """Tasks that rest, or were woken and have not looked yet."""

    async def next(self, period_s: float) -> float:
        """As `next_turn`, for a task that has just looked, and that looks again when this returns.
        While nobody asks that is every two seconds."""
        task = asyncio.current_task()
        self._asleep.discard(task)
        self._end_if_all_have_looked()
        self._begin_if_nobody_asks()
        if not self.is_resting or self._alarm.is_set():
            return await next_turn(period_s)
        alarm = self._alarm
        self._asleep.add(task)
        try:
            return await next_turn(max(period_s, _REST_S), alarm)
        finally:
            if not alarm.is_set():
                self._asleep.discard(task)

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """For a request that is not answered at once. The block begins when all who rested have
        looked, or after 250 ms. Nobody rests before it ends.
        """
        self._asking += 1
        try:
            if self.is_resting:
                self.wake()
                with anyio.move_on_after(_PATIENCE_S):
                    await self._all_have_looked.wait()
                self._end()
            yield
        finally:
            self._asking -= 1

    def wake(self) -> None:
        """Ends the rest, if there is one, as soon as all have looked."""
        if self.is_resting:
            self._alarm.set()
            self._end_if_all_have_looked()

    def _begin_if_nobody_asks(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.is_resting or now < self._seen_at + _UNASKED_S:
            return
        before, self._seen, self._seen_at = self._seen, self._answered(), now
        if self._seen == before and not self._asking:
            self.is_resting = True
            self._alarm, self._all_have_looked = asyncio.Event(), asyncio.Event()
            self._asleep.clear()

    def _end_if_all_have_looked(self) -> None:
        if self._alarm.is_set() and not self._asleep:
            self._end()

    def _end(self) -> None:
        self.is_resting = False
        self._all_have_looked.set()
