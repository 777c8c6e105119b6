"""How commands that look at all users report: results to stdout, progress to stderr."""

import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, Protocol, TypeVar

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.upkeep.population import Examined

T = TypeVar("T")


class Advance(Protocol):
    def __call__(self, count: int, /) -> None: ...


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """Shows a bar on stderr if that is a terminal. `total` None: the bar counts without an end."""
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


def echo_json(values: Mapping[str, Any]) -> None:
    """One object on one line."""
    click.echo(orjson.dumps(values, default=str, option=orjson.OPT_NON_STR_KEYS))


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
