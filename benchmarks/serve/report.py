"""What is shown at the end: a table of figures, the verdicts, what was skipped or failed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.load.generator import Generator
from benchmarks.promises import Outcome, Verdict
from benchmarks.ratios import Spread
from benchmarks.serve.cells import Cell
from benchmarks.serve.contestants import CONTESTANTS, bare
from benchmarks.serve.figures import BUSY, QUIET, Figures, Summary

# Wide enough for the tables, so that a file or a pipe gets them unbroken.
WIDTH = 116
_STYLES = {Outcome.KEPT: "green", Outcome.MISSED: "red", Outcome.NOT_JUDGED: "yellow"}
_LIMITED = "*"


def show(
    console: Console,
    cells: Sequence[Cell],
    figures: Figures,
    verdicts: Iterable[Verdict],
    reference: str = bare.NAME,
) -> None:
    """Ratios are those to the server `reference`."""
    summaries = [
        (cell, summary) for cell in cells for summary in figures.summaries(cell, reference)
    ]
    console.print(_figure_table(summaries, reference))
    if any(summary.short_of_core for _, summary in summaries):
        console.print(
            f"{_LIMITED} the server had less than {BUSY:.0%} of its core: the load generator was"
            " the limit, or other processes were.",
            style="dim",
        )
    disturbed = sum(each.disturbed for each in figures.counted)
    if disturbed:
        console.print(
            f"{disturbed} of {len(figures.counted)} measurements were disturbed: other processes"
            f" took more than {QUIET:.0%} of a core. They count only where there is no other"
            " (?), and then for no verdict.",
            style="yellow",
        )
    console.print(_verdict_table(verdicts))
    for failure in figures.failures:
        console.print(
            f"failed: {failure.server}, {failure.cell}, round {failure.round_number}:"
            f" {failure.reason}",
            style="red",
        )


def show_skipped(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(f"skipped: {line}", style="yellow")


def show_facts(console: Console, facts: Mapping[str, Any], generator: Generator) -> None:
    for name in ("commit", "machine", "versions", "options"):
        value = facts[name]
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {each}" for key, each in value.items())
        console.print(f"{name}: {value}", style="dim")
    if not generator.can_outrun:
        console.print(
            f"wrk is not installed: {generator.name} is slower than the servers, and what is"
            " close to the gateway cannot be judged.",
            style="yellow",
        )


def show_legend(console: Console, servers: Iterable[str], facts: Mapping[str, Any]) -> None:
    about = {bare.NAME: bare.ABOUT, **{each.name: each.about for each in CONTESTANTS}}
    for name in servers:
        console.print(f"  {name:<12}{about[name]}", style="dim")
    console.print(
        f"load average: {facts['load_average_before']} before, {facts['load_average_after']} after"
        " (server and load generator are 2)",
        style="dim",
    )


def _figure_table(summaries: Sequence[tuple[Cell, Summary]], reference: str) -> Table:
    table = Table(title="Requests/s, medians over the undisturbed rounds")
    table.add_column("file, case", no_wrap=True)
    table.add_column("server", no_wrap=True)
    for name in ("requests/s", "p50 ms", "p99 ms", "CPU µs", "busy"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(rf"of {reference} \[min-max]", justify="right", no_wrap=True)
    table.add_column("by CPU", justify="right", no_wrap=True)
    shown: Cell | None = None
    for cell, summary in summaries:
        if shown is not None and cell != shown:
            table.add_section()
        table.add_row(
            str(cell) if cell != shown else "",
            summary.server,
            f"{summary.requests_per_s:,.0f}",
            f"{summary.p50_us / 1000:.2f}",
            f"{summary.p99_us / 1000:.2f}",
            f"{summary.cpu_us_per_request:,.1f}",
            f"{summary.busy:.0%}{_LIMITED if summary.short_of_core else ' '}",
            _spread_text(summary.ratio) if summary.ratio else "",
            f"{summary.cpu_ratio.median:.3f}" if summary.cpu_ratio else "",
            style="bold" if summary.server == "gateway" else "",
        )
        shown = cell
    return table


def _verdict_table(verdicts: Iterable[Verdict]) -> Table:
    table = Table(title="Promises", show_lines=True)
    table.add_column("promise")
    table.add_column("at least", justify="right")
    table.add_column("verdict", no_wrap=True)
    table.add_column(r"median \[min-max] of the rounds' ratios, lowest first")
    for verdict in verdicts:
        ordered = sorted(verdict.figures.items(), key=lambda item: item[1].median)
        lines = [f"{_spread_text(spread)}  {place}" for place, spread in ordered]
        table.add_row(
            verdict.promise,
            f"{verdict.at_least:g}",
            Text(verdict.outcome.value, style=_STYLES[verdict.outcome]),
            "\n".join([*([verdict.remark] if verdict.remark else []), *lines]),
        )
    return table


def _spread_text(spread: Spread) -> str:
    """Two digits behind the point where they matter, one where the ratio is large."""
    digits = 3 if spread.median < 2 else 1
    mark = "? " if spread.doubtful else ""
    return f"{mark}{spread.median:.{digits}f} [{spread.low:.{digits}f}-{spread.high:.{digits}f}]"
