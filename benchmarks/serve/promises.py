"""The promises that this command measures. Pure.

The first row speaks of files up to 128 KiB, and the others of "the same": larger files are in
the table, and in no verdict.
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
    is_close: bool
    """Whether a slow load generator could hide the difference."""


_WHOLE = frozenset({"identity", "br"})
_REPEATED = frozenset({"304"})
_ANY = _WHOLE | _REPEATED
_MANIFEST = frozenset({MANIFEST.name})

PROMISES = (
    ServePromise("200 up to 128 KiB, against the bare app", "bare", _WHOLE, 0.95, True),
    ServePromise("304, against the bare app", "bare", _REPEATED, 0.95, True),
    ServePromise("manifest of ten plugins, against the bare app", "bare", _MANIFEST, 0.5, True),
    ServePromise("200, against Starlette StaticFiles", "staticfiles", _WHOLE, 10, False),
    ServePromise("304, against Starlette StaticFiles", "staticfiles", _REPEATED, 10, False),
    ServePromise("200, against FileResponse, lookups uncached", "uncached", _WHOLE, 10, False),
    ServePromise("against Caddy file_server", "caddy", _ANY, 1, True),
)


def verdicts(
    cells: Collection[Cell],
    ratio: Callable[[str, str, Cell], Spread | None],
    *,
    generator_can_outrun: bool,
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
        slow = promise.is_close and not generator_can_outrun
        doubt = "the load generator is slower than the servers" if slow and figures else ""
        judged.append(judge(promise.text, promise.at_least, figures, doubt=doubt))
    return judged
