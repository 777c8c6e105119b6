"""Blocking calls beside an event loop: context managers, and calls that may hang."""

import asyncio
import threading
from collections import deque
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Hashable,
    Iterable,
    KeysView,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
_Trips: TypeAlias = "SimpleQueue[_Trip[K, R] | None]"

# A trip of 64 small files takes 2 ms. A call hangs if it has not returned after two looks.
_LOOK_S = 0.025
# They wait for fsync, not for the processor.
_THREADS = 8


@asynccontextmanager
async def entered_in_thread(
    context: AbstractContextManager[None], limiter: CapacityLimiter | None = None
) -> AsyncIterator[None]:
    """For a lock: entering it may wait for another process. `limiter`: of the threads."""
    await run_sync(context.__enter__, limiter=limiter)
    try:
        yield
    finally:
        context.__exit__(None, None, None)


class InThreads(Protocol):
    """Applies a blocking function to each item; results in the order of the items."""

    async def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> list[R]: ...


@asynccontextmanager
async def threads() -> AsyncIterator[InThreads]:
    with ThreadPoolExecutor(_THREADS) as pool:

        async def apply(function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
            # A part for each thread: handing over one item costs more than reading its file.
            parts = [items[start::_THREADS] for start in range(min(_THREADS, len(items)))]

            def applied() -> list[list[R]]:
                return list(pool.map(lambda part: list(map(function, part)), parts))

            results = await run_sync(applied)
            return [results[place % _THREADS][place // _THREADS] for place in range(len(items))]

        yield apply


class _Raised:
    """What the function raised for a key, in the place of its result."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Trip(Generic[K, R]):
    """Keys for which the function is called in one thread, or in more while it takes long.

    Each key is taken from `untaken` by one thread: `popleft` is atomic.
    """

    def __init__(self, keys: Iterable[K], loop: asyncio.AbstractEventLoop) -> None:
        self.untaken = deque(keys)
        self.keys = tuple(self.untaken)
        self.loop = loop
        self.started_at = loop.time()
        self.timer: asyncio.TimerHandle | None = None
        """For the next look at it."""
        self.were_all_taken = False
        self.outcomes: dict[K, R | _Raised] = {}
        """Written by the threads."""
        self.over: asyncio.Future[None] = loop.create_future()
        """Done when all keys have an outcome, but for those that are in `late`."""
        self.late: dict[K, asyncio.Future[R]] = {}
        """The calls that hang, or wait for a thread since long."""

    def run(self, function: Callable[[K], R]) -> None:
        """Blocking."""
        untaken, outcomes = self.untaken, self.outcomes
        while True:
            try:
                key = untaken.popleft()
            except IndexError:
                return
            try:
                outcomes[key] = function(key)
            except BaseException as error:  # whatever it is: it is for the caller
                outcomes[key] = _Raised(error)

    def result(self, key: K) -> "R | asyncio.Future[R]":
        """After `over`: what the function returned; a future where it raised or hangs."""
        late = self.late.get(key)
        if late is not None:
            return late
        outcome = self.outcomes[key]
        if not isinstance(outcome, _Raised):
            return outcome
        failed: asyncio.Future[R] = self.loop.create_future()
        _settle(failed, outcome)
        return failed


def in_own_thread(function: Callable[[], R]) -> "asyncio.Future[R]":
    """What the function returns or raises; called in a thread of its own, which it may keep for
    ever: the process can end all the same."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[R] = loop.create_future()

    def run() -> None:
        try:
            outcome: R | _Raised = function()
        except BaseException as error:  # whatever it is: it is for the caller
            outcome = _Raised(error)
        with suppress(RuntimeError):  # the loop ended before
            loop.call_soon_threadsafe(_settle, result, outcome)

    threading.Thread(target=run, daemon=True).start()
    return result


def _settle(future: "asyncio.Future[R]", outcome: R | _Raised) -> None:
    if future.done():  # as after `close`
        return
    if isinstance(outcome, _Raised):
        future.set_exception(outcome.error)
        mark_seen(future)
    else:
        future.set_result(outcome)


def _begun(result: Coroutine[Any, Any, R]) -> "asyncio.Future[R]":
    task = asyncio.ensure_future(result)
    task.add_done_callback(mark_seen)
    return task


def mark_seen(future: "asyncio.Future[R]") -> None:
    """The caller may have given up."""
    if not future.cancelled():
        future.exception()


class KeyedThreads(Generic[K, R]):
    """Calls a blocking function that may hang, with at most one call for each key at a time.

    Calls for many keys make one trip through a thread: to hand something over to a thread and
    back costs more than to read a file. A call that hangs holds one thread, and delays nobody
    but those who ask for the same key: while a trip lasts, one thread after another comes to its
    help.

    The threads are its own, so that all of them may hang and the rest of the process still has
    threads; and they are daemons, so that the process can end. anyio and concurrent.futures
    join their threads at the end of the process. For one event loop.
    """

    def __init__(self, function: Callable[[K], R], most_threads: int, patience_s: float) -> None:
        """`patience_s`: how long a caller waits."""
        self._function = function
        self._most_threads = most_threads
        self._patience_s = patience_s
        self._trips: _Trips[K, R] = SimpleQueue()
        self._threads = 0
        self._wanted = 0
        """Threads that are on a trip, and trips that wait for one."""
        self._running: dict[K, asyncio.Future[None] | asyncio.Future[R]] = {}
        """What is done when the call for the key has ended, or hangs; many keys share one."""

    @property
    def running(self) -> KeysView[K]:
        """Keys that are being called; while no trip is under way, those whose call hangs."""
        return self._running.keys()

    async def call(self, key: K) -> R:
        """What the function returns, called after this moment.

        Raises: TimeoutError, after `patience_s`: the call hangs, or waits for one that hangs.
        """
        async with asyncio.timeout(self._patience_s):
            while (earlier := self._running.get(key)) is not None:
                # Not joined: what it returns may be older than what the caller knows already.
                await asyncio.wait({earlier})
            trip = self._begin([key])
            await asyncio.shield(trip.over)
            result = trip.result(key)
            return await asyncio.shield(result) if isinstance(result, asyncio.Future) else result

    async def call_many(self, keys: Iterable[K]) -> dict[K, R | asyncio.Future[R]]:
        """What the function returns for keys that all differ, called after this moment.

        It is a future for a key whose call raises or hangs, or waits for one that hangs; the
        future raises what `call` does.
        """
        results: dict[K, R | asyncio.Future[R]] = {}
        free = []
        for key in keys:
            if key in self._running:
                results[key] = _begun(self.call(key))
            else:
                free.append(key)
        if free:
            trip = self._begin(free)
            await asyncio.shield(trip.over)
            for key in free:
                results[key] = trip.result(key)
            until = trip.started_at + self._patience_s
            for key, late in trip.late.items():
                results[key] = _begun(_awaited(late, until))
        return results

    def close(self) -> None:
        """Ends the threads, each after its present call; what is under way is cancelled."""
        for call in self._running.values():
            call.cancel()
        self._running.clear()
        for _ in range(self._threads):
            self._trips.put(None)
        self._trips, self._threads, self._wanted = SimpleQueue(), 0, 0

    def _begin(self, keys: Iterable[K]) -> _Trip[K, R]:
        """Of keys that have no other call."""
        trip = _Trip[K, R](keys, asyncio.get_running_loop())
        self._running.update(dict.fromkeys(trip.keys, trip.over))
        self._give_thread(trip)
        trip.timer = trip.loop.call_later(_LOOK_S, self._look, trip)
        return trip

    def _give_thread(self, trip: _Trip[K, R]) -> None:
        self._wanted += 1
        if self._threads < min(self._wanted, self._most_threads):
            self._threads += 1
            threading.Thread(target=self._work, args=(self._trips,), daemon=True).start()
        self._trips.put(trip)

    def _work(self, trips: "_Trips[K, R]") -> None:
        while (trip := trips.get()) is not None:
            trip.run(self._function)
            try:
                trip.loop.call_soon_threadsafe(self._returned, trip, trips)
            except RuntimeError:  # the loop ended before the call did
                return
            # A thread that waits for its next trip would keep all results of the last one.
            del trip

    def _look(self, trip: _Trip[K, R]) -> None:
        """Again and again while the trip lasts."""
        if trip.over.done():
            return
        lasts_s = trip.loop.time() - trip.started_at
        if trip.were_all_taken or lasts_s > self._patience_s:
            self._end(trip)
            return
        trip.were_all_taken = not trip.untaken
        if trip.untaken and self._wanted < self._most_threads:
            self._give_thread(trip)
        trip.timer = trip.loop.call_later(_LOOK_S, self._look, trip)

    def _returned(self, trip: _Trip[K, R], trips: "_Trips[K, R]") -> None:
        """A thread has ended its part of the trip."""
        if trips is self._trips:  # it is another after `close`
            self._wanted -= 1
        if not trip.over.done() and len(trip.outcomes) == len(trip.keys):
            self._end(trip)
        for key in [key for key in trip.late if key in trip.outcomes]:
            late = trip.late[key]
            if self._running.get(key) is late:
                del self._running[key]
            _settle(late, trip.outcomes[key])

    def _end(self, trip: _Trip[K, R]) -> None:
        """What hangs has a future of its own from now on, and nobody else waits for it."""
        for key in trip.keys:
            if key in trip.outcomes:
                del self._running[key]
            else:
                trip.late[key] = self._running[key] = trip.loop.create_future()
        if trip.timer is not None:
            trip.timer.cancel()
        trip.over.set_result(None)


async def _awaited(late: "asyncio.Future[R]", until: float) -> R:
    """Raises: TimeoutError, at the moment `until` of the loop's clock."""
    async with asyncio.timeout_at(until):
        return await asyncio.shield(late)
