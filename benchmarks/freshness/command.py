"""`python -m benchmarks freshness`: a connection to each worker, asked until its answer is new."""

import math
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import click
import psutil

from benchmarks.benchmark import Plan, Run, benchmark
from benchmarks.client import Connection, Request
from benchmarks.figures import Spread
from benchmarks.freshness.changes import CHANGES, Change, Make, NotInstalled
from benchmarks.open_loop import steady_load
from benchmarks.processes import Running, ServerFailed, Servers
from benchmarks.promises import PROMISES
from benchmarks.record import Figure, Record, Table
from benchmarks.serve.contestants import own_path
from benchmarks.sites import ENTRY, LASTING, OTHER_SLUG, SLUG, VERSION, VERSIONS, SmallSite
from gateway.names import Version

_DEADLINE_S = 5.0
_POLL_S = 0.001
_CONNECT_POLL_S = 0.01
_MAX_CONNECTIONS = 400
_START_DEADLINE_S = 30.0
# Random, so that changes do not always come at the same moment between two polls.
_PAUSES_S = (0.02, 0.15)
# With fewer delays the 99th percentile is nearly the maximum.
_FEWEST_DELAYS = 100


@dataclass(frozen=True, slots=True)
class Series:
    """Delays of one kind of change, in seconds, one for each repetition and worker."""

    change: str
    workers: int
    promise: str
    """The key."""
    delays_s: Sequence[float]
    late: int = 0
    """Repetitions after which some worker still gave the old answer at the deadline."""

    def percentile_s(self, share: float) -> float:
        """The smallest delay that `share` of all do not exceed (nearest rank)."""
        ordered = sorted(self.delays_s)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    def __str__(self) -> str:
        return f"{self.change}, {self.workers} worker{'s' if self.workers > 1 else ''}"

    @property
    def p99_ms(self) -> Spread:
        """The 99th percentile as the median, from the median delay to the longest."""
        p99, median, longest = (self.percentile_s(share) * 1000 for share in (0.99, 0.5, 1.0))
        return Spread(p99, median, longest)


@benchmark(
    Plan(
        quick="A quarter of a minute, to see that it works.",
        packages=("uvicorn", "uvloop", "databases", "aiosqlite", "asyncpg"),
        exits_with_missed=True,
    )
)
@click.option("--repetitions", type=click.IntRange(2), help="Changes of each kind; 200, quick 10.")
@click.option(
    "--workers",
    multiple=True,
    type=click.IntRange(1),
    help="Processes that serve; 1 and 4, quick 1.",
)
@click.option(
    "--load",
    "requests_per_s",
    type=click.IntRange(0),
    default=500,
    show_default=True,
    help="Requests/s that the workers answer meanwhile.",
)
def freshness(
    run: Run, repetitions: int | None, workers: Sequence[int], requests_per_s: int
) -> None:
    """Seconds from a change made elsewhere to the first new answer of each worker, under load.

    The full run takes about six minutes.
    """
    repetitions = repetitions or (10 if run.quick else 200)
    chosen = list(workers) or ([1] if run.quick else [1, 4])
    run.describe(repetitions=repetitions, workers=chosen, requests_per_s=requests_per_s)
    measured: list[Series] = []
    for change in CHANGES:
        for number in chosen:
            place = f"{change.name}, {number} workers"
            run.show(place, total=repetitions)
            try:
                measured.append(_measured(run, change, number, repetitions, requests_per_s))
            except NotInstalled as missing:
                run.record.remark(f"skipped: {place}: {missing}")
            except ServerFailed as error:
                run.record.failures.append(f"{place}: {error}")
    _note(run, measured)


def _measured(
    run: Run, change: Change, workers: int, repetitions: int, requests_per_s: int
) -> Series:
    """Raises: NotInstalled, ServerFailed."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=run.folder))
        site = SmallSite(Path(folder))
        prepared = stack.enter_context(change.prepare(site))
        command = partial(site.serve_command, settings={**LASTING, **prepared.settings})
        servers = stack.enter_context(Servers(run.cores.server, site.folder))
        server = servers.start(lambda port: command(port, "--workers", str(workers)))
        probes = stack.enter_context(_one_to_each(server, workers))
        headers = {"Authorization": f"Bearer {site.bearer}", "Accept-Encoding": "identity"}
        load = Request(own_path(OTHER_SLUG, VERSION, ENTRY), headers).raw
        statuses = stack.enter_context(steady_load(server.port, load, requests_per_s))
        (other,) = set(VERSIONS) - {VERSION}
        versions = islice(cycle((None if change.takes_away else other, VERSION)), repetitions)
        delays_s, late = _repeat(run, site, probes, headers, prepared.make, versions)
    if statuses.keys() - {200}:
        raise ServerFailed(f"answers of the load by status: {dict(statuses)}")
    return Series(change.name, workers, change.promise, delays_s, late)


def _repeat(
    run: Run,
    site: SmallSite,
    probes: Sequence[Connection],
    headers: Mapping[str, str],
    make: Make,
    versions: Iterable[Version | None],
) -> tuple[list[float], int]:
    """Makes a change to each version in turn, and waits until every worker answers by it.

    Delays in seconds, and the number of delays that ended at the deadline. Raises: ServerFailed.
    """
    choose = random.Random(7)  # noqa: S311 (no secret)
    folder = site.shared / SLUG
    delays_s: list[float] = []
    late = 0
    # Before the first change every worker has the answer in its caches.
    expected: bytes | None = (folder / f"v{VERSION}" / ENTRY).read_bytes()
    _delays_until(expected, probes, headers, time.perf_counter())
    for version in versions:
        expected = (folder / f"v{version}" / ENTRY).read_bytes() if version else None
        time.sleep(choose.uniform(*_PAUSES_S))
        delays, missing = _delays_until(expected, probes, headers, make(version))
        delays_s += delays
        late += missing
        run.advance()
    return delays_s, late


def _delays_until(
    expected: bytes | None, probes: Sequence[Connection], headers: Mapping[str, str], since: float
) -> tuple[list[float], int]:
    """Seconds from `since` (perf_counter) until each worker first answered as expected (None:
    404), and how many had not by the deadline. Raises: ServerFailed, for any other answer.
    """
    waiting = list(probes)
    delays_s: list[float] = []
    while waiting and time.perf_counter() - since < _DEADLINE_S:
        for probe in list(waiting):
            answer = probe.ask(own_path(SLUG, VERSION, ENTRY), headers)
            if answer.status not in (200, 404):
                text = answer.content.decode(errors="replace")
                raise ServerFailed(f"{answer.status}: {text}")
            if (answer.content if answer.status == 200 else None) == expected:
                delays_s.append(time.perf_counter() - since)
                waiting.remove(probe)
        time.sleep(_POLL_S)
    return delays_s, len(waiting)


@contextmanager
def _one_to_each(server: Running, workers: int) -> Iterator[list[Connection]]:
    """A connection to each worker. Raises: ServerFailed, if some worker accepts none."""
    with ExitStack() as stack:
        by_process: dict[int, Connection] = {}
        end = time.monotonic() + _START_DEADLINE_S
        for _ in range(_MAX_CONNECTIONS):
            connection = stack.enter_context(closing(Connection(server.port)))
            connection.ask("/-/live", {})
            by_process.setdefault(_holder(server, connection), connection)
            if len(by_process) == workers:
                yield list(by_process.values())
                return
            if time.monotonic() > end:
                break
            time.sleep(_CONNECT_POLL_S)
        raise ServerFailed(f"only {len(by_process)} of {workers} workers accept connections")


def _holder(server: Running, connection: Connection) -> int:
    """The process at the other end."""
    own = connection.sock.getsockname()[1]
    process = psutil.Process(server.pid)
    for member in (process, *process.children(recursive=True)):
        for other in member.net_connections("tcp"):
            if other.raddr and other.raddr.port == own and other.laddr.port == server.port:
                return int(member.pid)
    raise ServerFailed("no worker holds the connection")


def _note(run: Run, measured: Sequence[Series]) -> None:
    record = run.record
    with_delays = [series for series in measured if series.delays_s]
    rows = [
        [
            series.change,
            str(series.workers),
            str(len(series.delays_s)),
            *(f"{series.percentile_s(share) * 1000:.1f}" for share in (0.5, 0.99, 1.0)),
            str(PROMISES[series.promise].bound),
            str(series.late),
        ]
        for series in with_delays
    ]
    columns = ("change", "workers", "delays", "p50", "p99", "longest", "promised p99", "late")
    record.tables.append(Table("Milliseconds until a change shows, in every worker", columns, rows))
    record.figures += [
        Figure(str(series), "ms", [delay_s * 1000 for delay_s in series.delays_s])
        for series in with_delays
    ]
    for key in dict.fromkeys(series.promise for series in measured):
        judge_series(record, key, [series for series in measured if series.promise == key])


def judge_series(record: Record, key: str, measured: Sequence[Series]) -> None:
    """Kept if 99 of 100 delays of each series are within the promise, and none never came."""
    late = [f"{series}: {series.late} never showed" for series in measured if series.late]
    few = any(len(series.delays_s) < _FEWEST_DELAYS for series in measured)
    record.judge(
        key,
        {str(series): series.p99_ms for series in measured if series.delays_s},
        doubt=f"fewer than {_FEWEST_DELAYS} delays" if few else "",
        broken=", ".join(late),
    )
