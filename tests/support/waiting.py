"""Waiting for what must come to pass: a condition and a deadline, never a fixed sleep."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE_S = 0.02


def eventually(ask: Callable[[], T], holds: Callable[[T], bool], deadline_s: float = 10.0) -> T:
    """The first answer that `holds`. Raises: AssertionError with the last one, at the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        answer = ask()
        if holds(answer):
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s; the last answer was {answer}")
        time.sleep(_PAUSE_S)
