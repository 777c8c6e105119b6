"""`python -m benchmarks serve`: options in; table, verdicts and files out."""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.cores import Cores, TooFewCores, choose_cores, pinned_to
from benchmarks.load import choose_generator
from benchmarks.load.generator import CONNECTIONS, Generator
from benchmarks.machine import commit, describe_machine, load_average, versions
from benchmarks.processes import ServerFailed
from benchmarks.serve.contestants import CONTESTANTS, bare
from benchmarks.serve.entries import Entries, Starter, skipped_lines
from benchmarks.serve.figures import Failure, Figures
from benchmarks.serve.measuring import Measuring
from benchmarks.serve.options import Options, choose_options, serve_options
from benchmarks.serve.plot import write_plot
from benchmarks.serve.promises import verdicts
from benchmarks.serve.record import write_record
from benchmarks.serve.report import WIDTH, show, show_facts, show_legend, show_skipped
from benchmarks.serve.schedule import schedule
from benchmarks.site import Site

_PACKAGES = ("starlette", "uvicorn", "uvloop", "httptools", "databases", "servestatic")
_PROGRAMS = ("wrk", "caddy", "nginx")


@click.command()
@serve_options
def serve(**options: Any) -> None:
    """Requests/s of one core: the gateway against a bare ASGI application and file servers.

    The full run takes about seven minutes. Leave the machine alone meanwhile.
    """
    # As an exception the signal leaves all blocks, and so ends the servers.
    signal.signal(signal.SIGTERM, leave)
    try:
        cores = choose_cores()
        with pinned_to(cores.load):
            figures = _run(choose_options(**options), cores)
    except (TooFewCores, ServerFailed) as error:
        raise click.ClickException(str(error)) from None
    if figures.failures:
        raise click.exceptions.Exit(1)


def _run(options: Options, cores: Cores) -> Figures:
    console = Console(record=True, width=WIDTH, highlight=False)
    generator = choose_generator()
    facts = _facts(options, cores, generator)
    show_facts(console, facts, generator)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        site = Site(folder, {cell.size_bytes for cell in options.cells})
        with console.status("starting the servers"):
            entries = _enter_all(Starter(stack, site, cores, options.cells), options)
        show_skipped(console, skipped_lines(entries))
        contents = {cell.size_bytes: site.content(cell.size_bytes) for cell in options.cells}
        measuring = Measuring(generator, options.duration_s, cores, contents, options.patience_s)
        figures = measure(console, measuring, entries, options.rounds)
    facts["load_average_after"] = load_average()
    judged = verdicts(options.cells, figures.ratio, generator_can_outrun=generator.can_outrun)
    show(console, options.cells, figures, judged)
    show_legend(console, figures.servers, facts)

    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    (output / "serve.txt").write_text(console.export_text())
    write_record(
        output / "serve.json",
        facts=facts,
        skipped=skipped_lines(entries),
        figures=figures,
        verdicts=judged,
    )
    try:
        write_plot(output / "serve.png", options.cells, figures)
    except ImportError:
        console.print("no plot: matplotlib is not installed", style="yellow")
    return figures


def _facts(options: Options, cores: Cores, generator: Generator) -> dict[str, Any]:
    return {
        "command": "serve",
        "commit": commit(),
        "machine": describe_machine(),
        "versions": versions(_PACKAGES, _PROGRAMS),
        "options": {
            "rounds": options.rounds,
            "duration_s": options.duration_s,
            "patience_s": options.patience_s,
            "connections": CONNECTIONS,
            "load_generator": generator.name,
            "server_core": cores.server,
            "load_core": cores.load,
        },
        "load_average_before": load_average(),
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
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        refresh_per_second=2,  # this process shares the load generator's core
    ) as bar:
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


def leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
