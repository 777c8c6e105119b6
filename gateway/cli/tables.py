"""Tables as plain lines. Cells are never shortened to the terminal, so they can be copied."""

from collections.abc import Iterable, Sequence

import click


class Columns:
    """Prints rows in aligned columns, with a heading above the first row.

    Rows are printed as they come, since they may not all fit into memory. So a column is as wide as
    its widest cell up to now.
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
