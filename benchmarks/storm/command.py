"""`python -m benchmarks storm`: options in; table, verdicts and files out."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from benchmarks.cores import Cores
from benchmarks.counters import QUERIES, read_counters
from benchmarks.load.listed import RequestLists, Until
from benchmarks.load.open_loop import Arrival, open_loop
from benchmarks.load.wrk import LoadFailed
from benchmarks.loop import run
from benchmarks.machine import cpu_seconds
from benchmarks.pages.command import QUICK_SITE, SITE
from benchmarks.pages.servers import gateway_answers, serving
from benchmarks.pages.wanted import GatewayPaths, Urls, Visitors, Wanted
from benchmarks.population import Population, kept_site
from benchmarks.processes import Running
from benchmarks.promises import Bound, judge
from benchmarks.record import Figure, Record, Table
from benchmarks.running import (
    finish,
    gather_facts,
    new_console,
    on_two_cores,
    output_option,
    quick_option,
    require_wrk,
    show_facts,
    site_dir_option,
)

_PACKAGES = ("uvicorn", "uvloop", "databases", "aiosqlite", "cachetools")
_CONNECTIONS = (64, 512)
_PAGES_AT_ONCE = 8
_SETTLING_S = 1.0
_DEFAULT_TTL_S, _DEFAULT_MAX_AGE_S, _MINUTE_S = 10.0, 300.0, 60.0
# The first fills the caches; the others are as long as a user is believed without a question.
_PERIODS = 6
_FILES_OF_A_VIEW = 2

AT_ONCE = Bound(500, at_most=True)
PAGE_MEMORY = Bound(5, "KiB", at_most=True)
PER_VIEW = Bound(0.25, at_most=True)
IDLE = {10_000: Bound(0.2, "%", at_most=True), 100_000: Bound(1, "%", at_most=True)}


@dataclass(frozen=True, slots=True)
class Effort:
    users: int
    """Who come at once, load a page, and are known while nobody asks."""
    rounds: int
    idle_s: float
    most_idle: Population | None
    viewers: int
    period_s: float
    """In which each of them views a page; lifetimes are as much shorter than by default."""


_WHOLE = Effort(10_000, 3, 20.0, Population(100_000), 20_000, _MINUTE_S)
_QUICK = Effort(1_000, 1, 2.0, None, 200, 1.0)


@click.command()
@site_dir_option
@quick_option("A quarter of a minute, to see that it works.")
@output_option
def storm(site_dir: Path, quick: bool, output: Path) -> None:
    """All users at once after a restart; then what users cost who are known, and ask or do not.

    The full run takes about eleven minutes, six of them in real time.
    """
    require_wrk()
    effort = _QUICK if quick else _WHOLE
    console = new_console()
    with on_two_cores() as cores, tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        options = {"quick": quick, "users": effort.users, "rounds": effort.rounds}
        record = Record("storm", gather_facts(_PACKAGES, ("wrk",), options))
        show_facts(console, record.facts)
        visitors = Visitors(kept_site(site_dir, QUICK_SITE if quick else SITE))
        measuring = _Measuring(visitors, Path(folder), cores, effort, record)
        steps = [measuring.storms, measuring.memory_and_idle, measuring.quiet_minutes]
        for step in steps:
            with console.status(step.__name__.replace("_", " ")):
                try:
                    step()
                except LoadFailed as error:
                    record.failures.append(f"{step.__name__}: {error}")
        if effort.most_idle is not None:
            with console.status(f"{effort.most_idle.users:,} users known"):
                measuring.idle_with(Visitors(kept_site(site_dir, effort.most_idle)))
    finish(console, record, output)


class _Measuring:
    def __init__(
        self, visitors: Visitors, folder: Path, cores: Cores, effort: Effort, record: Record
    ) -> None:
        self._visitors = visitors
        self._urls = Urls(visitors, GatewayPaths(visitors))
        self._folder = folder
        self._core = cores.server
        self._effort = effort
        self._record = record
        self._lists = 0

    def storms(self) -> None:
        """One own file of each user, nobody and nothing in memory."""
        users = self._effort.users
        lists = self._listed(self._urls, _one_file_each(self._visitors, range(users)))
        found = {connections: self._storm(lists, connections) for connections in _CONNECTIONS}
        for figures in found.values():
            self._record.figures += figures
        columns = ("", "all served, s", "p50, ms", "p99, ms", "queries")
        rows = [
            [f"{users:,} users, {connections} connections"]
            + [f"{each.spread.median:,.1f}" for each in figures]
            for connections, figures in found.items()
        ]
        self._record.tables.append(Table("Everybody at once, medians", columns, rows))
        doubt = "" if users == _WHOLE.users else f"fewer than {_WHOLE.users:,} users"
        queries = {f"{count} connections": each[-1].spread for count, each in found.items()}
        text = f"queries for {users:,} users who come at once"
        self._record.verdicts.append(judge(text, AT_ONCE, queries, doubt=doubt))

    def _storm(self, lists: RequestLists, connections: int) -> Sequence[Figure]:
        """Seconds until all are served, p50, p99, and queries."""
        rounds: list[tuple[float, ...]] = []
        for _ in range(self._effort.rounds):
            with serving(self._visitors.site, self._core, self._folder, {}) as server:
                before = read_counters(server.port)
                report = lists.send(server.port, Until.LAST_ANSWER, connections)
                queries = read_counters(server.port)[QUERIES] - before[QUERIES]
            milliseconds = (report.p50_us / 1000, report.p99_us / 1000)
            rounds.append((report.duration_us / 1e6, *milliseconds, queries))
        names = (("all served", "s"), ("p50", "ms"), ("p99", "ms"), ("queries", ""))
        return [
            Figure(f"storm over {connections} connections: {name}", unit, values)
            for (name, unit), values in zip(names, zip(*rounds, strict=True), strict=True)
        ]

    def memory_and_idle(self) -> None:
        """Page loads by pinned URLs; then nobody asks."""
        users = self._effort.users
        others = range(users, users + users // 10)
        with serving(self._visitors.site, self._core, self._folder, _lifetimes(600)) as server:
            gateway_answers(server.port, self._urls, self._visitors.everything())
            # What a process allocates once is allocated before.
            self._send_pages(server, others)
            before = _memory_bytes(server)
            self._send_pages(server, range(users))
            grown_kib = (_memory_bytes(server) - before) / 1024 / users
            self._judge("memory of a user who has loaded a page", PAGE_MEMORY, grown_kib, users)
            self._idle(server, users)

    def idle_with(self, visitors: Visitors) -> None:
        """All users of a larger site are known, and nobody asks."""
        users = visitors.site.population.users
        urls = Urls(visitors, GatewayPaths(visitors))
        lists = self._listed(urls, _one_file_each(visitors, range(users)))
        with serving(visitors.site, self._core, self._folder, _lifetimes(600)) as server:
            lists.send(server.port, Until.LAST_ANSWER, _CONNECTIONS[0])
            self._idle(server, users)

    def quiet_minutes(self) -> None:
        """Each user views a page in each period, and nothing changes."""
        effort, site = self._effort, self._visitors.site
        scale = effort.period_s / _MINUTE_S
        settings = _lifetimes(_DEFAULT_TTL_S * scale)
        if hasattr(site.settings().cache.versions, "max_age"):  # gateways of before have none
            settings |= _lifetimes(_DEFAULT_MAX_AGE_S * scale, "MAX_AGE")
        with serving(site, self._core, self._folder, settings) as server:
            gateway_answers(server.port, self._urls, self._visitors.everything())
            views = list(self._views(effort.viewers))
            first = run(open_loop(server.port, spread_out(views, effort.period_s, 1)))
            before = read_counters(server.port)
            later = run(open_loop(server.port, spread_out(views, effort.period_s, _PERIODS - 1)))
            queries = read_counters(server.port)[QUERIES] - before[QUERIES]
        statuses = Counter(each.status for each in (*first, *later))
        if statuses.keys() != {200}:
            self._record.failures.append(f"quiet minutes: answers by status: {dict(statuses)}")
        text = "queries per page view, each user once a minute, nothing changes"
        per_view = queries / effort.viewers / (_PERIODS - 1)
        self._judge(text, PER_VIEW, per_view, effort.viewers)

    def _views(self, viewers: int) -> Iterator[Sequence[bytes]]:
        for number in range(viewers):
            page = self._visitors.page(number, is_public=True)[: 1 + _FILES_OF_A_VIEW]
            yield [self._urls.request(each) for each in page]

    def _idle(self, server: Running, users: int) -> None:
        time.sleep(_SETTLING_S)
        before, began = cpu_seconds(server.pid), time.monotonic()
        time.sleep(self._effort.idle_s)
        spent = (cpu_seconds(server.pid) - before) / (time.monotonic() - began) * 100
        text = f"a core's time while nobody asks, {users:,} users known"
        self._judge(text, IDLE.get(users, IDLE[10_000]), spent, users)

    def _judge(self, text: str, bound: Bound, value: float, users: int) -> None:
        figure = Figure(text, bound.unit, [value])
        self._record.figures.append(figure)
        few = self._effort.users < _WHOLE.users
        doubt = "a quick run has too few users" if few else ""
        place = {f"{users:,} users": figure.spread}
        self._record.verdicts.append(judge(text, bound, place, doubt=doubt))

    def _send_pages(self, server: Running, users: Iterable[int]) -> None:
        pages = (each for user in users for each in self._visitors.page(user, is_public=True))
        lists = self._listed(self._urls, pages)
        lists.send(server.port, Until.LAST_ANSWER, _PAGES_AT_ONCE)
        time.sleep(_SETTLING_S)

    def _listed(self, urls: Urls, wanted: Iterable[Wanted]) -> RequestLists:
        self._lists += 1
        return RequestLists(self._folder / f"lists-{self._lists}", [map(urls.request, wanted)])


def _one_file_each(visitors: Visitors, users: Iterable[int]) -> Iterator[Wanted]:
    return (Wanted(number, visitors.files(number)[0]) for number in users)


def spread_out(
    views: Sequence[Sequence[bytes]], period_s: float, periods: int
) -> Iterator[Arrival]:
    """Each view once in each period, evenly; its requests come one after the other within it."""
    step_s = period_s / len(views)
    for place in range(periods * len(views)):
        requests = views[place % len(views)]
        for number, request in enumerate(requests):
            yield Arrival((place + number / len(requests)) * step_s, "view", request)


def _lifetimes(seconds: float, setting: str = "TTL") -> dict[str, str]:
    caches = ("INSTALLATIONS", "VERSIONS")
    return {f"GATEWAY__CACHE__{cache}__{setting}": f"{seconds:g}" for cache in caches}


def _memory_bytes(server: Running) -> int:
    process = psutil.Process(server.pid)
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
