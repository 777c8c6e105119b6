"""In which order: round by round, cell by cell, all servers of a cell one after the other. Pure.

Interleaved, so that whatever else the machine does meets all of them; every other round
backwards, so that nobody is always measured first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.serve.entries import Entry


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement to be made; rounds count from 1."""

    round_number: int
    entry: Entry


def schedule(entries: Iterable[Sequence[Entry]], rounds: int) -> Iterator[Step]:
    """`entries`: those of a cell together."""
    of_cells = list(entries)
    for number in range(1, rounds + 1):
        for of_cell in of_cells:
            for entry in of_cell if number % 2 else reversed(of_cell):
                yield Step(number, entry)
