"""How commands print: results to stdout as lines or JSON, progress to stderr."""

import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.upkeep.population import Examined

T = TypeVar("T")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows a bar on stderr if that is a terminal; yields what advances it by a count.

    `total` None: the bar counts without an end.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    console = Console(stderr=True)
    bars = Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # rich prints what goes to stdout above the bar, on stderr: wrong if stdout is a file.
        redirect_stdout=sys.stdout.isatty(),
    )
    with bars:
        task = bars.add_task(what, total=total)
        yield lambda count: bars.advance(task, count)


async def report_all(
    what: str,
    total: int | None,
    parts: AsyncGenerator[Examined[T], None],
    report: Callable[[T], None],
) -> None:
    """Calls `report` for everything that there is to report, with a progress bar."""
    with progress(what, total) as advance:
        async with aclosing(parts):
            async for part in parts:
                for finding in part.reports:
                    report(finding)
                advance(part.count)


class Columns:
    """Prints rows in aligned columns, with a heading above the first row. Cells are never shortened
    to the terminal, so they can be copied.

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


def echo_json(values: Mapping[str, Any]) -> None:
    """One object on one line."""
    click.echo(orjson.dumps(values, default=str, option=orjson.OPT_NON_STR_KEYS))


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
