"""`python -m benchmarks upstream`: options in; table, verdicts and files out."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.cores import Cores
from benchmarks.load.wrk import CONNECTIONS
from benchmarks.record import Record
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    require_wrk,
    show_facts,
)
from benchmarks.serve.cells import KIB, Cell
from benchmarks.serve.command import measure
from benchmarks.serve.contestants.nginx import Nginx
from benchmarks.serve.entries import Entries, skipped_lines
from benchmarks.serve.measuring import Measuring
from benchmarks.serve.options import Options, choose_options, measuring_options
from benchmarks.serve.record import recorded
from benchmarks.serve.report import note
from benchmarks.site import Site
from benchmarks.upstream.promises import verdicts
from benchmarks.upstream.servers import ABOUT, STATIC, WORKERS, Front, entry, start_all

_SIZES_KIB = (1, 16, 128)
_PACKAGES = ("starlette", "uvicorn", "uvloop", "httptools")
_PROGRAMS = ("wrk", "nginx")


@click.command()
@measuring_options
def upstream(**options: Any) -> None:
    """Requests/s of one core: nginx with the gateway behind it, against nginx alone.

    Also those of the gateway alone with 1, 2 and 4 workers. The full run takes about five minutes.
    """
    require_wrk()
    missing = Nginx().missing()
    if missing:
        raise click.ClickException(missing)
    quick = options["quick"]
    if options["sizes_kib"] is None and not quick:
        options["sizes_kib"] = _SIZES_KIB
    chosen = choose_options(**options, servers=())
    console = new_console()
    with on_two_cores() as cores:
        record = _run(console, chosen, cores, () if quick else WORKERS)
    finish(console, record, chosen.output)


def _run(
    console: Console, options: Options, cores: Cores, numbers_of_workers: Sequence[int]
) -> Record:
    cells = [cell for cell in options.cells if cell.size_bytes]
    facts = _facts(options, cells, cores)
    record = Record("upstream", gather_facts(_PACKAGES, _PROGRAMS, facts))
    show_facts(console, record.facts)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        folder.chmod(0o755)  # nginx may be another user
        site = Site(folder, {cell.size_bytes for cell in cells})
        with console.status("starting the servers"):
            fronts = start_all(stack, site, cores, numbers_of_workers)
            entries = _entries(fronts, site, cells)
        for line in skipped_lines(entries):
            record.remark(f"skipped: {line}")
        measuring = Measuring(options.duration_s, cores, site, options.patience_s)
        figures = measure(console, measuring, entries, options.rounds)
    note(record, cells, figures, ABOUT, STATIC)
    record.verdicts += verdicts(cells, figures.ratio)
    record.details["rounds"] = recorded(figures)
    return record


def _entries(fronts: Sequence[Front], site: Site, cells: Sequence[Cell]) -> Entries:
    entries = Entries({cell: [] for cell in cells})
    for front in fronts:
        for cell in cells:
            found = entry(front, site, cell)
            if isinstance(found, str):
                reason = (front.name, cell.case.name, found)
                entries.skipped.setdefault(reason, []).append(cell)
            else:
                entries.by_cell[cell].append(found)
    return entries


def _facts(options: Options, cells: Sequence[Cell], cores: Cores) -> dict[str, Any]:
    return {
        "rounds": options.rounds,
        "duration_s": options.duration_s,
        "sizes_kib": sorted({cell.size_bytes // KIB for cell in cells}),
        "connections": CONNECTIONS,
        "server_core": cores.server,
        "cores_of_workers": list(cores.all_servers),
        "load_core": cores.load,
    }
