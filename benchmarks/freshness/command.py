"""`python -m benchmarks freshness`: options in; table, verdicts and files out."""

import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.cores import Cores
from benchmarks.freshness.changes import CHANGES, Change, Make, NotInstalled
from benchmarks.freshness.figures import Series
from benchmarks.freshness.load import bounded_load
from benchmarks.freshness.probe import Probe, delays_until, one_to_each
from benchmarks.freshness.site import LOAD_PATH, PATH, VERSIONS, content_of, make_site
from benchmarks.processes import HOST, Command, ServerFailed, free_port, running
from benchmarks.promises import Outcome
from benchmarks.record import Figure, Record, Table
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    output_option,
    quick_option,
    show_facts,
)
from benchmarks.subjects import LASTING

_PACKAGES = ("uvicorn", "uvloop", "databases", "aiosqlite", "asyncpg")
# Between two changes, at random: no change may come at the same moment of a poll as the last.
_PAUSES_S = (0.02, 0.15)


@click.command()
@click.option("--repetitions", type=click.IntRange(2), help="Changes of each kind; 200, quick 10.")
@click.option(
    "--workers",
    multiple=True,
    type=click.IntRange(1),
    help="Processes that serve; 1 and 4, quick 1.",
)
@click.option(
    "--load",
    "requests_per_s",
    type=click.IntRange(0),
    default=500,
    show_default=True,
    help="Requests/s that the workers answer meanwhile.",
)
@quick_option("A quarter of a minute, to see that it works.")
@output_option
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
    options = {
        "repetitions": repetitions or (10 if quick else 200),
        "workers": list(workers) or ([1] if quick else [1, 4]),
        "requests_per_s": requests_per_s,
    }
    console = new_console()
    with on_two_cores() as cores:
        record = _run(console, options, cores)
    finish(console, record, output)
    if any(verdict.outcome is Outcome.MISSED for verdict in record.verdicts):
        raise click.exceptions.Exit(1)


def _run(console: Console, options: Mapping[str, Any], cores: Cores) -> Record:
    pinned = {"server_core": cores.server, "load_core": cores.load}
    record = Record("freshness", gather_facts(_PACKAGES, (), {**options, **pinned}))
    show_facts(console, record.facts)
    measured: list[Series] = []
    for change in CHANGES:
        for workers in options["workers"]:
            place = f"{change.name}, {workers} workers"
            with console.status(place):
                try:
                    measured.append(_measured(change, workers, options, cores))
                except NotInstalled as missing:
                    record.remark(f"skipped: {place}: {missing}")
                except ServerFailed as error:
                    record.failures.append(f"{place}: {error}")
    record.tables.append(_table(measured))
    record.verdicts += [series.verdict for series in measured]
    record.figures += [
        Figure(str(series), "ms", [delay_s * 1000 for delay_s in series.delays_s])
        for series in measured
        if series.delays_s
    ]
    record.details["series"] = [_recorded(series) for series in measured]
    return record


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
    columns = ("change", "workers", "delays", "p50", "p99", "longest", "promised p99", "late")
    rows = [
        [
            series.change,
            str(series.workers),
            str(len(series.delays_s)),
            *(f"{series.percentile_s(share) * 1000:.1f}" for share in (0.5, 0.99, 1.0)),
            f"≤ {series.promise_s * 1000:.0f}",
            str(series.late),
        ]
        for series in measured
        if series.delays_s
    ]
    return Table("Milliseconds until a change shows, in every worker", columns, rows)


def _recorded(series: Series) -> dict[str, Any]:
    return {
        **asdict(series),
        "delays_s": [round(delay_s, 6) for delay_s in series.delays_s],
        "p50_s": round(series.percentile_s(0.5), 6),
        "p99_s": round(series.percentile_s(0.99), 6),
        "outcome": series.outcome.value,
    }
