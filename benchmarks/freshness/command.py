"""`python -m benchmarks freshness`: options in; table, verdicts and a file out."""

import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.cores import Cores, TooFewCores, choose_cores, pinned_to
from benchmarks.freshness.changes import CHANGES, Change, Make, NotInstalled
from benchmarks.freshness.figures import Series
from benchmarks.freshness.load import bounded_load
from benchmarks.freshness.probe import Probe, delays_until, one_to_each
from benchmarks.freshness.site import LASTING, LOAD_PATH, PATH, VERSIONS, content_of, make_site
from benchmarks.machine import commit, describe_machine, load_average, versions
from benchmarks.processes import HOST, Command, ServerFailed, free_port, running
from benchmarks.promises import Outcome

_WIDTH = 116
_STYLES = {Outcome.KEPT: "green", Outcome.MISSED: "red", Outcome.NOT_JUDGED: "yellow"}
_PACKAGES = ("uvicorn", "uvloop", "databases", "aiosqlite", "asyncpg")
# Between two changes, at random: no change may come at the same moment of a poll as the last.
_PAUSES_S = (0.02, 0.15)


@click.command()
@click.option("--repetitions", type=click.IntRange(2), help="Changes of each kind; 200, quick 20.")
@click.option(
    "--workers", multiple=True, type=click.IntRange(1), help="Processes that serve; 1 and 4."
)
@click.option(
    "--load",
    "requests_per_s",
    type=click.IntRange(0),
    default=500,
    show_default=True,
    help="Requests/s that the workers answer meanwhile.",
)
@click.option("--quick", is_flag=True, help="Half a minute, to see that it works.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark-results"),
    show_default=True,
    help="Folder for freshness.json and freshness.txt.",
)
def freshness(
    repetitions: int | None,
    workers: Sequence[int],
    requests_per_s: int,
    quick: bool,
    output: Path,
) -> None:
    """Seconds from a change made elsewhere to the first new answer of each worker, under load.

    The full run takes about six minutes.
    """
    # As an exception the signal leaves all blocks, and so ends the servers.
    signal.signal(signal.SIGTERM, _leave)
    options = {
        "repetitions": repetitions or (20 if quick else 200),
        "workers": list(workers) or [1, 4],
        "requests_per_s": requests_per_s,
    }
    try:
        cores = choose_cores()
        with pinned_to(cores.load):
            kept = _run(options, cores, output)
    except TooFewCores as error:
        raise click.ClickException(str(error)) from None
    if not kept:
        raise click.exceptions.Exit(1)


def _run(options: Mapping[str, Any], cores: Cores, output: Path) -> bool:
    console = Console(record=True, width=_WIDTH, highlight=False)
    facts: dict[str, Any] = {
        "command": "freshness",
        "commit": commit(),
        "machine": describe_machine(),
        "versions": versions(_PACKAGES, ()),
        "options": {**options, "server_core": cores.server, "load_core": cores.load},
        "load_average_before": load_average(),
    }
    for name in ("commit", "machine", "versions", "options"):
        console.print(f"{name}: {facts[name]}", style="dim")
    measured: list[Series] = []
    skipped: list[str] = []
    failures: list[str] = []
    for change in CHANGES:
        for workers in options["workers"]:
            with console.status(f"{change.name}, {workers} workers"):
                try:
                    measured.append(_measured(change, workers, options, cores))
                except NotInstalled as missing:
                    skipped.append(f"{change.name}, {workers} workers: {missing}")
                except ServerFailed as error:
                    failures.append(f"{change.name}, {workers} workers: {error}")
    facts["load_average_after"] = load_average()
    console.print(_table(measured))
    for line in skipped:
        console.print(f"skipped: {line}", style="yellow")
    for line in failures:
        console.print(f"failed: {line}", style="red")
    console.print(
        f"load average: {facts['load_average_before']} before, {facts['load_average_after']} after",
        style="dim",
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "freshness.txt").write_text(console.export_text())
    record = {
        **facts,
        "skipped": skipped,
        "failures": failures,
        "series": [_recorded(series) for series in measured],
    }
    (output / "freshness.json").write_text(json.dumps(record, indent=1) + "\n")
    return not failures and all(series.outcome is not Outcome.MISSED for series in measured)


def _measured(change: Change, workers: int, options: Mapping[str, Any], cores: Cores) -> Series:
    """Raises: NotInstalled, ServerFailed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        site = make_site(folder)
        environment, make = stack.enter_context(change.prepared(site))
        port = free_port()
        arguments = ("--host", HOST, "--port", str(port), "--workers", str(workers))
        command = Command(
            (sys.executable, "-m", "gateway", "serve", *arguments),
            {**site.environment, **LASTING, **environment},
        )
        server = stack.enter_context(running(command, port, core=cores.server, folder=folder))
        probes = stack.enter_context(one_to_each(server, workers))
        headers = {"Authorization": f"Bearer {site.token}", "Accept-Encoding": "identity"}
        load = stack.enter_context(
            bounded_load(port, LOAD_PATH, headers, options["requests_per_s"])
        )
        series = _repeat(change, make, probes, headers, options["repetitions"])
    if load["others"]:
        raise ServerFailed(f"{load['others']} of {load['answers']} answers of the load were wrong")
    return series


def _repeat(
    change: Change,
    make: Make,
    probes: Sequence[Probe],
    headers: Mapping[str, str],
    repetitions: int,
) -> Series:
    """Raises: ServerFailed."""
    first, other = VERSIONS
    targets = (None if change.takes_away else other, first)
    choose = random.Random(7)  # noqa: S311 (no secret)
    delays_s: list[float] = []
    late = 0
    delays_until(probes, PATH, headers, content_of(first), time.perf_counter())  # all are warm
    for number in range(repetitions):
        time.sleep(choose.uniform(*_PAUSES_S))
        target = targets[number % 2]
        since = make(target)
        expected = None if target is None else content_of(target)
        found_s, missing = delays_until(probes, PATH, headers, expected, since)
        delays_s += found_s
        late += missing
    return Series(change.name, len(probes), change.promise_s, delays_s, late)


def _table(measured: Sequence[Series]) -> Table:
    table = Table(title="Milliseconds until a change shows, in every worker")
    table.add_column("change", no_wrap=True)
    for name in ("workers", "delays", "p50", "p99", "longest", "promised p99", "late"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for series in measured:
        outcome = series.outcome
        table.add_row(
            series.change,
            str(series.workers),
            str(len(series.delays_s)),
            *(f"{series.percentile_s(share) * 1000:.1f}" for share in (0.5, 0.99, 1.0)),
            f"≤ {series.promise_s * 1000:.0f}",
            str(series.late),
            f"[{_STYLES[outcome]}]{outcome.value}[/]",
        )
    return table


def _recorded(series: Series) -> dict[str, Any]:
    return {
        **asdict(series),
        "delays_s": [round(delay_s, 6) for delay_s in series.delays_s],
        "p50_s": round(series.percentile_s(0.5), 6),
        "p99_s": round(series.percentile_s(0.99), 6),
        "outcome": series.outcome.value,
    }


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
