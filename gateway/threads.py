"""Blocking calls beside an event loop: context managers, and calls that may hang."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
_Calls: TypeAlias = "SimpleQueue[tuple[asyncio.AbstractEventLoop, K, asyncio.Future[R]] | None]"


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


class KeyedThreads(Generic[K, R]):
    """Calls a blocking function that may hang, with at most one call for each key at a time.

    A call that hangs holds one thread, and delays nobody but those who ask for the same key. The
    threads are its own, so that all of them may hang and the rest of the process still has
    threads; and they are daemons, so that the process can end. anyio and concurrent.futures
    join their threads at the end of the process. For one event loop.
    """

    def __init__(self, function: Callable[[K], R], most_threads: int, patience_s: float) -> None:
        """`patience_s`: how long a caller waits."""
        self._function = function
        self._most_threads = most_threads
        self._patience_s = patience_s
        self._calls: _Calls[K, R] = SimpleQueue()
        self._threads = 0
        self._running: dict[K, asyncio.Future[R]] = {}

    async def call(self, key: K) -> R:
        """What the function returns, called after this moment.

        Raises: TimeoutError, after `patience_s`: the call hangs, or waits for one that hangs.
        """
        async with asyncio.timeout(self._patience_s):
            while (earlier := self._running.get(key)) is not None:
                # Not joined: what it returns may be older than what the caller knows already.
                await asyncio.wait({earlier})
            return await asyncio.shield(self.start(key))

    def start(self, key: K) -> "asyncio.Future[R]":
        """The call, for who waits as long as they like; of a key that has no other call."""
        loop = asyncio.get_running_loop()
        call = self._running[key] = loop.create_future()
        if self._threads < min(len(self._running), self._most_threads):
            self._threads += 1
            threading.Thread(target=self._work, args=(self._calls,), daemon=True).start()
        self._calls.put((loop, key, call))
        return call

    def close(self) -> None:
        """Ends the threads, each after its present call; what is under way is cancelled."""
        for call in self._running.values():
            call.cancel()
        self._running.clear()
        for _ in range(self._threads):
            self._calls.put(None)
        self._calls, self._threads = SimpleQueue(), 0

    def _work(self, calls: "_Calls[K, R]") -> None:
        while (item := calls.get()) is not None:
            loop, key, call = item
            try:
                end = partial(call.set_result, self._function(key))
            except BaseException as error:  # whatever it is: it is for the caller
                end = partial(call.set_exception, error)
            try:
                loop.call_soon_threadsafe(self._ended, key, call, end)
            except RuntimeError:  # the loop ended before the call did
                return

    def _ended(self, key: K, call: "asyncio.Future[R]", end: Callable[[], None]) -> None:
        if not call.done():  # it is done after `close`
            del self._running[key]
            end()
            call.exception()  # marked as seen: the caller may have given up
