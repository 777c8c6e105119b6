"""`python -m benchmarks scale`: lookups, memory, start and commands, by number of users."""

import http.client
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import ask
from benchmarks.machine import pinned_to
from benchmarks.processes import ServerFailed, end, free_port, in_fresh_process, start, usage_of
from benchmarks.record import Draw, Figure
from benchmarks.scale.quantities import (
    CHECK,
    COMMIT_CPU,
    DOCTOR,
    GC,
    HEARD,
    LIST,
    LIST_ONE,
    MIGRATE,
    QUANTITIES,
    START,
    Quantity,
    Sizes,
    people,
)
from benchmarks.scale.sizes import MOST_WARM, measure_commits, measure_size
from benchmarks.sites import PUBLISHED_VERSIONS, Population, Site

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_QUICK_SIZES = (1_000, 2_000)
_NARROW_AND_WIDE = (Population(1_000, 5, 5), Population(1_000, 50, 50))
_ALL_COMMANDS = {LIST: "list", CHECK: "check", DOCTOR: "doctor", MIGRATE: "migrate", GC: "gc"}
_POLL_S = 0.005
_START_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done."""

    rounds: int
    starts: int
    commits: int
    memory_users: int
    most_warm: int
    commands_from: int
    """Users of a site; commands are not run on smaller ones."""


_WHOLE = Effort(10, 5, 5, 20_000, MOST_WARM, 0)
_QUICK = Effort(2, 1, 1, 1_000, 2_000, 2_000)


@benchmark(
    Plan(
        quick="A quarter of a minute, to see that it works.",
        packages=("databases", "aiosqlite", "cachetools", "orjson", "uvicorn", "uvloop"),
        keeps_sites=True,
    )
)
@click.option(
    "--users",
    "sizes",
    type=click.IntRange(1_000),
    multiple=True,
    help="Users of a site; may be repeated. 1,000, 10,000, 100,000 and 1,000,000; quick less.",
)
def scale(run: Run, sizes: Sequence[int]) -> None:
    """Lookups, memory, start, purges, foreign commits and commands, by number of users.

    The sites are made once and kept: for all sizes that takes four minutes and 12 GB, in about
    2.3 million files. The full run takes about ten minutes more.
    """
    effort = _QUICK if run.quick else _WHOLE
    chosen = sorted(sizes) or list(_QUICK_SIZES if run.quick else _SIZES)
    populations = [Population(users) for users in chosen]
    run.describe(users=chosen, rounds=effort.rounds)
    measuring = _Measuring(run, effort)
    measuring.measure_memory()
    for population in populations:
        measuring.measure_lookups(population)
        measuring.measure_the_rest(population)
    for population in () if run.quick else _NARROW_AND_WIDE:
        measuring.measure_lookups(population)
    measuring.note(populations)


class _Measuring:
    """One run, size by size."""

    def __init__(self, run: Run, effort: Effort) -> None:
        self._run = run
        self._record = run.record
        self._core = run.cores.server
        self._effort = effort
        self._sizes = Sizes()

    def measure_memory(self) -> None:
        """Memory of a user with 20 plugins whom both caches hold."""
        population = Population(self._effort.memory_users, 20, 20)
        site = self._run.kept_site(population)
        self._run.show(f"memory: {people(population)}")
        measured = in_fresh_process(
            self._core, measure_size, site.folder, population, 0, population.users
        )
        kib = measured.entry_bytes / 1024
        figure = Figure("memory of a cached user with 20 plugins", "KiB", [kib])
        self._record.figures.append(figure)
        # The fixed memory of a process is divided by the users too: few users look expensive.
        few = population.users < _WHOLE.memory_users
        doubt = f"fewer than {_WHOLE.memory_users:,} users" if few else ""
        self._record.judge("memory_lookup", {people(population): figure.spread}, doubt=doubt)

    def measure_lookups(self, population: Population) -> None:
        site = self._run.kept_site(population)
        self._run.show(f"{people(population)}: lookups")
        most_warm = min(population.users, self._effort.most_warm)
        measured = in_fresh_process(
            self._core,
            *(measure_size, site.folder, population, self._effort.rounds, most_warm),
        )
        for quantity in QUANTITIES:
            self._sizes.add(population, quantity, measured.us.get(quantity.name, ()))

    def measure_the_rest(self, population: Population) -> None:
        site = self._run.kept_site(population)
        self._run.show(f"{people(population)}: start")
        seconds = [
            start_seconds(site, self._core, self._run.folder) for _ in range(self._effort.starts)
        ]
        self._sizes.add(population, START, seconds)
        self._measure_commits(site)
        if population.users >= self._effort.commands_from:
            user = population.user(population.users // 2)
            self._measure_command(site, LIST_ONE, "list", "--user", user)
            for quantity, name in _ALL_COMMANDS.items():
                self._measure_command(site, quantity, name)

    def _measure_commits(self, site: Site) -> None:
        population = site.population
        self._run.show(f"{people(population)}: foreign commits")
        measured = in_fresh_process(
            self._core, measure_commits, site.folder, population, self._effort.commits
        )
        self._sizes.add(population, HEARD, [delay / 1000 for delay in measured.delays_us])
        self._sizes.add(population, COMMIT_CPU, [spent / 1000 for spent in measured.cpu_us])
        if measured.failed:
            self._record.remark(f"foreign commit, {people(population)}: {measured.failed}")
        if measured.anything_changed:
            self._record.remark(
                f"foreign commit, {people(population)}: {measured.anything_changed} of"
                f" {len(measured.delays_us)} commits to another table made the gateway ask again"
                " for all that it knows"
            )

    def _measure_command(self, site: Site, quantity: Quantity, *arguments: str) -> None:
        population = site.population
        self._run.show(f"{people(population)}: {quantity.name}")
        command = site.command(*arguments)
        try:
            usage = usage_of(command, [self._core], self._run.folder)
        except ServerFailed as error:
            self._record.remark(f"{quantity.name}, {people(population)}: {error}")
        else:
            self._sizes.add(population, quantity, [usage.seconds])

    def note(self, populations: Sequence[Population]) -> None:
        record = self._record
        record.tables.append(self._sizes.table())
        record.figures += self._sizes.figures()
        self._sizes.judge(record, populations)
        record.remarks += self._sizes.growth(populations)
        record.remark(
            f"{PUBLISHED_VERSIONS:,} versions are published on every site; the interpreter and"
            f" the imports are {min(import_seconds(self._core) for _ in range(3)):.2f} s of each"
            " start."
        )
        record.remark(
            f"Warm: up to {MOST_WARM:,} users, as many as the caches keep by default, by Zipf's"
            " law; cold: the rarest of them, purged before."
        )
        if len(populations) > 1:
            panels = (self._panel(unit, populations) for unit in ("µs", "ms", "s"))
            record.plot("scale", "By number of users", *panels)

    def _panel(self, unit: str, populations: Sequence[Population]) -> Draw:
        def draw(axes: Any) -> None:
            for quantity in self._sizes.measured:
                figures = self._sizes.of(quantity)
                points = [each for each in populations if each in figures]
                if quantity.unit == unit and points:
                    users = [population.users for population in points]
                    medians = [figures[population].spread.median for population in points]
                    axes.plot(users, medians, marker="o", label=quantity.name)
            axes.set(xscale="log", yscale="log", xlabel="users", ylabel=unit)
            axes.legend(fontsize=7)

        return draw


def start_seconds(site: Site, core: int, folder: Path) -> float:
    """Until `/-/ready` is answered by 200: the interpreter's start and all imports included.

    Raises: ServerFailed.
    """
    port = free_port()
    started = time.perf_counter()
    process = start(site.serve_command(port), [core], folder / "start.log")
    try:
        while time.perf_counter() - started < _START_DEADLINE_S and process.poll() is None:
            if _is_ready(port):
                return time.perf_counter() - started
            time.sleep(_POLL_S)
        raise ServerFailed("the gateway was not ready")
    finally:
        end(process)


def _is_ready(port: int) -> bool:
    try:
        return ask(port, "/-/ready").status == 200
    except (OSError, http.client.HTTPException):
        return False


def import_seconds(core: int) -> float:
    """Seconds that the interpreter and the imports take, without a site."""
    started = time.perf_counter()
    with pinned_to(core):
        subprocess.run([sys.executable, "-c", "import gateway.cli.serving"], check=True)
    return time.perf_counter() - started
