"""Turns: one caller at a time for each key, and few keys at once.

Callers take a turn before locks and threads. A caller that waits for its turn is one coroutine,
and holds nothing that others need.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from gateway.errors import TooManyChanges


class Turns:
    """Gives turns in the order in which callers come. For one event loop."""

    def __init__(self, at_once: int, max_waiting: int) -> None:
        """`at_once`: turns of different keys that run together. `max_waiting`: callers per key."""
        self._running = asyncio.Semaphore(at_once)
        self._max_callers = 1 + max_waiting
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._callers: Counter[Hashable] = Counter()
        """By key: the caller that has the turn, and those that wait."""

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """The block runs while nobody else has a turn of `key`.

        Raises: TooManyChanges, at once, if too many wait for `key` already.
        """
        if self._callers[key] >= self._max_callers:
            raise TooManyChanges
        self._callers[key] += 1
        try:
            # The key comes first: of many callers of one key, only one competes with other keys.
            async with self._locks.setdefault(key, asyncio.Lock()), self._running:
                yield
        finally:
            self._callers[key] -= 1
            if not self._callers[key]:
                del self._callers[key], self._locks[key]
