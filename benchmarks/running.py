"""What all commands have in common: options, facts of the run, what is shown and written."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.cores import Cores, TooFewCores, choose_cores, pinned_to
from benchmarks.load import wrk
from benchmarks.machine import commit, describe_machine, load_average, versions
from benchmarks.processes import ServerFailed
from benchmarks.promises import Outcome, Verdict
from benchmarks.ratios import Spread
from benchmarks.record import Record, Table
from benchmarks.subjects import NothingToAsk
from gateway.errors import GatewayError

# Wide enough for the tables, so that a file or a pipe gets them unbroken.
WIDTH = 132
STYLES = {Outcome.KEPT: "green", Outcome.MISSED: "red", Outcome.NOT_JUDGED: "yellow"}

Command = Callable[..., None]


def quick_option(text: str) -> Callable[[Command], Command]:
    return click.option("--quick", is_flag=True, help=text)


def output_option(command: Command) -> Command:
    return click.option(
        "--output",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("benchmark-results"),
        show_default=True,
        help="Folder for what is written: JSON, text, plots.",
    )(command)


def site_dir_option(command: Command) -> Command:
    return click.option(
        "--site-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(".bench"),
        show_default=True,
        help="Folder for sites that are made once and kept.",
    )(command)


def require_wrk() -> None:
    """Raises: click.ClickException. No other load generator here outruns the servers."""
    if not wrk.is_installed():
        raise click.ClickException("wrk is not installed")


@contextmanager
def on_two_cores() -> Iterator[Cores]:
    """This process on the core of the load, its servers on the other.

    What goes wrong ends the command with one line. Raises: click.ClickException.
    """
    # As an exception the signal leaves all blocks, and so ends the servers.
    signal.signal(signal.SIGTERM, _leave)
    try:
        cores = choose_cores()
        with pinned_to(cores.load):
            yield cores
    except (TooFewCores, ServerFailed, NothingToAsk, GatewayError) as error:
        raise click.ClickException(str(error)) from None


def gather_facts(
    packages: Sequence[str], programs: Sequence[str], options: Mapping[str, object]
) -> dict[str, Any]:
    return {
        "commit": commit(),
        "machine": describe_machine(),
        "versions": versions(packages, programs),
        "options": dict(options),
        "load_average_before": load_average(),
    }


def new_console() -> Console:
    return Console(record=True, width=WIDTH, highlight=False)


def progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        refresh_per_second=2,  # this process shares the load generator's core
    )


def show_facts(console: Console, facts: Mapping[str, Any]) -> None:
    for name in ("commit", "machine", "versions", "options"):
        value = facts[name]
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {each}" for key, each in value.items())
        console.print(f"{name}: {value}", style="dim", markup=False)


def finish(console: Console, record: Record, output: Path) -> None:
    """Shows the record and writes it. Raises: click's Exit with 1, if something failed."""
    record.facts["load_average_after"] = load_average()
    for table in record.tables:
        console.print(rich_table(table))
    if record.verdicts:
        console.print(verdict_table(record.verdicts))
    for line in record.remarks:
        console.print(line, style="yellow", markup=False)
    for line in record.failures:
        console.print(f"failed: {line}", style="red", markup=False)
    console.print(
        f"load average: {record.facts['load_average_before']} before,"
        f" {record.facts['load_average_after']} after",
        style="dim",
    )
    record.write(output)
    (output / f"{record.command}.txt").write_text(console.export_text())
    if record.failures:
        raise click.exceptions.Exit(1)


def rich_table(table: Table) -> RichTable:
    shown = RichTable(title=escape(table.title))
    for number, name in enumerate(table.columns):
        shown.add_column(escape(name), justify="right" if number else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown


def verdict_table(verdicts: Sequence[Verdict]) -> RichTable:
    table = RichTable(title="Promises", show_lines=True)
    table.add_column("promise")
    table.add_column("promised", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column(r"median \[min-max] of the rounds, the worst first")
    for verdict in verdicts:
        table.add_row(
            escape(verdict.promise),
            str(verdict.bound),
            Text(verdict.outcome.value, style=STYLES[verdict.outcome]),
            escape("\n".join(verdict_lines(verdict))),
        )
    return table


def verdict_lines(verdict: Verdict) -> Sequence[str]:
    """The remark, and a line for each figure."""
    ordered = sorted(
        verdict.figures.items(),
        key=lambda item: item[1].median,
        reverse=verdict.bound.at_most,
    )
    lines = [f"{spread_text(spread)}  {place}" for place, spread in ordered]
    return [*([verdict.remark] if verdict.remark else []), *lines]


def spread_text(spread: Spread) -> str:
    """Two digits behind the point where they matter, one where the figure is large."""
    digits = 3 if spread.median < 2 else 1
    mark = "? " if spread.doubtful else ""
    return f"{mark}{spread.median:.{digits}f} [{spread.low:.{digits}f}-{spread.high:.{digits}f}]"


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
