"""The promises that this command measures. Pure.

They speak of files up to 128 KiB: larger files are in the table, and in no verdict. Requests here
are repetitions; what is promised of first requests is measured by `pages`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from benchmarks.promises import Verdict, judge
from benchmarks.ratios import Spread
from benchmarks.serve.cells import KIB, MANIFEST, Cell

OURS = "gateway"
_LARGEST_BYTES = 128 * KIB


@dataclass(frozen=True, slots=True)
class ServePromise:
    text: str
    rival: str
    cases: frozenset[str]
    at_least: float


_WHOLE = frozenset({"identity", "br"})
_REPEATED = frozenset({"304"})
_MANIFEST = frozenset({MANIFEST.name})

PROMISES = (
    ServePromise("the same request again, 200, against the bare app", "bare", _WHOLE, 1.2),
    ServePromise("the same request again, 304, against the bare app", "bare", _REPEATED, 1.2),
    ServePromise("manifest of ten plugins, against the bare app", "bare", _MANIFEST, 1),
)


def verdicts(
    cells: Collection[Cell],
    ratio: Callable[[str, str, Cell], Spread | None],
) -> list[Verdict]:
    """`ratio`: of two servers' requests/s in a cell, as Figures.ratio gives it."""
    judged = []
    for promise in PROMISES:
        figures = {
            str(cell): found
            for cell in cells
            if cell.size_bytes <= _LARGEST_BYTES and cell.case.name in promise.cases
            if (found := ratio(OURS, promise.rival, cell)) is not None
        }
        judged.append(judge(promise.text, promise.at_least, figures))
    return judged
