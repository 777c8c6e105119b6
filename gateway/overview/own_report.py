"""The report of this process."""

import os
import time
from collections import deque
from collections.abc import Callable

from gateway.metrics.catalogue import CONNECTIONS, CPU, LOOP_DELAY, REQUESTS, RESIDENT_MEMORY
from gateway.metrics.changes import AllChanges
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.sources import AllSources
from gateway.metrics.table import Totals
from gateway.overview.probes import FolderProbes
from gateway.overview.recent import RecentRequests
from gateway.overview.reports import Report
from gateway.overview.samples import difference, percentile

_REPORTS = 5
_REQUEST_ROWS = tuple(REQUESTS.rows.values())


class OwnReport:
    """Makes reports. Rates are those of the last five reports."""

    def __init__(
        self,
        metrics: ProcessMetrics,
        sources: AllSources,
        changes: AllChanges,
        probes: FolderProbes,
        recent: RecentRequests,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._sources = sources
        self._changes = changes
        self._probes = probes
        self._recent = recent
        self._clock = clock
        self._started_at = time.time()
        metrics.update()
        self._before = deque([(clock(), self._numbers())], _REPORTS)
        """The moments and the numbers of the last reports."""

    def make(self, *, is_draining: bool) -> Report:
        self._metrics.update()
        now, numbers = self._clock(), self._numbers()
        before_at, before = self._before[0]
        elapsed_s = max(now - before_at, 1.0)
        change = difference(numbers, before)
        self._before.append((now, numbers))
        return {
            "pid": os.getpid(),
            "started_at": self._started_at,
            "at": time.time(),
            "is_draining": is_draining,
            "requests_per_s": sum(change.values[row] for row in _REQUEST_ROWS) / elapsed_s,
            "cpu_cores": change.value(CPU) / elapsed_s,
            "loop_delay_s": percentile(change.distribution(LOOP_DELAY).counts, 0.99),
            "connections": int(numbers.value(CONNECTIONS)),
            "memory_bytes": numbers.value(RESIDENT_MEMORY),
            "sources": [state._asdict() for state in self._sources.states()],
            "watch_errors": self._probes.errors(),
            "changes": [state._asdict() for state in self._changes.states()],
            "refused": self._recent.refused(),
            "slowest": self._recent.slowest(),
        }

    def _numbers(self) -> Totals:
        """Those of this process alone."""
        return Totals(self._metrics.column.values.tolist())
