"""`python -m benchmarks soak`: options in; tables, verdicts, plots and files out."""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.cores import Cores
from benchmarks.load.open_loop import NO_ANSWER, Answered, one_of_each, open_loop, poisson
from benchmarks.loop import run
from benchmarks.percentiles import PERCENTILE_NAMES, Latencies
from benchmarks.plots import add_plot, draw_plot
from benchmarks.population import PopulatedSite, Population
from benchmarks.processes import Running, ServerFailed, free_port, running, uvicorn_command
from benchmarks.promises import Bound, judge
from benchmarks.ratios import Spread
from benchmarks.record import Figure, Plot, Record, Table
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    output_option,
    quick_option,
    show_facts,
)
from benchmarks.soak.changing import keep_changing
from benchmarks.soak.counts import (
    BOUNDS,
    DESCRIPTORS,
    LEFT,
    Sample,
    descriptors,
    descriptors_left,
    flatness,
    sample_counts,
)
from benchmarks.soak.mix import (
    BIG_BYTES,
    BIG_PATH,
    EXPECTED,
    abort,
    make_mix,
    read_slowly,
)
from benchmarks.soak.outage import ask_through_outage
from benchmarks.subjects import Asking, Subject, Subjects, made_subjects

_PACKAGES = ("databases", "aiosqlite", "cachetools", "starlette", "uvicorn", "uvloop", "httptools")
_RATE = 300
_SLOW_CLIENTS = 8
_ABORTS_PER_S = 2.0
_OUTAGE_USERS = 200
_NONE = Bound(0, at_most=True)


@dataclass(frozen=True, slots=True)
class Effort:
    users: int
    duration_s: float
    outage_s: float
    outage_settings: dict[str, str] = field(default_factory=dict)


# In three minutes the allocator has not settled: the rise was between 4 and 9 MiB, run by run.
_WHOLE = Effort(2_000, 360.0, 60.0)
# So short an outage means something only where what is cached would have run out meanwhile.
_QUICK = Effort(500, 8.0, 3.0, {"GATEWAY__CACHE__VERSIONS__TTL": "1"})


@dataclass(slots=True)
class Soaked:
    """All that was seen."""

    answered: Sequence[Answered] = ()
    samples: Sequence[Sample] = ()
    slow: Counter[int] = field(default_factory=Counter)
    """Statuses of the slow clients' answers."""
    aborted: Counter[int] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    descriptors_left: int = 0
    """File descriptors that the server has more after the load than before."""


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1), help="Of the mix; 6, quick 0.2.")
@quick_option("Twenty seconds, to see that it works.")
@output_option
def soak(minutes: float | None, quick: bool, output: Path) -> None:
    """Minutes of mixed load: what the server holds must stay, and no answer may be a 5xx.

    Afterwards the database is gone for a minute, while users who are warm ask on.
    """
    effort = _QUICK if quick else _WHOLE
    duration_s = effort.duration_s if minutes is None else minutes * 60
    console = new_console()
    with on_two_cores() as cores, tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        options = {"quick": quick, "duration_s": duration_s, "requests_per_s": _RATE}
        record = Record("soak", gather_facts(_PACKAGES, (), {**options, "users": effort.users}))
        show_facts(console, record.facts)
        site = PopulatedSite(Path(folder) / "site", Population(effort.users))
        with console.status("making the site"):
            site.make()
        with console.status(f"{duration_s:.0f} s of everything"):
            seen = soaked(site, cores, duration_s)
        with console.status(f"{effort.outage_s:.0f} s without a database"):
            statuses = _outage(site, cores, effort)
    _note(record, seen)
    _note_outage(record, statuses, effort)
    finish(console, record, output)


def soaked(site: PopulatedSite, cores: Cores, duration_s: float) -> Soaked:
    # Settings as they are by default: what is cached must run out and be asked for again.
    subjects = Subjects(site.settings(), made_subjects(site, site.population.users).chosen)
    big = _with_big_file(site, subjects)
    port = free_port()
    command = uvicorn_command("benchmarks.soak.app:create_app", port, _environment(site))
    with running(command, port, core=cores.server, folder=site.folder) as server:
        return run(_everything(server, site, subjects, big, duration_s))


def _environment(site: PopulatedSite) -> dict[str, str]:
    return {**site.environment, "GATEWAY_CONFIG": str(site.folder / "config.toml")}


def _with_big_file(site: PopulatedSite, subjects: Subjects) -> Sequence[Asking]:
    """Requests for a file that does not fit into a socket's buffers, by those who may have it."""
    content = random.Random(6).randbytes(BIG_BYTES)  # noqa: S311 (no secret)
    slug = subjects.chosen[0].slugs[0]
    for folder in (site.plugins / "shared" / slug).iterdir():
        (folder / BIG_PATH).write_bytes(content)
    holders = [
        Subject(subject.user, [slug]) for subject in subjects.chosen if slug in subject.slugs
    ]
    entries = [subjects.asking(holder) for holder in holders[:20]]
    return [
        Asking(entry.user, entry.raw_path.replace(b"remoteEntry.js", b"big.js"), entry.headers)
        for entry in entries
    ]


async def _everything(
    server: Running,
    site: PopulatedSite,
    subjects: Subjects,
    big: Sequence[Asking],
    duration_s: float,
) -> Soaked:
    mix = make_mix(subjects)
    soaked = Soaked()
    before = descriptors(server)
    # The holders of the big file keep it: their answers are judged by their status.
    keepers = {asking.user for asking in big}
    plugins = [
        (subject.user, subject.slugs[0])
        for subject in subjects.chosen
        if subject.user not in keepers
    ]
    background = [
        asyncio.create_task(keep_changing(site, plugins, soaked.changes)),
        asyncio.create_task(_keep_aborting(server.port, big, soaked.aborted)),
        *(
            asyncio.create_task(_keep_reading(server.port, big[place % len(big)], soaked.slow))
            for place in range(_SLOW_CLIENTS)
        ),
    ]
    try:
        # Everybody once, so that what the caches hold of them is not taken for a leak.
        everybody = [*(asking.request for asking in mix.askings), *mix.manifests]
        await open_loop(server.port, one_of_each(everybody, _RATE))
        arrivals = poisson(_RATE, duration_s, mix.choose())
        soaked.answered, soaked.samples = await asyncio.gather(
            open_loop(server.port, arrivals), sample_counts(server, duration_s)
        )
    finally:
        for task in background:
            task.cancel()
        ended = await asyncio.gather(*background, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise ServerFailed(f"soak: {outcome!r}")
    soaked.descriptors_left = await descriptors_left(server, before)
    return soaked


async def _keep_reading(port: int, asking: Asking, statuses: Counter[int]) -> None:
    while True:
        statuses[await read_slowly(port, asking.request)] += 1


async def _keep_aborting(port: int, big: Sequence[Asking], statuses: Counter[int]) -> None:
    for place in range(1_000_000):
        await asyncio.sleep(1 / _ABORTS_PER_S)
        statuses[await abort(port, big[place % len(big)].request)] += 1


def _outage(site: PopulatedSite, cores: Cores, effort: Effort) -> Counter[int]:
    subjects = made_subjects(site, _OUTAGE_USERS)
    # The second plugin: the mix has taken the first from some.
    askings = [subjects.asking(subject, place=1) for subject in subjects.chosen]
    port = free_port()
    environment = {**_environment(site), **effort.outage_settings}
    command = uvicorn_command("benchmarks.soak.app:create_app", port, environment)
    with running(command, port, core=cores.server, folder=site.folder):
        return run(ask_through_outage(port, site.database, askings, effort.outage_s))


def _note(record: Record, soaked: Soaked) -> None:
    record.verdicts += flatness(soaked.samples)
    left = soaked.descriptors_left
    figures = {"more after the load than before": Spread(left, left, left)}
    record.verdicts.append(judge(f"soak: {DESCRIPTORS} closed", LEFT, figures))
    everything = {
        **{kind: _statuses(soaked.answered, kind) for kind in EXPECTED},
        "slow client": soaked.slow,
        "aborted": soaked.aborted,
    }
    broken = sum(
        number
        for statuses in everything.values()
        for status, number in statuses.items()
        if status >= 500 or status == NO_ANSWER
    )
    count = len(soaked.answered) + soaked.slow.total() + soaked.aborted.total()
    record.verdicts.append(
        judge("soak: no 5xx", _NONE, {f"of {count:,} answers": Spread(broken, broken, broken)})
    )
    for kind, expected in EXPECTED.items():
        others = {
            status: number
            for status, number in everything[kind].items()
            if status not in expected and status < 500 and status != NO_ANSWER
        }
        if others:
            record.failures.append(f"{kind}: unexpected answers: {others}")
    record.tables.append(_kinds_table(soaked, everything))
    record.tables.append(_held_table(soaked.samples))
    whole = Latencies(each.latency_ns for each in soaked.answered)
    for name, value in zip(PERCENTILE_NAMES, whole.percentiles_us(), strict=True):
        record.figures.append(Figure(f"soak: latency, {name}", "µs", [value]))
    changes = ", ".join(f"{number} {what}" for what, number in sorted(soaked.changes.items()))
    record.remark(f"meanwhile: {changes}")
    add_plot(record, lambda: _latency_plot(soaked))
    add_plot(record, lambda: _held_plot(soaked.samples))


def _statuses(answered: Sequence[Answered], kind: str) -> Counter[int]:
    return Counter(each.status for each in answered if each.kind == kind)


def _kinds_table(soaked: Soaked, everything: dict[str, Counter[int]]) -> Table:
    rows = []
    for kind, statuses in everything.items():
        latencies = Latencies(each.latency_ns for each in soaked.answered if each.kind == kind)
        shown = ", ".join(f"{status or 'none'}: {number}" for status, number in statuses.items())
        figures = [f"{each / 1000:,.2f}" for each in latencies.percentiles_us()]
        rows.append([kind, *(figures if len(latencies) else [""] * len(figures)), shown])
    title = "Milliseconds from the moment a request was due (open loop)"
    return Table(title, ["requests", *PERCENTILE_NAMES, "answers by status"], rows)


def _held_table(samples: Sequence[Sample]) -> Table:
    rows = []
    for name in (*BOUNDS, DESCRIPTORS):
        values = [each.held[name] for each in samples]
        shown = [values[0], values[len(values) // 2], values[-1], max(values)]
        rows.append([name, *(f"{value:,.1f}" for value in shown)])
    return Table("What the server holds", ["", "at first", "half-way", "at last", "most"], rows)


def _note_outage(record: Record, statuses: Counter[int], effort: Effort) -> None:
    failed = statuses.total() - statuses[200]
    place = f"of {statuses.total():,} requests"
    record.verdicts.append(
        judge(
            f"database gone for {effort.outage_s:g} s, users warm: failed requests",
            _NONE,
            {place: Spread(failed, failed, failed)},
        )
    )


def _latency_plot(soaked: Soaked) -> Plot:
    by_second: dict[int, Latencies] = {}
    for each in soaked.answered:
        by_second.setdefault(int(each.at_s), Latencies()).add(each.latency_ns)
    seconds = sorted(by_second)

    def draw(axes: Any) -> None:
        for name, percentile in (("max", 100.0), ("p99", 99.0), ("p50", 50.0)):
            values = [by_second[second].percentile_us(percentile) / 1000 for second in seconds]
            axes.plot(seconds, values, label=name, linewidth=1)
        axes.set(yscale="log", xlabel="seconds", ylabel="ms from the due moment")
        axes.legend()

    return draw_plot("soak-latency", "Latency over time, by second", draw)


def _held_plot(samples: Sequence[Sample]) -> Plot:
    def panel(name: str) -> Any:
        def draw(axes: Any) -> None:
            axes.plot([each.at_s for each in samples], [each.held[name] for each in samples])
            axes.set(xlabel="seconds", ylabel="MiB" if name == "memory" else "", title=name)
            axes.set_ylim(bottom=0)

        return draw

    return draw_plot(
        "soak-held", "What the server holds, over time", *map(panel, (*BOUNDS, DESCRIPTORS))
    )
