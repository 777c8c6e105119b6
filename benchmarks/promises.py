"""A promise is a bound that must hold wherever it applies. Pure.

Each command lists its own rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from benchmarks.ratios import Spread


class Outcome(Enum):
    KEPT = "kept"
    MISSED = "missed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Bound:
    """What is promised of a figure."""

    value: float
    unit: str = ""
    at_most: bool = False
    """Otherwise: at least."""

    def holds(self, figure: float) -> bool:
        return figure <= self.value if self.at_most else figure >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a promise."""

    promise: str
    bound: Bound
    outcome: Outcome
    figures: Mapping[str, Spread]
    """By the name of the place where it applies."""
    remark: str = ""


def judge(
    promise: str, bound: float | Bound, figures: Mapping[str, Spread], *, doubt: str = ""
) -> Verdict:
    """Kept where the bound holds for every median; a bare number is a ratio to reach.

    Without figures, or with a `doubt` about them, nothing is said of it.
    """
    bound = bound if isinstance(bound, Bound) else Bound(bound)
    doubtful = [place for place, figure in figures.items() if figure.doubtful]
    if doubtful and not doubt:
        doubt = f"every round was disturbed: {', '.join(doubtful)}"
    if doubt or not figures:
        remark = doubt or "not measured"
        return Verdict(promise, bound, Outcome.NOT_JUDGED, figures, remark)
    kept = all(bound.holds(figure.median) for figure in figures.values())
    return Verdict(promise, bound, Outcome.KEPT if kept else Outcome.MISSED, figures)
