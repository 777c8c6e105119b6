"""Tables as plain lines: what is in them is for copying, never shortened to a terminal's width."""

from collections.abc import Iterable, Sequence

import click


class Columns:
    """Rows in aligned columns, below a heading that comes with the first of them.

    They are printed as they come, for there may be more than fit into memory: columns are as
    wide as what was printed so far wants them.
    """

    def __init__(self, *heading: str) -> None:
        self._pending: list[Sequence[str]] = [heading]
        self._widths = [0] * len(heading)

    def echo(self, rows: Iterable[Sequence[object]]) -> None:
        lines = [*self._pending, *(tuple(map(str, row)) for row in rows)]
        self._pending = []
        columns = zip(*lines, strict=True)
        self._widths = [
            max(width, *map(len, column))
            for width, column in zip(self._widths, columns, strict=False)
        ]
        aligned = ("  ".join(map(str.ljust, line, self._widths)).rstrip() for line in lines)
        click.echo("\n".join(aligned))
