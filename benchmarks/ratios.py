"""Ratios of two servers over the rounds of a run. Pure.

Each round's ratio is taken from two measurements seconds apart, then the median of the ratios:
what slows the whole machine for a while slows both, and cancels.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some rounds."""

    median: float
    low: float
    high: float
    doubtful: bool = False
    """Whether something else disturbed every one of the rounds."""


def spread_of(values: Iterable[float]) -> Spread | None:
    """None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def ratio_of_rounds(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Ours by theirs, over the rounds (the keys) that both have; None if there is none."""
    return spread_of(ours[number] / theirs[number] for number in ours if theirs.get(number))
