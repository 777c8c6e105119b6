"""Percentiles of delays, and whether they keep a promise. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.promises import Bound, Outcome, Verdict
from benchmarks.ratios import Spread

# Below this a 99th percentile is the maximum of a handful.
_FEWEST_DELAYS = 100


@dataclass(frozen=True, slots=True)
class Series:
    """Delays of one kind of change, in seconds, one for each repetition and worker."""

    change: str
    workers: int
    promise_s: float
    delays_s: Sequence[float]
    late: int = 0
    """Repetitions after which some worker still gave the old answer at the deadline."""

    def percentile_s(self, share: float) -> float:
        """The smallest delay that `share` of all do not exceed (nearest rank)."""
        ordered = sorted(self.delays_s)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    def __str__(self) -> str:
        return f"{self.change}, {self.workers} worker{'s' if self.workers > 1 else ''}"

    @property
    def verdict(self) -> Verdict:
        """In milliseconds."""
        bound = Bound(self.promise_s * 1000, "ms", at_most=True)
        figures = {}
        if self.delays_s:
            p99, longest = (self.percentile_s(share) * 1000 for share in (0.99, 1.0))
            figures = {
                "p99, median to longest": Spread(p99, self.percentile_s(0.5) * 1000, longest)
            }
        remark = f"{self.late} never showed" if self.late else ""
        return Verdict(f"{self}: 99 of 100 within", bound, self.outcome, figures, remark)

    @property
    def outcome(self) -> Outcome:
        """Kept where 99 of 100 delays are within the promise."""
        if self.late:
            return Outcome.MISSED
        if len(self.delays_s) < _FEWEST_DELAYS:
            return Outcome.NOT_JUDGED
        kept = self.percentile_s(0.99) <= self.promise_s
        return Outcome.KEPT if kept else Outcome.MISSED
