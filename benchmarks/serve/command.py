"""`python -m benchmarks serve`: requests/s of one core, against other servers."""

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.figures import Spread
from benchmarks.processes import Servers
from benchmarks.serve.cells import CASES, KIB, MANIFEST, SIZES_BYTES, Cell, objection
from benchmarks.serve.contestants import BARE, GATEWAY, RIVALS
from benchmarks.serve.entries import Entries, Entry, Starter
from benchmarks.serve.rounds import Failure, Measurement, Measurements, measure, schedule
from benchmarks.serve.tables import note, plot_by_size
from benchmarks.sites import SmallSite
from benchmarks.wrk import CONNECTIONS, LoadFailed, check_length, run_load

_SERVERS = (BARE, GATEWAY, *(rival.name for rival in RIVALS))
_QUICK_SERVERS = tuple(name for name in _SERVERS if name not in ("servestatic", "nginx"))
_QUICK_SIZES_BYTES = (16 * KIB,)
_QUICK_CASES = ("identity", "304", MANIFEST.name)
# Larger files are measured and shown, but not judged.
_LARGEST_JUDGED_BYTES = 128 * KIB
# A disturbance rarely ends at once.
_PAUSE_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effort:
    """What is measured, and how often."""

    rounds: int
    duration_s: int
    patience_s: int
    """To be spent, over all measurements, on making disturbed ones again."""
    cells: Sequence[Cell]

    @property
    def facts(self) -> Mapping[str, object]:
        return {
            "rounds": self.rounds,
            "duration_s": self.duration_s,
            "patience_s": self.patience_s,
            "sizes_kib": sorted({cell.size_bytes // KIB for cell in self.cells}),
            "connections": CONNECTIONS,
        }


def chosen_effort(
    *,
    quick: bool,
    rounds: int | None,
    duration_s: int,
    patience_s: int,
    sizes_kib: Sequence[int] | None,
    case_names: Sequence[str] | None,
) -> Effort:
    """By the options; None: all, or what `quick` leaves of it."""
    sizes_bytes: Sequence[int] = _QUICK_SIZES_BYTES if quick else SIZES_BYTES
    if sizes_kib is not None:
        sizes_bytes = [size * KIB for size in sizes_kib]
    if case_names is None:
        case_names = _QUICK_CASES if quick else [case.name for case in (*CASES, MANIFEST)]
    cases = [case for case in CASES if case.name in case_names]
    cells = [Cell(size, case) for case in cases for size in sizes_bytes]
    if MANIFEST.name in case_names:
        cells.append(Cell(0, MANIFEST))
    return Effort(rounds or (1 if quick else 5), duration_s, patience_s, cells)


def _listed(parse: Callable[[str], T], allowed: Sequence[T]) -> Callable[..., list[T] | None]:
    """A click callback: a list separated by commas, each one of `allowed`, in their order."""

    def read(_ctx: click.Context, _param: click.Parameter, text: str | None) -> list[T] | None:
        if text is None:
            return None
        try:
            chosen = [parse(item.strip()) for item in text.split(",")]
        except ValueError:
            chosen = []
        if not chosen or any(item not in allowed for item in chosen):
            raise click.BadParameter(f"{text!r}: expected some of {', '.join(map(str, allowed))}")
        return [item for item in allowed if item in chosen]

    return read


_MEASURING_OPTIONS = (
    click.option(
        "--rounds", type=click.IntRange(1), help="Times that everything is measured; 5, quick 1."
    ),
    click.option(
        "--duration",
        "duration_s",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Seconds of each measurement.",
    ),
    click.option(
        "--patience",
        "patience_s",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        help="Seconds to spend on making measurements again that other processes disturbed.",
    ),
    click.option(
        "--sizes",
        "sizes_kib",
        metavar="KIB,…",
        callback=_listed(int, [size // KIB for size in SIZES_BYTES]),
        help="Files, in KiB: 1,16,128,1024; all, quick 16.",
    ),
    click.option(
        "--cases",
        "case_names",
        metavar="CASE,…",
        callback=_listed(str, [case.name for case in (*CASES, MANIFEST)]),
        help="Answers: identity,br,304,manifest; all, quick without br.",
    ),
)


def measuring_options(command: Callable[..., None]) -> Callable[..., None]:
    """A decorator: `command` gets what `chosen_effort` wants, by name."""
    for option in reversed(_MEASURING_OPTIONS):
        command = option(command)
    return command


@benchmark(
    Plan(
        quick="Half a minute, to see that it works.",
        packages=("starlette", "uvicorn", "uvloop", "httptools", "databases", "servestatic"),
        programs=("wrk", "caddy", "nginx"),
        required=("wrk",),
    )
)
@measuring_options
@click.option(
    "--servers",
    "server_names",
    metavar="NAME,…",
    callback=_listed(str, _SERVERS),
    help=f"{','.join(_SERVERS)}; all, quick {','.join(_QUICK_SERVERS)}. The gateway always.",
)
def serve(run: Run, server_names: Sequence[str] | None, **options: Any) -> None:
    """Requests/s of one core: the gateway against a bare ASGI application and file servers.

    The full run takes about eight minutes. Leave the machine alone meanwhile.
    """
    effort = chosen_effort(quick=run.quick, **options)
    chosen = server_names or (_QUICK_SERVERS if run.quick else _SERVERS)
    run.describe(**effort.facts)
    with Servers(run.cores.server, run.folder) as servers:
        site = SmallSite(run.folder, {cell.size_bytes for cell in effort.cells if cell.size_bytes})
        run.show("starting the servers")
        starter = Starter(servers, site, effort.cells)
        starter.enter_gateway(with_bare=BARE in chosen)
        starter.enter_rivals(rival for rival in RIVALS if rival.name in chosen)
        measurements = measure_all(run, effort, site, starter.entries)
    note(run.record, effort.cells, measurements)
    for key, cases in (("same_again", CASES), ("manifest", (MANIFEST,))):
        cells = [cell for cell in effort.cells if cell.case in cases]
        run.record.judge(key, judged_ratios(cells, measurements))
    plot_by_size(run.record, effort.cells, measurements)


def measure_all(run: Run, effort: Effort, site: SmallSite, entries: Entries) -> Measurements:
    """Every entry in each round; what is skipped is remarked on."""
    for line in entries.skipped_lines():
        run.record.remark(f"skipped: {line}")
    measurements = Measurements()
    meter = _Meter(run, effort, site)
    steps = list(schedule(entries.by_cell.values(), effort.rounds))
    run.show("", total=len(steps))
    for number, entry in steps:
        run.show_step(f"round {number} of {effort.rounds}: {entry.cell}, {entry.server}")
        measurements.add(meter.measure(entry, number))
        run.advance()
    return measurements


class _Meter:
    """Makes measurements, and disturbed ones again as long as there is patience."""

    def __init__(self, run: Run, effort: Effort, site: SmallSite) -> None:
        self._run = run
        self._site = site
        self._duration_s = effort.duration_s
        self._patience_s: float = effort.patience_s

    def measure(self, entry: Entry, number: int) -> Measurement | Failure:
        """Blocking, for about the duration; longer while there is patience."""
        try:
            measurement = self._measure_once(entry, number)
            while measurement.disturbed and self._patience_s > 0:
                started = time.monotonic()
                time.sleep(_PAUSE_S)
                measurement = self._measure_once(entry, number)
                self._patience_s -= time.monotonic() - started
        except LoadFailed as error:
            return Failure(entry.server, entry.cell, number, str(error))
        return measurement

    def _measure_once(self, entry: Entry, number: int) -> Measurement:
        """Raises: LoadFailed, also if the answer is no longer the right one."""
        try:
            objected = objection(entry.ask(), entry.cell, self._site)
        except (OSError, http.client.HTTPException) as error:
            objected = f"does not answer: {error}"
        if objected is not None:
            raise LoadFailed(objected)
        measurement = measure(
            *(entry.server, entry.cell, number, entry.running, self._run.cores),
            load=lambda: run_load(entry.running.port, entry.request, self._duration_s),
        )
        check_length(measurement.report, entry.content_bytes, unfinished=CONNECTIONS)
        return measurement


def judged_ratios(cells: Sequence[Cell], measurements: Measurements) -> Mapping[str, Spread]:
    """Against the bare application."""
    return {
        str(cell): ratio
        for cell in cells
        if cell.size_bytes <= _LARGEST_JUDGED_BYTES
        if (ratio := measurements.ratio(GATEWAY, BARE, cell)) is not None
    }
