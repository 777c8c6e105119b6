"""The common part of all commands: options, cores, the record, and what is shown.

A command is a function that measures into a `Run`; the decorator `benchmark` does the rest.
"""

import functools
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.figures import Spread
from benchmarks.machine import (
    CannotMeasure,
    Cores,
    choose_cores,
    commit,
    describe_machine,
    load_average,
    pinned_to,
    versions,
)
from benchmarks.promises import Outcome
from benchmarks.record import Record, Table
from benchmarks.report import NOT_MEASURED, ShownPromise, shown_promises
from benchmarks.sites import Population, Site, kept_site
from gateway.errors import GatewayError

# Wide enough for the tables, so that a file or a pipe gets them unbroken.
WIDTH = 132
_STYLES = {Outcome.KEPT.value: "green", Outcome.MISSED.value: "red"}
OUTPUT = click.Option(
    ["--output"],
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmark-results"),
    show_default=True,
    help="Folder for what is written: JSON, text, plots.",
)
SITE_DIR = click.Option(
    ["--site-dir"],
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".bench"),
    show_default=True,
    help="Folder for sites that are made once and kept.",
)
_REASONS = {
    "wrk": "no other load generator outruns the servers",
    "nginx": "it is what is measured",
    "chromium": "it is what loads the pages",
    "npm": "what is measured comes from its registry",
}


def quick_option(text: str) -> click.Option:
    return click.Option(["--quick"], is_flag=True, help=text)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command needs beside its options."""

    quick: str
    """Help of `--quick`."""
    packages: Sequence[str] = ()
    programs: Sequence[str] = ()
    """Packages and programs whose versions are recorded."""
    required: Sequence[str] = ()
    """Programs without which nothing is measured."""
    keeps_sites: bool = False
    """Whether there is `--site-dir`."""
    exits_with_missed: bool = False
    """Whether the exit code is 1 if a promise is missed."""


class Run:
    """One run of a command: where it works, and what it has measured so far."""

    def __init__(
        self, name: str, plan: Plan, cores: Cores, folder: Path, *, quick: bool, site_dir: Path
    ) -> None:
        self.quick = quick
        self.cores = cores
        self.folder = folder
        """Temporary, and empty at first."""
        facts = {
            "commit": commit(),
            "machine": describe_machine(),
            "versions": versions(plan.packages, plan.programs),
            "load_average_before": load_average(),
        }
        self.record = Record(name, facts)
        self._plan = plan
        self._site_dir = site_dir
        self._console = Console(record=True, width=WIDTH, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=2,  # this process shares the load generator's core
        )
        self._task = self._progress.add_task("", total=None)

    @contextmanager
    def showing(self) -> Iterator[None]:
        with self._progress:
            yield

    def describe(self, **options: object) -> None:
        """Records and shows what this run measures; called before anything is measured."""
        facts = self.record.facts
        pinned = {"server_core": self.cores.server, "load_core": self.cores.load}
        facts["options"] = {"quick": self.quick, **options, **pinned}
        for name in ("commit", "machine", "versions", "options"):
            value = facts[name]
            if isinstance(value, Mapping):
                value = ", ".join(f"{key} {item}" for key, item in value.items())
            self._console.print(f"{name}: {value}", style="dim", markup=False)

    def show(self, text: str, total: int | None = None) -> None:
        """Says what is done now, in so many steps."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(f"{text[:70]:<44}", total=total)

    def tell(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def show_step(self, text: str) -> None:
        """Says which step is next."""
        self._progress.update(self._task, description=f"{text[:70]:<44}")

    def advance(self) -> None:
        self._progress.update(self._task, advance=1)

    def kept_site(self, population: Population) -> Site:
        """The population's site in `--site-dir`, made if it is not there."""
        self.show(f"making the site of {population.users:,} users")
        return kept_site(self._site_dir, population, self.tell)

    def finish(self, output: Path) -> None:
        """Shows the record and writes it. Raises: click's Exit with 1, if something failed."""
        console, record = self._console, self.record
        record.facts["load_average_after"] = load_average()
        for table in record.tables:
            console.print(rich_table(table))
        if record.verdicts:
            shown = shown_promises({record.command: record.as_json()})
            console.print(promise_table(each for each in shown if each.outcome != NOT_MEASURED))
        for line in record.remarks:
            console.print(line, style="yellow", markup=False)
        for line in record.failures:
            console.print(f"failed: {line}", style="red", markup=False)
        before, after = (record.facts[f"load_average_{when}"] for when in ("before", "after"))
        console.print(f"load average: {before} before, {after} after", style="dim")
        record.write(output)
        (output / f"{record.command}.txt").write_text(console.export_text())
        missed = any(verdict.outcome is Outcome.MISSED for verdict in record.verdicts)
        if record.failures or (self._plan.exits_with_missed and missed):
            raise click.exceptions.Exit(1)


def benchmark(plan: Plan) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a command of a function that gets a Run, and its own options by name."""

    def make(measure: Callable[..., None]) -> click.Command:
        @functools.wraps(measure)
        def command(
            *, quick: bool, output: Path, site_dir: Path | None = None, **options: Any
        ) -> None:
            for program in plan.required:
                if not shutil.which(program):
                    reason = _REASONS[program]
                    raise click.ClickException(f"{program} is not installed, and {reason}")
            with _on_two_cores() as cores, _temporary_folder() as folder:
                run = Run(
                    measure.__name__,
                    plan,
                    cores,
                    folder,
                    quick=quick,
                    site_dir=site_dir or Path(),
                )
                with run.showing():
                    measure(run, **options)
            run.finish(output)

        made = click.command(measure.__name__)(command)
        made.params += [*([SITE_DIR] if plan.keeps_sites else []), quick_option(plan.quick), OUTPUT]
        return made

    return make


def spread_text(spread: Spread) -> str:
    """Three digits behind the point where they matter, one where the figure is large."""
    digits = 3 if spread.median < 2 else 1
    mark = "? " if spread.doubtful else ""
    return f"{mark}{spread.median:.{digits}f} [{spread.low:.{digits}f}-{spread.high:.{digits}f}]"


def rich_table(table: Table) -> RichTable:
    shown = RichTable(title=escape(table.title))
    for number, name in enumerate(table.columns):
        shown.add_column(escape(name), justify="right" if number else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown


def promise_table(shown: Iterable[ShownPromise]) -> RichTable:
    table = RichTable("promise", "promised", "outcome", title="Promises", show_lines=True)
    table.add_column(r"median \[least to greatest] of the rounds, the worst first")
    for each in shown:
        table.add_row(
            escape(each.promise.text),
            str(each.promise.bound),
            Text(each.outcome, style=_STYLES.get(each.outcome, "yellow")),
            escape("\n".join(each.lines)),
        )
    return table


@contextmanager
def _on_two_cores() -> Iterator[Cores]:
    """This process on the core of the load, its servers on the other.

    Raises: click.ClickException, with one line, for whatever makes measuring impossible.
    """
    # SIGTERM raises an exception, so that all blocks end, and the servers with them.
    signal.signal(signal.SIGTERM, _leave)
    try:
        cores = choose_cores()
        with pinned_to(cores.load):
            yield cores
    except (CannotMeasure, GatewayError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx may run as another user
        yield folder


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)
