"""A promise is a ratio that must be reached wherever it applies. Pure.

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
class Verdict:
    """What became of a promise."""

    promise: str
    at_least: float
    outcome: Outcome
    figures: Mapping[str, Spread]
    """By the name of the place where it applies."""
    remark: str = ""


def judge(
    promise: str, at_least: float, figures: Mapping[str, Spread], *, doubt: str = ""
) -> Verdict:
    """Kept where every median reaches the promised ratio.

    Without figures, or with a `doubt` about them, nothing is said of it.
    """
    doubtful = [place for place, figure in figures.items() if figure.doubtful]
    if doubtful and not doubt:
        doubt = f"every round was disturbed: {', '.join(doubtful)}"
    if doubt or not figures:
        remark = doubt or "not measured"
        return Verdict(promise, at_least, Outcome.NOT_JUDGED, figures, remark)
    kept = all(figure.median >= at_least for figure in figures.values())
    return Verdict(promise, at_least, Outcome.KEPT if kept else Outcome.MISSED, figures)
