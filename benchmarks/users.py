"""Who asks next: users by Zipf's law, as real sites have them, or all alike. Pure."""

import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")

# The law's exponent for visits of people; 0 would be uniform.
_EXPONENT = 1.0

Choose = Callable[[], int]
"""A rank: 0 is the most frequent user."""


def zipf(count: int, seed: int = 1) -> Choose:
    """The user of rank n comes 1/n as often as the first."""
    source = random.Random(seed)  # noqa: S311 (no secret)
    reached = list(accumulate(1 / rank**_EXPONENT for rank in range(1, count + 1)))
    return lambda: bisect_left(reached, source.random() * reached[-1])


def uniform(count: int, seed: int = 1) -> Choose:
    source = random.Random(seed)  # noqa: S311 (no secret)
    return lambda: source.randrange(count)


LAWS = {"Zipf": zipf, "uniform": uniform}


def shuffled(values: Sequence[T], seed: int = 1) -> list[T]:
    """So that rank and place on the disk have nothing to do with each other."""
    found = list(values)
    random.Random(seed).shuffle(found)  # noqa: S311 (no secret)
    return found
