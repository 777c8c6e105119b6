"""Waits for a condition until a deadline, so that no test sleeps for a fixed time.

The deadline only ends a test that hangs. It is long, because a busy machine is no reason to fail;
how soon something happens is measured by the benchmarks.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 20.0
_PAUSE_S = 0.02
_PAUSE_IN_LOOP_S = 0.005


def eventually(
    ask: Callable[[], T], holds: Callable[[T], bool], deadline_s: float = DEADLINE_S
) -> T:
    """The first answer that `holds`. Raises: AssertionError with the last one, at the deadline."""
    end = time.monotonic() + deadline_s
    while not holds(answer := ask()):
        assert time.monotonic() < end, f"not within {deadline_s} s; the last answer was {answer}"
        time.sleep(_PAUSE_S)
    return answer


def for_a_while(duration_s: float) -> Iterator[None]:
    """Yields again and again until the time is over, for what must hold all the while."""
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        yield


async def until_answer(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """`eventually` for a coroutine function. The event loop runs meanwhile."""
    end = time.monotonic() + DEADLINE_S
    while not holds(answer := await ask()):
        assert time.monotonic() < end, f"not within {DEADLINE_S} s; the last answer was {answer}"
        await asyncio.sleep(_PAUSE_IN_LOOP_S)
    return answer


async def until(holds: Callable[[], object]) -> None:
    """Waits in an event loop until `holds` is true. Raises: AssertionError at the deadline."""

    async def ask() -> object:
        return holds()

    await until_answer(ask, bool)
