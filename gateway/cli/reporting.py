"""What commands that look at everybody share: the opened site, and what they say of it.

Results go to stdout, progress to stderr.
"""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.database.connections import connect
from gateway.database.tables import PluginDatabase
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.settings import Settings

PATIENCE: Mapping[str, Mapping[str, Any]] = {"database": {"query_timeout": 60.0}}
"""Nobody's page waits for a command, and it asks about many users at once."""


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[PluginStorage, PluginDatabase]]:
    """Raises: ConfigurationError, where folders or tables are not what they should be."""
    storage = PluginStorage(settings.plugins_dir)
    if not storage.root.is_dir():
        raise ConfigurationError(f"storage.root: no folder {storage.root} (gateway init makes one)")
    database = PluginDatabase(connect(settings))
    await database.open()
    try:
        yield storage, database
    finally:
        await database.close()


class Advance(Protocol):
    def __call__(self, count: int, /) -> None: ...


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Advance]:
    """A bar on stderr, where that is a terminal."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    console = Console(stderr=True)
    bars = Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        transient=True,
        # Lines go above the bar, and nowhere else than to stdout where that is no terminal.
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
