"""Measurements, round by round, and what follows from them.

Round by round and case by case all servers are measured one after the other, so that whatever else
the machine does meets all of them; every other round backwards, so that nobody is always first.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from benchmarks.client import QUERIES, hot_share, read_counters
from benchmarks.figures import Spread, ratio_of_rounds
from benchmarks.machine import Cores, cpu_seconds, others_cpu_seconds
from benchmarks.processes import Running
from benchmarks.serve.contestants import GATEWAY
from benchmarks.wrk import LoadReport

T = TypeVar("T")

# If the server had its core for less than this share of the time, it waited for the load.
BUSY = 0.9
# A measurement is disturbed if other processes took more than this share of a core.
QUIET = 0.05
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One server in one case in one round."""

    server: str
    case: object
    round_number: int
    report: LoadReport
    cpu_s: float
    """CPU time of the server, in user mode and in the kernel."""
    others_s: float
    """CPU time of processes that are no part of the benchmark, on its two cores."""
    hot_share: float | None = None
    """Share of the gateway's answers that were given at once; None for other servers."""
    queries: int = 0
    """Questions of the gateway to the database."""

    @property
    def busy(self) -> float:
        """Share of the time in which the server had the core."""
        return self.cpu_s / (self.report.duration_us / 1e6)

    @property
    def disturbed(self) -> bool:
        return self.others_s > QUIET * self.report.duration_us / 1e6

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_s / self.report.requests * 1e6

    @property
    def requests_per_cpu_s(self) -> float:
        """CPU time comes in ticks: on a busy machine a server may have had less than one."""
        return self.report.requests / max(self.cpu_s, _TICK_S)


@dataclass(frozen=True, slots=True)
class Failure:
    """A measurement that is not counted."""

    server: str
    case: object
    round_number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.server}, {self.case}, round {self.round_number}: {self.reason}"


def measure(
    server: str,
    case: object,
    round_number: int,
    process: Running,
    cores: Cores,
    load: Callable[[], LoadReport],
) -> Measurement:
    """Makes the load, and reads clocks and the gateway's counters before and after.

    Raises: LoadFailed.
    """
    servers = (process, *process.behind)

    def clocks() -> tuple[float, float]:
        return sum(cpu_seconds(server.pid) for server in servers), others_cpu_seconds(cores)

    counters = read_counters(process.port) if server == GATEWAY else None
    before = clocks()
    report = load()
    server_s, others_s = (now - then for now, then in zip(clocks(), before, strict=True))
    measurement = Measurement(server, case, round_number, report, server_s, others_s)
    if counters is None:
        return measurement
    after = read_counters(process.port)
    queries = after[QUERIES] - counters[QUERIES]
    return replace(measurement, hot_share=hot_share(counters, after), queries=queries)


def schedule(cases: Iterable[Sequence[T]], rounds: int) -> Iterator[tuple[int, T]]:
    """(round, server) in the order of measuring; rounds from 1. `cases`: the servers of each."""
    servers_by_case = list(cases)
    for number in range(1, rounds + 1):
        for servers in servers_by_case:
            for server in in_turn(servers, number):
                yield number, server


def in_turn(servers: Sequence[T], round_number: int) -> Iterable[T]:
    """Every other round backwards."""
    return servers if round_number % 2 else reversed(servers)


@dataclass(slots=True)
class Measurements:
    """All measurements of a run."""

    counted: list[Measurement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def add(self, outcome: Measurement | Failure) -> None:
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
        else:
            self.counted.append(outcome)

    @property
    def servers(self) -> list[str]:
        """Servers with any measurement, in the order of their first."""
        return list(dict.fromkeys(measurement.server for measurement in self.counted))

    def of(self, server: str, case: object) -> list[Measurement]:
        """The undisturbed measurements; all of them, if every one was disturbed."""
        measured = [
            measurement
            for measurement in self.counted
            if (measurement.server, measurement.case) == (server, case)
        ]
        return [measurement for measurement in measured if not measurement.disturbed] or measured

    def ratio(self, ours: str, theirs: str, case: object) -> Spread | None:
        """Requests/s of one by those of the other, in rounds that nothing disturbed.

        Doubtful, if there is no such round.
        """
        return self._ratio(
            ours, theirs, case, lambda measurement: measurement.report.requests_per_s
        )

    def cpu_ratio(self, ours: str, theirs: str, case: object) -> Spread | None:
        """The same ratio of requests for each second of the server's CPU time."""
        return self._ratio(ours, theirs, case, lambda measurement: measurement.requests_per_cpu_s)

    def _ratio(
        self, ours: str, theirs: str, case: object, value: Callable[[Measurement], float]
    ) -> Spread | None:
        def by_round(server: str, *, quiet: bool) -> dict[int, float]:
            return {
                measurement.round_number: value(measurement)
                for measurement in self.counted
                if (measurement.server, measurement.case) == (server, case)
                if not (quiet and measurement.disturbed)
            }

        quiet = ratio_of_rounds(by_round(ours, quiet=True), by_round(theirs, quiet=True))
        if quiet is not None:
            return quiet
        disturbed = ratio_of_rounds(by_round(ours, quiet=False), by_round(theirs, quiet=False))
        return None if disturbed is None else replace(disturbed, doubtful=True)

    def servers_in(self, case: object) -> list[str]:
        """Servers that have measurements of the case, in the order of their first."""
        return list(
            dict.fromkeys(
                measurement.server for measurement in self.counted if measurement.case == case
            )
        )
