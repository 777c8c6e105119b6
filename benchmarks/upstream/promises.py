"""The promises that this command measures. Pure."""

from collections.abc import Callable, Collection

from benchmarks.promises import Verdict, judge
from benchmarks.ratios import Spread
from benchmarks.serve.cells import Cell
from benchmarks.upstream.servers import PINNED, STATIC

PROMISES = (("pinned public URLs, against nginx alone", PINNED, 0.9),)


def verdicts(
    cells: Collection[Cell],
    ratio: Callable[[str, str, Cell], Spread | None],
) -> list[Verdict]:
    return [
        judge(
            text,
            at_least,
            {str(cell): found for cell in cells if (found := ratio(server, STATIC, cell))},
        )
        for text, server, at_least in PROMISES
    ]
