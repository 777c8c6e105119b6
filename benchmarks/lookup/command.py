"""`python -m benchmarks lookup`: what a lookup costs, on a site that is made or on your own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlsplit

import click

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import Request, browser_headers
from benchmarks.figures import PERCENTILE_NAMES, Latencies, us_text
from benchmarks.lookup.counted import concurrent_misses, hit_ratios, note_hit_ratios, note_misses
from benchmarks.lookup.inside import Inside, Nanoseconds, gateway_inside, settle
from benchmarks.lookup.latency import Loaded, load_at, note_latency, warm_up
from benchmarks.lookup.stages import LOOKUP_WARM, STAGES, NotHere
from benchmarks.machine import pinned_to
from benchmarks.open_loop import LAWS
from benchmarks.pages.servers import serving
from benchmarks.processes import in_fresh_process, run_in_loop
from benchmarks.record import Figure, Record, Table
from benchmarks.sites import LASTING, Population, Site
from benchmarks.subjects import NothingToAsk, Subjects, made_subjects, own_subjects

_SUBJECTS = 2_000
_BAR_PERCENTILES = (50.0, 99.0)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done."""

    users: int
    rounds: int
    rates: Sequence[int]
    load_s: float
    pages: int


_WHOLE = Effort(10_000, 20, (250, 500, 1000, 2000), 5.0, 20_000)
_QUICK = Effort(1_000, 2, (500,), 1.0, 500)


@benchmark(
    Plan(
        quick="Ten seconds, to see that it works.",
        packages=("databases", "aiosqlite", "cachetools", "orjson", "pyjwt", "uvicorn", "uvloop"),
        keeps_sites=True,
    )
)
@click.option("--database", metavar="URL", help="Of a site of your own, which is only read.")
@click.option("--plugins", metavar="DIR", help="Its plugins folder.")
@click.option("--url", metavar="URL", help="Of a file that a running gateway serves: load on it.")
@click.option("--token", default="", help="With --url: the bearer token to ask with.")
def lookup(
    run: Run, database: str | None, plugins: str | None, url: str | None, token: str
) -> None:
    """What a lookup costs: each stage, cold and warm; percentiles under load; hit ratios.

    The full run takes about two minutes. Leave the machine alone meanwhile.
    """
    if (database is None) != (plugins is None):
        raise click.UsageError("--database and --plugins: expected both or neither")
    effort = _QUICK if run.quick else _WHOLE
    run.describe(rounds=effort.rounds)
    if url is not None:
        note_latency(run.record, _load_url(run, url, token, effort))
        return
    if database is None or plugins is None:
        site = run.kept_site(Population(effort.users))
        subjects = made_subjects(site, _SUBJECTS)
        _measure_in_process(run, subjects, effort)
        note_latency(run.record, _load_site(run, site, subjects, effort))
    else:
        _measure_in_process(run, own_subjects(database, plugins, _SUBJECTS), effort)
    run.show("hit ratios")
    note_hit_ratios(run.record, run_in_loop(hit_ratios(effort.pages)))


def _measure_in_process(run: Run, subjects: Subjects, effort: Effort) -> None:
    core = run.cores.server
    with pinned_to(core):
        measured = run_in_loop(measure_stages(run, subjects, effort.rounds))
    note_stages(run.record, measured)
    run.show("concurrent misses")
    note_misses(run.record, in_fresh_process(core, concurrent_misses, subjects))


async def measure_stages(
    run: Run, subjects: Subjects, rounds: int
) -> Mapping[str, Sequence[Nanoseconds]]:
    """Durations by stage, round by round. A stage that cannot be measured here is remarked on."""
    run.show("stages", total=rounds * len(STAGES))
    measured: dict[str, list[Nanoseconds]] = {stage.name: [] for stage in STAGES}
    async with gateway_inside(subjects) as inside:
        for number in range(rounds):
            for stage in STAGES if number % 2 == 0 else reversed(STAGES):
                run.show_step(f"stages: {stage.name}")
                run.advance()
                await settle()
                requests = _requests(inside, stage.calls, number)
                try:
                    measured[stage.name].append(await stage.measure(inside, requests))
                except NotHere as reason:
                    run.record.remark(f"{stage.name}: left out: {reason}")
    return {name: durations for name, durations in measured.items() if durations}


def _requests(inside: Inside, calls: int, number: int) -> list[Request]:
    """Other users in each round, as far as there are others."""
    start = number * calls % len(inside.requests)
    return list(islice(cycle(inside.requests), start, start + calls))


def note_stages(record: Record, measured: Mapping[str, Sequence[Nanoseconds]]) -> None:
    rows = []
    for name, rounds in measured.items():
        whole = Latencies(duration for durations in rounds for duration in durations)
        rows.append([name, *map(us_text, whole.percentiles_us())])
        for percentile in _BAR_PERCENTILES:
            of_rounds = [Latencies(durations).percentile_us(percentile) for durations in rounds]
            record.figures.append(Figure(f"{name}, p{percentile:g}", "µs", of_rounds))
    title = "Microseconds of each stage, in process, on one core, garbage collection on"
    record.tables.append(Table(title, ["stage", *PERCENTILE_NAMES], rows))
    record.remarks.append(
        "Every call is timed by itself, so each figure holds the cost of the clock and of one"
        " Python call (first row); a maximum is what the system and the garbage collector did."
    )
    judge_warm_lookup(record)
    _plot_stages(record, measured)


def judge_warm_lookup(record: Record) -> None:
    """By the percentiles of each round: the machine's worst moments fill a few rounds only."""
    figures = {figure.name: figure for figure in record.figures}
    for percentile in ("p50", "p99"):
        figure = figures.get(f"{LOOKUP_WARM}, {percentile}")
        record.judge(f"lookup_{percentile}", {figure.name: figure.spread} if figure else {})


def _plot_stages(record: Record, measured: Mapping[str, Sequence[Nanoseconds]]) -> None:
    latencies = [
        Latencies(duration for durations in rounds for duration in durations)
        for rounds in measured.values()
    ]

    def draw(axes: Any) -> None:
        rows = range(len(measured))
        median, high = (
            [latency.percentile_us(percentile) for latency in latencies]
            for percentile in _BAR_PERCENTILES
        )
        axes.hlines(rows, median, high, color="0.7", linewidth=3)
        axes.plot(median, rows, "o", label="p50")
        axes.plot(high, rows, "|", markersize=9, label="p99")
        axes.set(xscale="log", xlabel="microseconds")
        axes.set_yticks(rows, list(measured))
        axes.invert_yaxis()
        axes.legend()

    record.plot("lookup-stages", "Stages of a lookup", draw, height=4.4)


def _load_site(run: Run, site: Site, subjects: Subjects, effort: Effort) -> list[Loaded]:
    requests = [subjects.request(subject) for subject in subjects.chosen]
    with serving(site, run.cores.server, run.folder, LASTING) as server:
        run.show("requests by HTTP")
        warm_up(server, requests)
        return _load(run, server.port, requests, effort)


def _load_url(run: Run, url: str, token: str, effort: Effort) -> list[Loaded]:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost"):
        raise NothingToAsk(f"--url: expected http://127.0.0.1:PORT/PATH, got {url!r}")
    request = Request(parts.path, browser_headers(token))
    return _load(run, parts.port or 80, [request], effort)


def _load(run: Run, port: int, requests: Sequence[Request], effort: Effort) -> list[Loaded]:
    cases = [(rate, law) for rate in effort.rates for law in LAWS]
    run.show("requests by HTTP", total=len(cases))
    loads = []
    for rate, law in cases:
        loads.append(load_at(port, requests, rate, law, effort.load_s))
        run.advance()
    return loads
