"""`python -m benchmarks scale`: options in; table, verdicts, plot and files out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from benchmarks.cores import Cores
from benchmarks.fresh_process import in_fresh_process
from benchmarks.plots import add_plot, draw_plot
from benchmarks.population import PUBLISHED_VERSIONS, PopulatedSite, Population, kept_site
from benchmarks.processes import ServerFailed
from benchmarks.promises import judge
from benchmarks.record import Figure, Plot, Record
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    output_option,
    progress,
    quick_option,
    show_facts,
    site_dir_option,
)
from benchmarks.scale.figures import (
    CHECK,
    COMMIT_CPU,
    DOCTOR,
    GC,
    HEARD,
    LIST,
    LIST_ONE,
    MIGRATE,
    PROMISED_MEMORY,
    QUANTITIES,
    START,
    Quantity,
    Sizes,
    people,
)
from benchmarks.scale.sizes import MOST_WARM, Rounds, measure_commits, measure_size
from benchmarks.scale.starting import (
    command_seconds,
    has_command,
    import_seconds,
    start_seconds,
)

_PACKAGES = ("databases", "aiosqlite", "cachetools", "orjson", "uvicorn", "uvloop")
_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_QUICK_SIZES = (1_000, 2_000)
_NARROW_AND_WIDE = (Population(1_000, 5, 5), Population(1_000, 50, 50))
_ALL_COMMANDS = {LIST: "list", CHECK: "check", DOCTOR: "doctor", MIGRATE: "migrate", GC: "gc"}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: in a whole run, and in a quick one."""

    rounds: int
    starts: int
    commits: int
    memory_users: int
    most_warm: int
    commands_from: int
    """Users of a site; commands are not run on smaller ones."""


_WHOLE = Effort(10, 5, 5, 20_000, MOST_WARM, 0)
_QUICK = Effort(2, 1, 1, 1_000, 2_000, 2_000)


@click.command()
@click.option(
    "--users",
    "sizes",
    type=click.IntRange(1_000),
    multiple=True,
    help="Users of a site; may be repeated. 1,000, 10,000, 100,000 and 1,000,000; quick less.",
)
@site_dir_option
@quick_option("A quarter of a minute, to see that it works.")
@output_option
def scale(sizes: Sequence[int], site_dir: Path, quick: bool, output: Path) -> None:
    """Lookups, memory, start, purges, foreign commits and commands, by number of users.

    The sites are made once and kept: for all sizes that takes four minutes and 12 GB, in about
    2.3 million files. The full run takes about ten minutes more.
    """
    effort = _QUICK if quick else _WHOLE
    chosen = sorted(sizes) or list(_QUICK_SIZES if quick else _SIZES)
    populations = [Population(users) for users in chosen]
    console = new_console()
    with on_two_cores() as cores, progress(console) as bar:
        options = {"quick": quick, "users": chosen, "rounds": effort.rounds, "core": cores.server}
        record = Record("scale", gather_facts(_PACKAGES, (), options))
        show_facts(console, record.facts)
        measuring = _Measuring(site_dir, effort, cores, bar, record)
        measuring.measure_memory()
        for population in (*populations, *(() if quick else _NARROW_AND_WIDE)):
            measuring.measure(population, whole=population in populations)
        measuring.conclude(populations)
    finish(console, record, output)


class _Measuring:
    """One run, size by size."""

    def __init__(
        self, site_dir: Path, effort: Effort, cores: Cores, bar: Progress, record: Record
    ) -> None:
        self._site_dir = site_dir
        self._effort = effort
        self._cores = cores
        self._bar = bar
        self._record = record
        self._sizes = Sizes()
        self._task = bar.add_task("", total=None)

    def measure_memory(self) -> None:
        """Of a user with 20 plugins whom both caches hold."""
        population = Population(self._effort.memory_users, 20, 20)
        site = self._made(population)
        self._show(f"memory: {people(population)}")
        found: Rounds = in_fresh_process(
            self._cores.server, measure_size, site.folder, population, 0, population.users
        )
        figure = Figure(
            "memory of a cached user with 20 plugins", "KiB", [found.entry_bytes / 1024]
        )
        self._record.figures.append(figure)
        # What a process holds once counts for little beside so many users, and for much beside few.
        few = population.users < _WHOLE.memory_users
        doubt = f"fewer than {_WHOLE.memory_users:,} users" if few else ""
        self._record.verdicts.append(
            judge(figure.name, PROMISED_MEMORY, {people(population): figure.spread}, doubt=doubt)
        )

    def measure(self, population: Population, *, whole: bool) -> None:
        """`whole` False: lookups alone."""
        site = self._made(population)
        self._show(f"{people(population)}: lookups")
        most_warm = min(population.users, self._effort.most_warm)
        found: Rounds = in_fresh_process(
            self._cores.server,
            *(measure_size, site.folder, population, self._effort.rounds, most_warm),
        )
        self._note_lookups(population, found)
        if whole:
            self._measure_start(population, site)
            self._measure_commits(population, site)
            if population.users >= self._effort.commands_from:
                self._measure_commands(population, site)

    def conclude(self, populations: Sequence[Population]) -> None:
        record = self._record
        record.tables.append(self._sizes.table())
        record.figures += self._sizes.figures()
        record.verdicts += self._sizes.verdicts(populations)
        record.remarks += self._sizes.growth(populations)
        record.remark(
            f"{PUBLISHED_VERSIONS:,} versions are published on every site; the interpreter and"
            f" the imports are {min(import_seconds(self._cores.server) for _ in range(3)):.2f} s"
            " of each start."
        )
        record.remark(
            f"Warm: up to {MOST_WARM:,} users, as many as the caches keep by default, by Zipf's"
            " law; cold: the rarest of them, purged before."
        )
        if len(populations) > 1:
            add_plot(record, lambda: self._plot(populations))

    def _made(self, population: Population) -> PopulatedSite:
        def tell(done: int, of: int) -> None:
            self._bar.update(self._task, completed=done, total=of)

        self._show(f"making {people(population)}")
        return kept_site(self._site_dir, population, tell)

    def _show(self, text: str) -> None:
        self._bar.update(self._task, description=f"{text:<44}", completed=0, total=None)

    def _note_lookups(self, population: Population, found: Rounds) -> None:
        for quantity in QUANTITIES:
            self._sizes.add(population, quantity, found.us.get(quantity.name, ()))

    def _measure_start(self, population: Population, site: PopulatedSite) -> None:
        self._show(f"{people(population)}: start")
        seconds = [start_seconds(site, self._cores.server) for _ in range(self._effort.starts)]
        self._sizes.add(population, START, seconds)

    def _measure_commits(self, population: Population, site: PopulatedSite) -> None:
        self._show(f"{people(population)}: foreign commits")
        found = in_fresh_process(
            self._cores.server, measure_commits, site.folder, population, self._effort.commits
        )
        self._sizes.add(population, HEARD, [delay / 1000 for delay in found.delays_us])
        self._sizes.add(population, COMMIT_CPU, [spent / 1000 for spent in found.cpu_us])
        if found.failed:
            self._record.remark(f"foreign commit, {people(population)}: {found.failed}")
        if found.told_anything:
            self._record.remark(
                f"foreign commit, {people(population)}: {found.told_anything} of"
                f" {len(found.delays_us)} commits to another table made the gateway ask again for"
                " all that it knows"
            )

    def _measure_commands(self, population: Population, site: PopulatedSite) -> None:
        user = population.user(population.users // 2)
        self._measure_command(population, site, LIST_ONE, "list", "--user", user)
        for quantity, name in _ALL_COMMANDS.items():
            if has_command(name):
                self._measure_command(population, site, quantity, name)

    def _measure_command(
        self, population: Population, site: PopulatedSite, quantity: Quantity, *arguments: str
    ) -> None:
        self._show(f"{people(population)}: gateway {' '.join(arguments[:1])}")
        try:
            seconds = command_seconds(site, self._cores.server, *arguments)
        except ServerFailed as error:
            self._record.remark(f"{quantity.name}, {people(population)}: {error}")
        else:
            self._sizes.add(population, quantity, [seconds])

    def _plot(self, populations: Sequence[Population]) -> Plot:
        def panel(unit: str) -> Any:
            def draw(axes: Any) -> None:
                for quantity in self._sizes.measured:
                    found = self._sizes.of(quantity)
                    points = [(each.users, found[each]) for each in populations if each in found]
                    if quantity.unit == unit and points:
                        users = [count for count, _ in points]
                        medians = [figure.spread.median for _, figure in points]
                        axes.plot(users, medians, marker="o", label=quantity.name)
                axes.set(xscale="log", yscale="log", xlabel="users", ylabel=unit)
                axes.legend(fontsize=7)

            return draw

        return draw_plot("scale", "By number of users", *map(panel, ("µs", "ms", "s")))
