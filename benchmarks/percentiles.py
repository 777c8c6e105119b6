"""Latencies as High Dynamic Range histograms: every percentile to three digits, the maximum too."""

from collections.abc import Iterable, Sequence

from hdrh.histogram import HdrHistogram

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
PERCENTILE_NAMES = ("p50", "p90", "p99", "p99.9", "max")
_LONGEST_NS = 600 * 10**9


class Latencies:
    """Nanoseconds, counted by size."""

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._histogram = HdrHistogram(1, _LONGEST_NS, 3)
        for each in nanoseconds:
            self.add(each)

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
