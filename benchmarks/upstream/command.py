"""`python -m benchmarks upstream`: options in; table, verdicts and files out."""

import signal
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.cores import Cores, TooFewCores, choose_cores, pinned_to
from benchmarks.load import choose_generator
from benchmarks.load.generator import CONNECTIONS, Generator
from benchmarks.machine import commit, describe_machine, load_average, versions
from benchmarks.processes import ServerFailed
from benchmarks.serve.cells import KIB
from benchmarks.serve.command import leave, measure
from benchmarks.serve.contestants.nginx import Nginx
from benchmarks.serve.entries import Entries, skipped_lines
from benchmarks.serve.figures import Figures
from benchmarks.serve.measuring import Measuring
from benchmarks.serve.options import Options, choose_options, measuring_options
from benchmarks.serve.record import write_record
from benchmarks.serve.report import WIDTH, show, show_facts, show_skipped
from benchmarks.site import Site
from benchmarks.upstream.promises import verdicts
from benchmarks.upstream.servers import ABOUT, STATIC, entry, start_all

_SIZES_KIB = (1, 16, 128)


@click.command()
@measuring_options
def upstream(**options: Any) -> None:
    """Requests/s of one core: nginx with the gateway behind it, against nginx alone.

    Also those of the gateway alone with 1, 2 and 4 workers. The full run takes about five minutes.
    """
    signal.signal(signal.SIGTERM, leave)
    missing = Nginx().missing()
    if missing:
        raise click.ClickException(missing)
    if options["sizes_kib"] is None and not options["quick"]:
        options["sizes_kib"] = _SIZES_KIB
    try:
        cores = choose_cores()
        with pinned_to(cores.load):
            figures = _run(choose_options(**options, servers=()), cores)
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
        folder.chmod(0o755)  # nginx may be another user
        site = Site(folder, {cell.size_bytes for cell in options.cells})
        with console.status("starting the servers"):
            entries = _entries(stack, site, cores, options)
        show_skipped(console, skipped_lines(entries))
        contents = {cell.size_bytes: site.content(cell.size_bytes) for cell in options.cells}
        measuring = Measuring(generator, options.duration_s, cores, contents, options.patience_s)
        figures = measure(console, measuring, entries, options.rounds)
    facts["load_average_after"] = load_average()
    judged = verdicts(options.cells, figures.ratio, generator_can_outrun=generator.can_outrun)
    show(console, options.cells, figures, judged, STATIC)
    _show_legend(console, figures.servers, facts)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "upstream.txt").write_text(console.export_text())
    write_record(
        options.output / "upstream.json",
        facts=facts,
        skipped=skipped_lines(entries),
        figures=figures,
        verdicts=judged,
    )
    return figures


def _entries(stack: ExitStack, site: Site, cores: Cores, options: Options) -> Entries:
    entries = Entries({cell: [] for cell in options.cells})
    for front in start_all(stack, site, cores):
        for cell in options.cells:
            found = entry(front, site, cell)
            if isinstance(found, str):
                reason = (front.name, cell.case.name, found)
                entries.skipped.setdefault(reason, []).append(cell)
            else:
                entries.by_cell[cell].append(found)
    return entries


def _facts(options: Options, cores: Cores, generator: Generator) -> dict[str, Any]:
    return {
        "command": "upstream",
        "commit": commit(),
        "machine": describe_machine(),
        "versions": versions(("starlette", "uvicorn", "uvloop", "httptools"), ("wrk", "nginx")),
        "options": {
            "rounds": options.rounds,
            "duration_s": options.duration_s,
            "sizes_kib": [cell.size_bytes // KIB for cell in options.cells],
            "connections": CONNECTIONS,
            "load_generator": generator.name,
            "server_core": cores.server,
            "cores_of_workers": list(cores.all_servers),
            "load_core": cores.load,
        },
        "load_average_before": load_average(),
    }


def _show_legend(console: Console, servers: Sequence[str], facts: dict[str, Any]) -> None:
    for name in servers:
        console.print(f"  {name:<12}{ABOUT[name]}", style="dim")
    console.print(
        f"load average: {facts['load_average_before']} before, {facts['load_average_after']} after"
        " (server and load generator are 2)",
        style="dim",
    )
