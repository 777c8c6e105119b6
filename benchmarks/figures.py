"""What is made of measured numbers: spreads, ratios, percentiles, fitted lines. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hdrh.histogram import HdrHistogram

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
PERCENTILE_NAMES = ("p50", "p90", "p99", "p99.9", "max")
_LONGEST_NS = 600 * 10**9


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some rounds."""

    median: float
    low: float
    high: float
    doubtful: bool = False
    """Whether other processes disturbed every one of the rounds."""


def exactly(value: float) -> Spread:
    """The spread of one number."""
    return Spread(value, value, value)


def spread_of(values: Iterable[float]) -> Spread | None:
    """None if there are no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def ratio_of_rounds(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Spread | None:
    """Ours divided by theirs, over the rounds (the keys) that both have; None if there is none.

    The two measurements of a round are seconds apart: what slows the whole machine for a while
    slows both, and cancels. So this is the median of the ratios, not the ratio of the medians.
    """
    return spread_of(ours[number] / theirs[number] for number in ours if theirs.get(number))


class Latencies:
    """A High Dynamic Range histogram of nanoseconds: percentiles to three digits."""

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._histogram = HdrHistogram(1, _LONGEST_NS, 3)
        for duration in nanoseconds:
            self.add(duration)

    def add(self, nanoseconds: int) -> None:
        self._histogram.record_value(min(max(nanoseconds, 1), _LONGEST_NS))

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def percentile_us(self, percentile: float) -> float:
        """Microseconds; the maximum for 100."""
        return float(self._histogram.get_value_at_percentile(percentile)) / 1000

    def percentiles_us(self) -> Sequence[float]:
        """In the order of PERCENTILES."""
        return [self.percentile_us(percentile) for percentile in PERCENTILES]


def us_text(microseconds: float) -> str:
    return f"{microseconds:,.2f}" if microseconds < 100 else f"{microseconds:,.0f}"


@dataclass(frozen=True, slots=True)
class Line:
    """The line that fits samples over time best (least squares)."""

    level: float
    """At the first sample."""
    per_s: float
    duration_s: float

    @property
    def rise(self) -> float:
        """From the first sample to the last, along the line."""
        return self.per_s * self.duration_s


def fitted_line(samples: Sequence[tuple[float, float]]) -> Line:
    """Through (second, value). Raises: ValueError, if there are fewer than two moments."""
    seconds, values = [second for second, _ in samples], [value for _, value in samples]
    per_s, at_zero = statistics.linear_regression(seconds, values)
    return Line(at_zero + per_s * seconds[0], per_s, seconds[-1] - seconds[0])
