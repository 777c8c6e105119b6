"""How commands that look at all users report: results to stdout, progress to stderr."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


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


def echo_json(values: Mapping[str, Any]) -> None:
    """One object on one line."""
    click.echo(orjson.dumps(values, default=str, option=orjson.OPT_NON_STR_KEYS))


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
