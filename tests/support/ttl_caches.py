"""A TTL cache with a clock and a source that the test controls."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields
from functools import wraps
from typing import Any, ParamSpec

from gateway.caching.entries import Capacity, Counters, Times
from gateway.caching.ttl_cache import TTLCache

TTL_S = 10.0
NEGATIVE_TTL_S = 1.0
STALE_S = 60.0
PAUSE_S = 1.0
"""Pause after a failure, in which the cache does not ask its source."""
DEADLINE_S = 20.0

P = ParamSpec("P")


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Runs the test in an event loop, and fails if a task leaves an error that nobody reads."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        complaints: list[dict[str, Any]] = []

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(
                lambda _loop, context: complaints.append(context)
            )
            async with asyncio.timeout(DEADLINE_S):
                await test(*args, **kwargs)

        asyncio.run(main())
        assert complaints == []

    return run


async def quiet() -> None:
    """Lets every task run until it ends or waits for an event of the test."""
    for _ in range(20):
        await asyncio.sleep(0)


class SourceError(Exception):
    """The source cannot be asked."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class Source:
    """Answers with what it holds when the load begins, once the gate is open."""

    def __init__(self) -> None:
        self.value: Any = "first"
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.running = 0

    async def load(self, key: str) -> Any:
        self.asked.append(key)
        value, error, gate = self.value, self.error, self.gate
        self.running += 1
        try:
            await gate.wait()
        finally:
            self.running -= 1
        if error is not None:
            raise error
        return value

    def close_gate(self) -> asyncio.Event:
        """Loads from now on wait for the returned event."""
        self.gate = asyncio.Event()
        return self.gate

    def open_gate(self) -> None:
        self.gate.set()

    def fail(self) -> None:
        self.error = SourceError("down")

    def recover(self) -> None:
        self.error = None


def build_cache(**options: Any) -> TTLCache[str, Any]:
    """A cache without jitter. `options`: also the fields of Times and of Capacity."""
    times, capacity = (
        {field.name: options.pop(field.name) for field in fields(kind) if field.name in options}
        for kind in (Times, Capacity)
    )
    return TTLCache(
        times=Times(**{"ttl_s": TTL_S, "stale_if_error_s": STALE_S, "jitter": 0.0, **times}),
        capacity=Capacity(**{"max_size": 100, **capacity}),
        **options,
    )


class Setup:
    """A cache, its clock, its source, and the number of calls of `on_change`."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.source = Source()
        self.changes = 0
        self.cache = build_cache(
            load=self.source.load,
            **{
                "negative_ttl_s": NEGATIVE_TTL_S,
                "is_negative": lambda value: value is None,
                "clock": self.clock,
                "on_change": self.count_change,
                **options,
            },
        )

    def count_change(self) -> None:
        self.changes += 1

    @property
    def loads(self) -> int:
        return len(self.source.asked)

    @property
    def counters(self) -> Counters:
        return self.cache.counters

    async def get(self, key: str = "k", **options: Any) -> Any:
        return await self.cache.get(key, **options)

    async def start_get(self, key: str = "k") -> "asyncio.Task[Any]":
        """A caller, run as far as it comes."""
        task = asyncio.create_task(self.get(key))
        await quiet()
        return task

    async def filled(self, value: Any = "first", key: str = "k") -> None:
        self.source.value = value
        assert await self.get(key) == value


def invalidate(cache: TTLCache[str, Any], how: str) -> None:
    if how == "purge":
        cache.purge("k")
    elif how == "expire":
        cache.expire("k")
    elif how == "purge_all":
        cache.purge_all()
    else:
        cache.expire_all()
