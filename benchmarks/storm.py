"""`python -m benchmarks storm`: all users at once, all once a minute, and no requests."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import QUERIES, read_counters
from benchmarks.machine import cpu_seconds
from benchmarks.open_loop import Arrival, open_loop
from benchmarks.pages.command import FILE_BYTES, QUICK_SITE, SITE
from benchmarks.pages.servers import gateway_answers, serving
from benchmarks.pages.visits import GatewayPaths, PageRequest, Urls, Visitors
from benchmarks.processes import Running, run_in_loop
from benchmarks.record import Figure, Table
from benchmarks.sites import Population
from benchmarks.wrk import LoadFailed, RequestLists, Until

_CONNECTIONS = (64, 512)
_PAGES_AT_ONCE = 8
_SETTLING_S = 1.0
_DEFAULT_TTL_S, _DEFAULT_MAX_AGE_S, _MINUTE_S = 10.0, 300.0, 60.0
# The first period fills the caches. The others last as long as cached records are confirmed
# without a query (MAX_AGE).
_PERIODS = 6
_FILES_OF_A_VIEW = 2
# Its tables are small enough to be compared after a commit (freshness/sqlite_tables.py).
_BUSY_SITE = Population(400, 5, 5, plugins=10, file_bytes=FILE_BYTES)
_COMMIT_EVERY_S = 0.1
_PROMISED_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Effort:
    users: int
    """Users who come at once, load a page, and are known while nobody asks."""
    rounds: int
    idle_s: float
    most_idle: Population | None
    viewers: int
    period_s: float
    """In which each of them views a page; lifetimes are as much shorter than by default."""
    busy_period_s: float
    """The same of the users of the site whose file another program writes to."""


_WHOLE = Effort(_PROMISED_USERS, 3, 20.0, Population(100_000), 20_000, _MINUTE_S, 20.0)
_QUICK = Effort(1_000, 1, 2.0, None, 200, 1.0, 2.0)


@benchmark(
    Plan(
        quick="A quarter of a minute, to see that it works.",
        packages=("uvicorn", "uvloop", "databases", "aiosqlite", "cachetools"),
        programs=("wrk",),
        required=("wrk",),
        keeps_sites=True,
    )
)
def storm(run: Run) -> None:
    """All users at once after a restart; then what users cost who are known, and ask or do not.

    The full run takes about thirteen minutes, eight of them in real time.
    """
    effort = _QUICK if run.quick else _WHOLE
    run.describe(users=effort.users, rounds=effort.rounds)
    measuring = _Measuring(run, Visitors(run.kept_site(QUICK_SITE if run.quick else SITE)), effort)
    for step in (measuring.storms, measuring.memory_and_idle, measuring.quiet_minutes):
        name = step.__name__.replace("_", " ")
        run.show(name)
        try:
            step()
        except LoadFailed as error:
            run.record.failures.append(f"{name}: {error}")
    if effort.most_idle is not None:
        visitors = Visitors(run.kept_site(effort.most_idle))
        run.show(f"{effort.most_idle.users:,} users known")
        measuring.idle_with(visitors)


class _Measuring:
    def __init__(self, run: Run, visitors: Visitors, effort: Effort) -> None:
        self._run = run
        self._record = run.record
        self._core = run.cores.server
        self._visitors = visitors
        self._urls = Urls(visitors, GatewayPaths(visitors))
        self._effort = effort
        self._doubt = "a quick run has too few users" if run.quick else ""
        self._lists = 0

    def storms(self) -> None:
        """One own file of each user; neither users nor files are in memory."""
        users = self._effort.users
        lists = self._listed(self._urls, _one_file_each(self._visitors, range(users)))
        measured = {connections: self._storm(lists, connections) for connections in _CONNECTIONS}
        for figures in measured.values():
            self._record.figures += figures
        columns = ("", "all served, s", "p50, ms", "p99, ms", "queries")
        rows = [
            [f"{users:,} users, {connections} connections"]
            + [f"{figure.spread.median:,.1f}" for figure in figures]
            for connections, figures in measured.items()
        ]
        self._record.tables.append(Table("Everybody at once, medians", columns, rows))
        queries = {
            f"{users:,} users, {connections} connections": figures[-1].spread
            for connections, figures in measured.items()
        }
        self._record.judge("queries_at_once", queries, doubt=self._doubt)

    def _storm(self, lists: RequestLists, connections: int) -> Sequence[Figure]:
        """Seconds until all are served, p50, p99, and queries."""
        rounds: list[tuple[float, ...]] = []
        for _ in range(self._effort.rounds):
            with serving(self._visitors.site, self._core, self._run.folder, {}) as server:
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
        users, site = self._effort.users, self._visitors.site
        others = range(users, users + users // 10)
        with serving(site, self._core, self._run.folder, _lifetimes(600)) as server:
            gateway_answers(server.port, self._urls, self._visitors.every_file())
            # Allocations that happen once for the process must not count.
            self._send_pages(server, others)
            before = _memory_bytes(server)
            self._send_pages(server, range(users))
            grown_kib = (_memory_bytes(server) - before) / 1024 / users
            name = "memory of a user who has loaded a page"
            self._judge("memory_page", name, "KiB", grown_kib, users)
            self._idle("idle_10k", server, users)

    def idle_with(self, visitors: Visitors) -> None:
        """CPU time of an idle gateway that knows all users of a larger site."""
        users = visitors.site.population.users
        urls = Urls(visitors, GatewayPaths(visitors))
        lists = self._listed(urls, _one_file_each(visitors, range(users)))
        with serving(visitors.site, self._core, self._run.folder, _lifetimes(600)) as server:
            lists.send(server.port, Until.LAST_ANSWER, _CONNECTIONS[0])
            self._idle("idle_100k", server, users)

    def quiet_minutes(self) -> None:
        """Each user views a page in each period, and nothing changes.

        On a small site too, while another program commits to a table that is not the gateway's.
        """
        effort = self._effort
        per_view = self._queries_per_view(self._visitors, effort.viewers, effort.period_s)
        users = f"{effort.viewers:,} users"
        figures = [Figure(f"queries per page view, {users}, nothing changes", "", [per_view])]
        busy = Visitors(self._run.kept_site(_BUSY_SITE))
        with _foreign_commits(busy.site.database):
            per_view = self._queries_per_view(busy, _BUSY_SITE.users, effort.busy_period_s)
        busy_users = f"{_BUSY_SITE.users:,} users, foreign commits"
        figures.append(Figure(f"queries per page view, {busy_users}", "", [per_view]))
        self._record.figures += figures
        cases = dict(zip((users, busy_users), (each.spread for each in figures), strict=True))
        self._record.judge("queries_per_view", cases, doubt=self._doubt)

    def _queries_per_view(self, visitors: Visitors, viewers: int, period_s: float) -> float:
        scale = period_s / _MINUTE_S
        settings = {
            **_lifetimes(_DEFAULT_TTL_S * scale),
            **_lifetimes(_DEFAULT_MAX_AGE_S * scale, "MAX_AGE"),
        }
        urls = Urls(visitors, GatewayPaths(visitors))
        with serving(visitors.site, self._core, self._run.folder, settings) as server:
            gateway_answers(server.port, urls, visitors.every_file())
            views = list(_views(visitors, urls, viewers))
            first = _view(server, views, period_s, 1)
            before = read_counters(server.port)
            later = _view(server, views, period_s, _PERIODS - 1)
            queries = read_counters(server.port)[QUERIES] - before[QUERIES]
        statuses = first + later
        if statuses.keys() != {200}:
            self._record.failures.append(f"quiet minutes: answers by status: {dict(statuses)}")
        return queries / viewers / (_PERIODS - 1)

    def _idle(self, key: str, server: Running, users: int) -> None:
        time.sleep(_SETTLING_S)
        before, began = cpu_seconds(server.pid), time.monotonic()
        time.sleep(self._effort.idle_s)
        spent = (cpu_seconds(server.pid) - before) / (time.monotonic() - began) * 100
        self._judge(
            key, f"a core's time while nobody asks, {users:,} users known", "%", spent, users
        )

    def _judge(self, key: str, name: str, unit: str, value: float, users: int) -> None:
        figure = Figure(name, unit, [value])
        self._record.figures.append(figure)
        self._record.judge(key, {f"{users:,} users": figure.spread}, doubt=self._doubt)

    def _send_pages(self, server: Running, users: Iterable[int]) -> None:
        requests = (each for user in users for each in self._visitors.page(user, is_public=True))
        lists = self._listed(self._urls, requests)
        lists.send(server.port, Until.LAST_ANSWER, _PAGES_AT_ONCE)
        time.sleep(_SETTLING_S)

    def _listed(self, urls: Urls, requests: Iterable[PageRequest]) -> RequestLists:
        self._lists += 1
        return RequestLists(self._run.folder / f"lists-{self._lists}", [map(urls.raw, requests)])


def _one_file_each(visitors: Visitors, users: Iterable[int]) -> Iterator[PageRequest]:
    return (PageRequest(number, visitors.files(number)[0]) for number in users)


def _views(visitors: Visitors, urls: Urls, viewers: int) -> Iterator[Sequence[bytes]]:
    for number in range(viewers):
        page = visitors.page(number, is_public=True)[: 1 + _FILES_OF_A_VIEW]
        yield [urls.raw(page_request) for page_request in page]


def _view(
    server: Running, views: Sequence[Sequence[bytes]], period_s: float, periods: int
) -> Counter[int]:
    """Answers by status."""
    answered = run_in_loop(open_loop(server.port, spread_out(views, period_s, periods)))
    return Counter(answer.status for answer in answered)


@contextmanager
def _foreign_commits(database: Path) -> Iterator[None]:
    """Commits ten times a second, to a table that is made for it and dropped."""
    ended = threading.Event()
    connecting = sqlite3.connect(
        database, isolation_level=None, timeout=30.0, check_same_thread=False
    )
    with closing(connecting) as connection:

        def commit() -> None:
            while not ended.wait(_COMMIT_EVERY_S):
                connection.execute("INSERT INTO audit_logs DEFAULT VALUES")

        connection.execute("CREATE TABLE IF NOT EXISTS audit_logs (id INTEGER PRIMARY KEY)")
        thread = threading.Thread(target=commit)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            connection.execute("DROP TABLE audit_logs")


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
