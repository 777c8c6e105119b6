"""`python -m benchmarks serve`: options in; table, verdicts and files out."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.cores import Cores
from benchmarks.load.wrk import CONNECTIONS
from benchmarks.plots import add_plot
from benchmarks.record import Record
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    progress,
    require_wrk,
    show_facts,
)
from benchmarks.serve.contestants import CONTESTANTS, bare
from benchmarks.serve.entries import Entries, Starter, skipped_lines
from benchmarks.serve.figures import Failure, Figures
from benchmarks.serve.measuring import Measuring
from benchmarks.serve.options import Options, choose_options, serve_options
from benchmarks.serve.plot import serve_plot
from benchmarks.serve.promises import verdicts
from benchmarks.serve.record import recorded
from benchmarks.serve.report import note
from benchmarks.serve.schedule import schedule
from benchmarks.site import Site

_PACKAGES = ("starlette", "uvicorn", "uvloop", "httptools", "databases", "servestatic")
_PROGRAMS = ("wrk", "caddy", "nginx")


@click.command()
@serve_options
def serve(**options: Any) -> None:
    """Requests/s of one core: the gateway against a bare ASGI application and file servers.

    The full run takes about eight minutes. Leave the machine alone meanwhile.
    """
    require_wrk()
    chosen = choose_options(**options)
    console = new_console()
    with on_two_cores() as cores:
        record = _run(console, chosen, cores)
    finish(console, record, chosen.output)


def _run(console: Console, options: Options, cores: Cores) -> Record:
    record = Record("serve", gather_facts(_PACKAGES, _PROGRAMS, _facts(options, cores)))
    show_facts(console, record.facts)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        site = Site(folder, {cell.size_bytes for cell in options.cells if cell.size_bytes})
        with console.status("starting the servers"):
            entries = _enter_all(Starter(stack, site, cores, options.cells), options)
        for line in skipped_lines(entries):
            record.remark(f"skipped: {line}")
        measuring = Measuring(options.duration_s, cores, site, options.patience_s)
        figures = measure(console, measuring, entries, options.rounds)
    note(record, options.cells, figures)
    record.verdicts += verdicts(options.cells, figures.ratio)
    record.details["rounds"] = recorded(figures)
    add_plot(record, lambda: serve_plot(options.cells, figures))
    return record


def _facts(options: Options, cores: Cores) -> dict[str, Any]:
    return {
        "rounds": options.rounds,
        "duration_s": options.duration_s,
        "patience_s": options.patience_s,
        "connections": CONNECTIONS,
        "server_core": cores.server,
        "load_core": cores.load,
    }


def _enter_all(starter: Starter, options: Options) -> Entries:
    ours, *rivals = CONTESTANTS
    starter.enter_ours(ours, with_bare=bare.NAME in options.servers)
    for contestant in rivals:
        if contestant.name in options.servers:
            starter.enter(contestant)
    return starter.entries


def measure(console: Console, measuring: Measuring, entries: Entries, rounds: int) -> Figures:
    figures = Figures()
    steps = list(schedule(entries.by_cell.values(), rounds))
    with progress(console) as bar:
        task = bar.add_task("", total=len(steps))
        for step in steps:
            text = f"round {step.round_number} of {rounds}: {step.entry.cell}, {step.entry.server}"
            bar.update(task, description=f"{text:<44}")
            outcome = measuring.measure(step)
            if isinstance(outcome, Failure):
                figures.failures.append(outcome)
            else:
                figures.counted.append(outcome)
            bar.advance(task)
    return figures
