"""`python -m benchmarks lookup`: options in; tables, verdicts, plots and files out."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import Progress

from benchmarks.browser import script_request
from benchmarks.cores import Cores, pinned_to
from benchmarks.fresh_process import in_fresh_process
from benchmarks.lookup.hit_ratio import FILES_OF_A_PAGE, PAGES_PER_S, USERS, HitRatio, hit_ratios
from benchmarks.lookup.inside import Inside, gateway_inside, settle
from benchmarks.lookup.load import Loaded, gateway_server, load_at, warm_up
from benchmarks.lookup.misses import CONCURRENT, concurrent_misses
from benchmarks.lookup.plots import hit_ratio_plot, load_plot, stage_plot
from benchmarks.lookup.stages import LOOKUP_WARM, STAGES, NotHere
from benchmarks.loop import run
from benchmarks.percentiles import PERCENTILE_NAMES, Latencies
from benchmarks.plots import add_plot
from benchmarks.population import Population, kept_site
from benchmarks.promises import Bound, Verdict, judge
from benchmarks.ratios import Spread
from benchmarks.record import Figure, Record, Table
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
from benchmarks.subjects import Asking, NothingToAsk, Subjects, made_subjects, own_subjects

_PACKAGES = ("databases", "aiosqlite", "cachetools", "orjson", "pyjwt", "uvicorn", "uvloop")
_SUBJECTS = 2_000
WARM_P50 = Bound(5, "µs", at_most=True)
WARM_P99 = Bound(15, "µs", at_most=True)
ONE = Bound(1, at_most=True)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: in a whole run, and in a quick one."""

    users: int
    rounds: int
    rates: Sequence[int]
    load_s: float
    pages: int


_WHOLE = Effort(10_000, 20, (250, 500, 1000, 2000), 5.0, 20_000)
_QUICK = Effort(1_000, 2, (500,), 1.0, 500)


@click.command()
@click.option("--database", metavar="URL", help="Of a site of your own, which is only read.")
@click.option("--plugins", metavar="DIR", help="Its plugins folder.")
@click.option("--url", metavar="URL", help="Of a file that a running gateway serves: load on it.")
@click.option("--token", default="", help="With --url: the bearer token to ask with.")
@site_dir_option
@quick_option("Ten seconds, to see that it works.")
@output_option
def lookup(
    database: str | None,
    plugins: str | None,
    url: str | None,
    token: str,
    site_dir: Path,
    quick: bool,
    output: Path,
) -> None:
    """What a lookup costs: each stage, cold and warm; percentiles under load; hit ratios.

    The full run takes about two minutes. Leave the machine alone meanwhile.
    """
    if (database is None) != (plugins is None):
        raise click.UsageError("--database and --plugins: expected both or neither")
    effort = _QUICK if quick else _WHOLE
    console = new_console()
    with on_two_cores() as cores:
        record = _start(effort, cores, quick=quick)
        show_facts(console, record.facts)
        if url is not None:
            loaded = _load_url(console, url, token, effort)
            _note_load(record, loaded)
        else:
            _measure(console, record, effort, cores, site_dir, database, plugins)
    finish(console, record, output)


def _start(effort: Effort, cores: Cores, *, quick: bool) -> Record:
    options = {"quick": quick, "rounds": effort.rounds, "core": cores.server}
    return Record("lookup", gather_facts(_PACKAGES, (), options))


def _measure(
    console: Console,
    record: Record,
    effort: Effort,
    cores: Cores,
    site_dir: Path,
    database: str | None,
    plugins: str | None,
) -> None:
    with progress(console) as bar:
        if database is None or plugins is None:
            task = bar.add_task("making the site", total=None)
            site = kept_site(
                site_dir,
                Population(effort.users),
                lambda done, of: bar.update(task, completed=done, total=of),
            )
            bar.remove_task(task)
            subjects = made_subjects(site, _SUBJECTS)
        else:
            site = None
            subjects = own_subjects(database, plugins, _SUBJECTS)
        with pinned_to(cores.server):
            measured = run(_measure_stages(subjects, effort.rounds, bar, record))
        _note_stages(record, measured)
        _note_misses(record, subjects, cores)
        loaded: list[Loaded] = []
        if site is not None:
            askings = [subjects.asking(subject) for subject in subjects.chosen]
            task = bar.add_task("requests by HTTP", total=len(effort.rates) * 2)
            with (
                tempfile.TemporaryDirectory(prefix="benchmarks-") as logs,
                gateway_server(site.folder, site.environment, cores, Path(logs)) as server,
            ):
                warm_up(server, askings)
                for each in load_at(server.port, askings, effort.rates, effort.load_s):
                    loaded.append(each)
                    bar.advance(task)
            bar.remove_task(task)
            _note_load(record, loaded)
        bar.add_task("hit ratios", total=None)
        _note_hit_ratios(record, run(hit_ratios(effort.pages)))


def _load_url(console: Console, url: str, token: str, effort: Effort) -> list[Loaded]:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost"):
        raise NothingToAsk(f"--url: expected http://127.0.0.1:PORT/PATH, got {url!r}")
    headers = dict(script_request(token, "gzip, deflate, br"))
    if not token:
        del headers["Authorization"]
    asking = Asking("", parts.path.encode(), headers)  # type: ignore[arg-type]
    with console.status("requests by HTTP"):
        return list(load_at(parts.port or 80, [asking], effort.rates, effort.load_s))


async def _measure_stages(
    subjects: Subjects, rounds: int, bar: Progress, record: Record
) -> Mapping[str, Sequence[Sequence[int]]]:
    """By stage: nanoseconds, round by round. A stage that makes no sense here is remarked on."""
    task = bar.add_task("stages", total=rounds * len(STAGES))
    measured: dict[str, list[Sequence[int]]] = {stage.name: [] for stage in STAGES}
    async with gateway_inside(subjects) as inside:
        for number in range(rounds):
            for stage in STAGES if number % 2 == 0 else reversed(STAGES):
                bar.update(task, description=f"stages: {stage.name:<32}", advance=1)
                await settle()
                try:
                    askings = _askings(inside, stage.calls, number)
                    measured[stage.name].append(await stage.measure(inside, askings))
                except NotHere as reason:
                    record.remark(f"{stage.name}: left out: {reason}")
    bar.remove_task(task)
    return {name: durations for name, durations in measured.items() if durations}


def _askings(inside: Inside, calls: int, number: int) -> list[Asking]:
    """Others in each round, as far as there are others."""
    start = number * calls % len(inside.askings)
    return list(islice(cycle(inside.askings), start, start + calls))


def _note_stages(record: Record, measured: Mapping[str, Sequence[Sequence[int]]]) -> None:
    rows = []
    by_round: dict[str, dict[str, list[float]]] = {"p50": {}, "p99": {}}
    for name, rounds in measured.items():
        whole = Latencies(duration for durations in rounds for duration in durations)
        rows.append([name, *map(_us, whole.percentiles_us())])
        for percentile, of_stage in by_round.items():
            of_stage[name] = [
                Latencies(durations).percentile_us(float(percentile[1:])) for durations in rounds
            ]
            record.figures.append(Figure(f"{name}, {percentile}", "µs", of_stage[name]))
    title = "Microseconds of each stage, in process, on one core, garbage collection on"
    record.tables.append(Table(title, ["stage", *PERCENTILE_NAMES], rows))
    record.remarks.append(
        "Every call is timed by itself, so each figure holds the cost of the clock and of one"
        " Python call (first row); a maximum is what the system and the garbage collector did."
    )
    record.verdicts += stage_verdicts(by_round["p50"], by_round["p99"])
    add_plot(record, lambda: stage_plot(measured))


def stage_verdicts(
    p50: Mapping[str, Sequence[float]], p99: Mapping[str, Sequence[float]]
) -> list[Verdict]:
    """From the percentiles of each round: the machine's worst moments fill a few rounds only."""
    return [
        judge(f"warm lookup, {name}", bound, _spreads({LOOKUP_WARM: found.get(LOOKUP_WARM)}))
        for name, bound, found in (("p50", WARM_P50, p50), ("p99", WARM_P99, p99))
    ]


def _spreads(rounds: Mapping[str, Sequence[float] | None]) -> dict[str, Spread]:
    return {name: Figure(name, "", found).spread for name, found in rounds.items() if found}


def _note_misses(record: Record, subjects: Subjects, cores: Cores) -> None:
    counted = in_fresh_process(cores.server, concurrent_misses, subjects)
    figures = {
        "queries": Spread(counted.queries, counted.queries, counted.queries),
        "file reads": Spread(counted.file_reads, counted.file_reads, counted.file_reads),
    }
    for name, spread in figures.items():
        label = f"{CONCURRENT:,} concurrent misses of one user: {name}"
        record.figures.append(Figure(label, "", [spread.median]))
    record.verdicts.append(
        judge(f"{CONCURRENT:,} concurrent misses of one user: 1 query, 1 file read", ONE, figures)
    )


def _note_load(record: Record, loaded: Iterable[Loaded]) -> None:
    loaded = list(loaded)
    rows = []
    for each in loaded:
        rows.append(
            [
                f"{each.rate} requests/s, {each.law}",
                *map(_us, each.latencies.percentiles_us()),
                _us(each.lateness.percentile_us(99.0)),
            ]
        )
        if each.failed:
            record.failures.append(f"{each.rate} requests/s: {each.failed} answers were not 200")
    title = "Microseconds of a request by HTTP from the moment it was due (open loop)"
    columns = ["load, users", *PERCENTILE_NAMES, "generator's p99"]
    record.tables.append(Table(title, columns, rows))
    add_plot(record, lambda: load_plot(loaded))


def _note_hit_ratios(record: Record, found: Sequence[HitRatio]) -> None:
    sizes = sorted({each.max_entries for each in found})
    ttls_s = sorted({each.ttl_s for each in found})
    ratios = {(each.ttl_s, each.max_entries): each.ratio for each in found}
    title = (
        f"Hit ratio by TTL and max_entries: {USERS:,} users by Zipf's law,"
        f" {PAGES_PER_S} pages/s of {FILES_OF_A_PAGE} files"
    )
    record.tables.append(
        Table(
            title,
            ["ttl", *(f"{size:,}" for size in sizes)],
            [
                [f"{ttl_s:g} s", *(f"{ratios[ttl_s, size]:.3f}" for size in sizes)]
                for ttl_s in ttls_s
            ],
        )
    )
    add_plot(record, lambda: hit_ratio_plot(found))


def _us(microseconds: float) -> str:
    return f"{microseconds:,.2f}" if microseconds < 100 else f"{microseconds:,.0f}"
