"""Calls blocking functions beside an event loop.

entered_in_thread   a lock that may be held by another process
in_threads          many short calls, for a command
in_own_thread       one call that may hang
KeyedThreads        calls for many keys, any of which may hang, while requests wait
"""

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
from typing import Any, Generic, TypeAlias, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")
_Trips: TypeAlias = "SimpleQueue[_Trip[K, R] | None]"

# The event loop looks at each trip this often. A call that lasts for two looks counts as hanging.
# A trip of 64 small files takes 2 ms.
_LOOK_S = 0.025
# Of `in_threads`. More than there are processors: these threads wait for fsync.
_THREADS = 8


@asynccontextmanager
async def entered_in_thread(
    context: AbstractContextManager[T], limiter: CapacityLimiter | None = None
) -> AsyncIterator[T]:
    """Enters a lock in a thread, and leaves it in the event loop's."""
    entered = await run_sync(context.__enter__, limiter=limiter)
    try:
        yield entered
    finally:
        context.__exit__(None, None, None)


async def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What a blocking function returns for each item, in the order of the items.

    Each call starts up to 8 threads, and ends them. It is meant for hundreds of items.
    """
    # One part for each thread: handing over an item costs more than reading its file.
    parts = [items[start::_THREADS] for start in range(min(_THREADS, len(items)))]

    def apply() -> list[list[R]]:
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(lambda part: list(map(function, part)), parts))

    results = await run_sync(apply)
    return [results[place % _THREADS][place // _THREADS] for place in range(len(items))]


class _Raised:
    """Stands for the result of a call that raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def in_own_thread(function: Callable[[], R]) -> "asyncio.Future[R]":
    """What the function returns or raises. It may hang: it has a thread of its own, which does not
    keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[R] = loop.create_future()

    def run() -> None:
        try:
            result: R | _Raised = function()
        except BaseException as error:  # the caller gets it
            result = _Raised(error)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_settle, future, result)

    threading.Thread(target=run, daemon=True).start()
    return future


def _settle(future: "asyncio.Future[R]", result: R | _Raised) -> None:
    if future.done():  # `close` cancels it
        return
    if isinstance(result, _Raised):
        future.set_exception(result.error)
        mark_seen(future)
    else:
        future.set_result(result)


def _task(coroutine: Coroutine[Any, Any, R]) -> "asyncio.Future[R]":
    task = asyncio.create_task(coroutine)
    task.add_done_callback(mark_seen)
    return task


def mark_seen(future: "asyncio.Future[R]") -> None:
    """Keeps asyncio from logging an error that nobody awaits: the caller may have given up."""
    if not future.cancelled():
        future.exception()


class _Trip(Generic[K, R]):
    """Keys for which the function is called, in one thread, or in more if the calls take long.

    `popleft` is atomic, so each key is taken from `untaken` by one thread.
    """

    def __init__(self, keys: Iterable[K], loop: asyncio.AbstractEventLoop) -> None:
        self.untaken = deque(keys)
        self.keys = tuple(self.untaken)
        self.loop = loop
        self.started_at = loop.time()
        self.timer: asyncio.TimerHandle | None = None
        """Calls the next look at the trip."""
        self.all_taken = False
        """Whether threads had taken all keys at the last look."""
        self.results: dict[K, R | _Raised] = {}
        """By key; the threads write it."""
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when each key is in `results` or in `late`."""
        self.late: dict[K, asyncio.Future[R]] = {}
        """Calls that hang, or have waited for a thread for long."""

    def run(self, function: Callable[[K], R]) -> None:
        """Blocking."""
        untaken, results = self.untaken, self.results
        while True:
            try:
                key = untaken.popleft()
            except IndexError:
                return
            try:
                results[key] = function(key)
            except BaseException as error:  # the caller gets it
                results[key] = _Raised(error)

    def result(self, key: K) -> "R | asyncio.Future[R]":
        """After `ended`: what the function returned; a future, if it raised or hangs."""
        late = self.late.get(key)
        if late is not None:
            return late
        result = self.results[key]
        if not isinstance(result, _Raised):
            return result
        failed: asyncio.Future[R] = self.loop.create_future()
        _settle(failed, result)
        return failed


class KeyedThreads(Generic[K, R]):
    """Calls a blocking function that may hang, with at most one call for each key at a time.

    Calls for many keys make one trip through a thread: a hop to a thread and back costs more than
    to read a file. A call that hangs holds one thread, and delays only the callers of the same key:
    while a trip lasts, more threads take keys from it, one after another.

    The threads are not shared, so that all of them may hang and the rest of the process still has
    threads. They are daemons, so that the process can end: anyio and concurrent.futures join
    their threads at the end of the process. For one event loop.
    """

    def __init__(self, function: Callable[[K], R], most_threads: int, patience_s: float) -> None:
        """`patience_s`: how long a caller waits."""
        self._function = function
        self._most_threads = most_threads
        self._patience_s = patience_s
        self._trips: _Trips[K, R] = SimpleQueue()
        self._threads = 0
        self._busy = 0
        """The number of threads on a trip, and of trips that wait for a thread."""
        self._running: dict[K, asyncio.Future[None] | asyncio.Future[R]] = {}
        """By key: done when the call has ended, or hangs. The keys of a trip share it."""

    @property
    def running(self) -> KeysView[K]:
        """Keys with a call that has not ended. If no trip is under way, all of them hang."""
        return self._running.keys()

    async def call(self, key: K) -> R:
        """What the function returns, called after this moment.

        Raises: TimeoutError, after `patience_s`: the call hangs, or waits for one that hangs.
        """
        async with asyncio.timeout(self._patience_s):
            while (earlier := self._running.get(key)) is not None:
                # The caller may know something newer than what the earlier call returns.
                await asyncio.wait({earlier})
            trip = self._begin([key])
            await asyncio.shield(trip.ended)
            result = trip.result(key)
            return await asyncio.shield(result) if isinstance(result, asyncio.Future) else result

    async def call_many(self, keys: Iterable[K]) -> dict[K, R | asyncio.Future[R]]:
        """What the function returns for keys that all differ, called after this moment.

        The value is a future if the call of its key raises or hangs, or waits for a call that
        hangs. The future raises what `call` raises.
        """
        results: dict[K, R | asyncio.Future[R]] = {}
        free_keys = []
        for key in keys:
            if key in self._running:
                results[key] = _task(self.call(key))
            else:
                free_keys.append(key)
        if free_keys:
            trip = self._begin(free_keys)
            await asyncio.shield(trip.ended)
            for key in free_keys:
                results[key] = trip.result(key)
            until = trip.started_at + self._patience_s
            for key, late in trip.late.items():
                results[key] = _task(_awaited(late, until))
        return results

    def close(self) -> None:
        """Cancels all calls. Each thread ends after the call that it runs."""
        for call in self._running.values():
            call.cancel()
        self._running.clear()
        for _ in range(self._threads):
            self._trips.put(None)
        self._trips, self._threads, self._busy = SimpleQueue(), 0, 0

    def _begin(self, keys: Iterable[K]) -> _Trip[K, R]:
        """The keys have no other call."""
        trip = _Trip[K, R](keys, asyncio.get_running_loop())
        self._running.update(dict.fromkeys(trip.keys, trip.ended))
        self._give_thread(trip)
        trip.timer = trip.loop.call_later(_LOOK_S, self._look, trip)
        return trip

    def _give_thread(self, trip: _Trip[K, R]) -> None:
        self._busy += 1
        if self._threads < min(self._busy, self._most_threads):
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
            # Otherwise a thread that waits for its next trip keeps the results of the last one.
            del trip

    def _look(self, trip: _Trip[K, R]) -> None:
        """Called every `_LOOK_S` while the trip lasts: more threads help, until calls hang."""
        if trip.ended.done():
            return
        lasts_s = trip.loop.time() - trip.started_at
        if trip.all_taken or lasts_s > self._patience_s:
            self._end(trip)
            return
        trip.all_taken = not trip.untaken
        if trip.untaken and self._busy < self._most_threads:
            self._give_thread(trip)
        trip.timer = trip.loop.call_later(_LOOK_S, self._look, trip)

    def _returned(self, trip: _Trip[K, R], trips: "_Trips[K, R]") -> None:
        """A thread has ended its part of the trip."""
        if trips is self._trips:  # `close` replaces it
            self._busy -= 1
        if not trip.ended.done() and len(trip.results) == len(trip.keys):
            self._end(trip)
        for key in [key for key in trip.late if key in trip.results]:
            late = trip.late[key]
            if self._running.get(key) is late:
                del self._running[key]
            _settle(late, trip.results[key])

    def _end(self, trip: _Trip[K, R]) -> None:
        """Gives each call that hangs a future of its own: the other callers do not wait for it."""
        for key in trip.keys:
            if key in trip.results:
                del self._running[key]
            else:
                trip.late[key] = self._running[key] = trip.loop.create_future()
        if trip.timer is not None:
            trip.timer.cancel()
        trip.ended.set_result(None)


async def _awaited(late: "asyncio.Future[R]", until: float) -> R:
    """Raises: TimeoutError, at the moment `until` of the loop's clock."""
    async with asyncio.timeout_at(until):
        return await asyncio.shield(late)
