"""Turns: one caller at a time for each key, and few keys at once.

Callers take a turn before locks and threads. A caller that waits for its turn is one coroutine,
and holds nothing that others need.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.errors import TooManyChanges


@dataclass(slots=True)
class _Queue:
    """The callers of one key."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0
    """The caller that has the turn, and those that wait."""


class Turns:
    """Gives turns in the order in which callers come. For one event loop."""

    def __init__(self, at_once: int, max_waiting: int) -> None:
        """`at_once`: turns of different keys that run together. `max_waiting`: callers per key."""
        self._running = asyncio.Semaphore(at_once)
        self._max_callers = 1 + max_waiting
        self._queues: dict[Hashable, _Queue] = {}

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """The block runs while nobody else has a turn of `key`.

        Raises: TooManyChanges, at once, if too many wait for `key` already.
        """
        queue = self._queues.setdefault(key, _Queue())
        if queue.callers >= self._max_callers:
            raise TooManyChanges
        queue.callers += 1
        try:
            # The key comes first: of many callers of one key, only one competes with other keys.
            async with queue.lock, self._running:
                yield
        finally:
            queue.callers -= 1
            if not queue.callers:
                del self._queues[key]
