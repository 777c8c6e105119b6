"""Whether a quantity grows with time: the line that fits its samples best. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """Least squares."""

    level: float
    """At the first sample."""
    per_s: float
    duration_s: float

    @property
    def rise(self) -> float:
        """From the first sample to the last, along the line."""
        return self.per_s * self.duration_s


def fitted_line(samples: Sequence[tuple[float, float]]) -> Line:
    """Through (second, value). Raises: ValueError, of fewer than two moments."""
    count = len(samples)
    if count < 2:
        raise ValueError("one sample has no slope")
    mean_s = sum(second for second, _ in samples) / count
    mean = sum(value for _, value in samples) / count
    spread = sum((second - mean_s) ** 2 for second, _ in samples)
    if not spread:
        raise ValueError("all samples are of one moment")
    per_s = sum((second - mean_s) * (value - mean) for second, value in samples) / spread
    first, last = samples[0][0], samples[-1][0]
    return Line(mean + per_s * (first - mean_s), per_s, last - first)
