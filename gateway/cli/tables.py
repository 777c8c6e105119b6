"""Tables as plain lines: what is in them is for copying, never shortened to a terminal's width."""

from collections.abc import Iterable, Sequence

import click


def echo_aligned(rows: Iterable[Sequence[object]]) -> None:
    """Prints rows in aligned columns; the first row is the heading."""
    lines = [tuple(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(map(str.ljust, line, widths)).rstrip())
