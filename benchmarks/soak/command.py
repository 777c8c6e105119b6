"""`python -m benchmarks soak`: minutes of mixed load, then a database that is gone for a minute."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.apps import counting_gateway_command
from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import Request
from benchmarks.figures import PERCENTILE_NAMES, Latencies, exactly
from benchmarks.open_loop import (
    NO_ANSWER,
    Answered,
    one_of_each,
    open_loop,
    poisson,
    uniform,
)
from benchmarks.processes import Running, ServerFailed, run_in_loop, running
from benchmarks.record import Draw, Figure, Record, Table
from benchmarks.sites import Population, Site
from benchmarks.soak.counts import (
    DESCRIPTORS,
    FLAT,
    Sample,
    descriptors,
    descriptors_left,
    judge_flatness,
    sample_counts,
)
from benchmarks.soak.mix import (
    BIG_BYTES,
    BIG_PATH,
    EXPECTED,
    abort,
    keep_changing,
    make_mix,
    read_slowly,
)
from benchmarks.subjects import Subject, Subjects, made_subjects

_RATE = 300
_SLOW_CLIENTS = 8
_BIG_FILE_USERS = 20
_ABORTS_PER_S = 2.0
_OUTAGE_RATE = 200
_OUTAGE_USERS = 200


@dataclass(frozen=True, slots=True)
class Effort:
    users: int
    duration_s: float
    outage_s: float
    outage_settings: dict[str, str] = field(default_factory=dict)


# In three minutes the allocator has not settled: the rise was between 4 and 9 MiB, run by run.
_WHOLE = Effort(2_000, 360.0, 60.0)
# So short an outage means something only if what is cached would have run out meanwhile.
_QUICK = Effort(300, 6.0, 2.5, {"GATEWAY__CACHE__VERSIONS__TTL": "1"})


@dataclass(slots=True)
class Soaked:
    """The observations of a run."""

    answered: Sequence[Answered] = ()
    samples: Sequence[Sample] = ()
    slow: Counter[int] = field(default_factory=Counter)
    """Answers to the slow clients, by status."""
    aborted: Counter[int] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    descriptors_left: int = 0
    """File descriptors that the server has more after the load than before."""

    @property
    def statuses(self) -> dict[str, Counter[int]]:
        """Numbers of answers by kind and status."""
        scheduled = {
            kind: Counter(answer.status for answer in self.answered if answer.kind == kind)
            for kind in EXPECTED
        }
        return {**scheduled, "slow client": self.slow, "aborted": self.aborted}


@benchmark(
    Plan(
        quick="Twenty seconds, to see that it works.",
        packages=(
            *("databases", "aiosqlite", "cachetools", "starlette"),
            *("uvicorn", "uvloop", "httptools"),
        ),
    )
)
@click.option("--minutes", type=click.FloatRange(0.1), help="Of the mix; 6, quick 0.1.")
def soak(run: Run, minutes: float | None) -> None:
    """Minutes of mixed load: what the server holds must stay, and no answer may be a 5xx.

    Afterwards the database is gone for a minute, while users who are warm ask on.
    """
    effort = _QUICK if run.quick else _WHOLE
    duration_s = effort.duration_s if minutes is None else minutes * 60
    run.describe(duration_s=duration_s, requests_per_s=_RATE, users=effort.users)
    site = Site(run.folder / "site", Population(effort.users))
    run.show("making the site")
    site.make(run.tell)
    run.show(f"{duration_s:.0f} s of everything")
    seen = soaked(site, run.cores.server, duration_s)
    run.show(f"{effort.outage_s:.0f} s without a database")
    statuses = _outage(site, run.cores.server, effort)
    _note(run.record, seen)
    failed = statuses.total() - statuses[200]
    case = f"of {statuses.total():,} requests in {effort.outage_s:g} s"
    run.record.judge("outage", {case: exactly(failed)})


def _serving(
    site: Site, core: int, settings: dict[str, str] | None = None
) -> AbstractContextManager[Running]:
    """The gateway under uvicorn, which also tells how many asyncio tasks it has."""
    config = str(site.folder / "config.toml")
    environment = {**site.environment, "GATEWAY_CONFIG": config, **(settings or {})}
    return running(partial(counting_gateway_command, environment), core=core, folder=site.folder)


def soaked(site: Site, core: int, duration_s: float) -> Soaked:
    # The default settings: cached values must expire and be loaded again.
    subjects = Subjects(site.settings(), made_subjects(site, site.population.users).chosen)
    big = _add_big_file(site, subjects)
    with _serving(site, core) as server:
        return run_in_loop(_everything(server, site, subjects, big, duration_s))


def _add_big_file(site: Site, subjects: Subjects) -> list[Request]:
    """Requests for a file that does not fit into a socket's buffers, by users who have it."""
    content = random.Random(6).randbytes(BIG_BYTES)  # noqa: S311 (no secret)
    slug = subjects.chosen[0].slugs[0]
    for folder in (site.shared / slug).iterdir():
        (folder / BIG_PATH).write_bytes(content)
    holders = [subject.user for subject in subjects.chosen if slug in subject.slugs]
    return [
        subjects.request(Subject(user, [slug]), file=BIG_PATH) for user in holders[:_BIG_FILE_USERS]
    ]


async def _everything(
    server: Running, site: Site, subjects: Subjects, big: Sequence[Request], duration_s: float
) -> Soaked:
    mix = make_mix(subjects)
    soaked = Soaked()
    before = descriptors(server)
    # The holders of the big file keep it: their answers are judged by their status.
    holders = {request.user for request in big}
    others = [subject for subject in subjects.chosen if subject.user not in holders]
    async with _meanwhile(
        keep_changing(site, [(each.user, each.slugs[0]) for each in others], soaked.changes),
        _keep_aborting(server.port, big, soaked.aborted),
        *(
            _keep_reading(server.port, big[place % len(big)], soaked.slow)
            for place in range(_SLOW_CLIENTS)
        ),
    ):
        # Each user asks once before, so that the growth of the caches does not look like a leak.
        everybody = [*(request.raw for request in mix.files), *mix.manifests]
        await open_loop(server.port, one_of_each(everybody, _RATE))
        arrivals = poisson(_RATE, duration_s, mix.choose())
        soaked.answered, soaked.samples = await asyncio.gather(
            open_loop(server.port, arrivals), sample_counts(server, duration_s)
        )
    soaked.descriptors_left = await descriptors_left(server, before)
    return soaked


@asynccontextmanager
async def _meanwhile(*endless: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs these until the block ends. Raises: ServerFailed, if one of them failed."""
    tasks = [asyncio.create_task(each) for each in endless]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise ServerFailed(f"soak: {outcome!r}")


async def _keep_reading(port: int, request: Request, statuses: Counter[int]) -> None:
    while True:
        statuses[await read_slowly(port, request.raw)] += 1


async def _keep_aborting(port: int, big: Sequence[Request], statuses: Counter[int]) -> None:
    place = 0
    while True:
        await asyncio.sleep(1 / _ABORTS_PER_S)
        statuses[await abort(port, big[place % len(big)].raw)] += 1
        place += 1


def _outage(site: Site, core: int, effort: Effort) -> Counter[int]:
    """Answers by status, to users who were served a moment before the database was gone."""
    subjects = made_subjects(site, _OUTAGE_USERS)
    # The second plugin of each: the mix has taken the first from some.
    requests = [subjects.request(subject, place=1).raw for subject in subjects.chosen]
    choose = uniform(len(requests))
    arrivals = poisson(_OUTAGE_RATE, effort.outage_s, lambda: ("file", requests[choose()]))
    with _serving(site, core, effort.outage_settings) as server:
        run_in_loop(open_loop(server.port, one_of_each(requests, _OUTAGE_RATE)))
        with _away(site.database):
            answered = run_in_loop(open_loop(server.port, arrivals))
    return Counter(answer.status for answer in answered)


@contextmanager
def _away(file: Path) -> Iterator[None]:
    elsewhere = file.with_name(f"{file.name}.away")
    file.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(file)


def _note(record: Record, soaked: Soaked) -> None:
    judge_flatness(record, soaked.samples)
    left = exactly(soaked.descriptors_left)
    record.judge("soak_descriptors", {"more after the load than before": left})
    _judge_statuses(record, soaked.statuses)
    record.tables.append(_kinds_table(soaked))
    record.tables.append(_held_table(soaked.samples))
    whole = Latencies(answer.latency_ns for answer in soaked.answered)
    for name, value in zip(PERCENTILE_NAMES, whole.percentiles_us(), strict=True):
        record.figures.append(Figure(f"soak: latency, {name}", "µs", [value]))
    changes = ", ".join(f"{number} {what}" for what, number in sorted(soaked.changes.items()))
    record.remark(f"meanwhile: {changes}")
    _plot_latency(record, soaked)
    panels = (_held_panel(soaked.samples, name) for name in (*FLAT, DESCRIPTORS))
    record.plot("soak-held", "What the server holds, over time", *panels)


def _judge_statuses(record: Record, statuses: Mapping[str, Counter[int]]) -> None:
    """None may be a 5xx or missing; any other status that its kind may not have is a failure."""
    total: Counter[int] = sum(statuses.values(), Counter())
    broken = sum(number for status, number in total.items() if _is_broken(status))
    record.judge("soak_5xx", {f"of {total.total():,} answers": exactly(broken)})
    for kind, expected in EXPECTED.items():
        others = {
            status: number
            for status, number in statuses[kind].items()
            if status not in expected and not _is_broken(status)
        }
        if others:
            record.failures.append(f"{kind}: unexpected answers: {others}")


def _is_broken(status: int) -> bool:
    return status >= 500 or status == NO_ANSWER


def _kinds_table(soaked: Soaked) -> Table:
    rows = []
    for kind, of_kind in soaked.statuses.items():
        latencies = Latencies(
            answer.latency_ns for answer in soaked.answered if answer.kind == kind
        )
        shown = ", ".join(f"{status or 'none'}: {number}" for status, number in of_kind.items())
        figures = [f"{latency / 1000:,.2f}" for latency in latencies.percentiles_us()]
        rows.append([kind, *(figures if len(latencies) else [""] * len(figures)), shown])
    title = "Milliseconds from the moment a request was due (open loop)"
    return Table(title, ["requests", *PERCENTILE_NAMES, "answers by status"], rows)


def _held_table(samples: Sequence[Sample]) -> Table:
    rows = []
    for name in (*FLAT, DESCRIPTORS):
        values = [sample.counts[name] for sample in samples]
        shown = [values[0], values[len(values) // 2], values[-1], max(values)]
        rows.append([name, *(f"{value:,.1f}" for value in shown)])
    return Table("What the server holds", ["", "at first", "half-way", "at last", "most"], rows)


def _plot_latency(record: Record, soaked: Soaked) -> None:
    by_second: dict[int, Latencies] = {}
    for answer in soaked.answered:
        by_second.setdefault(int(answer.at_s), Latencies()).add(answer.latency_ns)
    seconds = sorted(by_second)

    def draw(axes: Any) -> None:
        for name, percentile in (("max", 100.0), ("p99", 99.0), ("p50", 50.0)):
            values = [by_second[second].percentile_us(percentile) / 1000 for second in seconds]
            axes.plot(seconds, values, label=name, linewidth=1)
        axes.set(yscale="log", xlabel="seconds", ylabel="ms from the due moment")
        axes.legend()

    record.plot("soak-latency", "Latency over time, by second", draw)


def _held_panel(samples: Sequence[Sample], name: str) -> Draw:
    def draw(axes: Any) -> None:
        axes.plot([sample.at_s for sample in samples], [sample.counts[name] for sample in samples])
        axes.set(xlabel="seconds", ylabel="MiB" if name == "memory" else "", title=name)
        axes.set_ylim(bottom=0)

    return draw
