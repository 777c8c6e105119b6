"""One measurement: the answer is checked, load is made, clocks are read before and after."""

import http.client
import time
from collections.abc import Sequence

from benchmarks.cores import Cores
from benchmarks.counters import hot_share, read_counters
from benchmarks.load.report import length_is_plausible
from benchmarks.load.wrk import CONNECTIONS, LoadFailed, Request, run_load
from benchmarks.machine import core_cpu_seconds, cpu_seconds, own_cpu_seconds
from benchmarks.processes import Running
from benchmarks.serve.entries import Entry
from benchmarks.serve.figures import Failure, Figure
from benchmarks.serve.probe import objection
from benchmarks.serve.promises import OURS
from benchmarks.serve.schedule import Step
from benchmarks.site import Site

# What disturbed a measurement rarely ends at once.
_PAUSE_S = 1.0


class Measuring:
    """Makes the measurements."""

    def __init__(
        self,
        duration_s: int,
        cores: Cores,
        site: Site,
        patience_s: float,
    ) -> None:
        """`patience_s`: to be spent, over all measurements, on making disturbed ones again;
        after that they count as they are.
        """
        self._duration_s = duration_s
        self._cores = cores
        self._site = site
        self._patience_s = patience_s

    def measure(self, step: Step) -> Figure | Failure:
        """Blocking, for about the duration; longer while there is patience."""
        entry = step.entry
        try:
            figure = self._measured(entry, step.round_number)
            while figure.disturbed and self._patience_s > 0:
                started = time.monotonic()
                time.sleep(_PAUSE_S)
                figure = self._measured(entry, step.round_number)
                self._patience_s -= time.monotonic() - started
        except LoadFailed as error:
            return Failure(entry.server, entry.cell, step.round_number, str(error))
        return figure

    def _measured(self, entry: Entry, number: int) -> Figure:
        """Raises: LoadFailed."""
        self._check(entry)
        servers = (entry.running, *entry.running.behind)
        counted = read_counters(entry.running.port) if entry.server == OURS else None
        before = clocks(servers, self._cores)
        report = run_load(Request(entry.url, entry.headers), self._duration_s)
        server_s, others_s = (
            now - then for now, then in zip(clocks(servers, self._cores), before, strict=True)
        )
        if not length_is_plausible(report, entry.content_bytes, CONNECTIONS):
            raise LoadFailed(
                f"{report.received_bytes} bytes in {report.requests} answers,"
                f" expected {entry.content_bytes} each"
            )
        share = None
        if counted is not None:
            share = hot_share(counted, read_counters(entry.running.port))
        return Figure(entry.server, entry.cell, number, report, server_s, others_s, share)

    def _check(self, entry: Entry) -> None:
        try:
            answer = entry.ask()
        except (OSError, http.client.HTTPException) as error:
            raise LoadFailed(f"does not answer: {error}") from None
        objected = objection(answer, entry.cell, self._site)
        if objected is not None:
            raise LoadFailed(objected)


def clocks(servers: Sequence[Running], cores: Cores) -> tuple[float, float]:
    """CPU time of the servers; and on both cores of what is no part of the benchmark, to which
    servers that stand by belong."""
    server_s = sum(cpu_seconds(each.pid) for each in servers)
    both_s = core_cpu_seconds(cores.server) + core_cpu_seconds(cores.load)
    return server_s, both_s - own_cpu_seconds()
