"""`Overview`: what this process tells all others, and what all of them are doing."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, NamedTuple

from gateway.caching.turns import Turns
from gateway.metrics.catalogue import START_TIME
from gateway.metrics.changes import AllChanges
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.sources import AllSources
from gateway.overview.facts import MINUTE_S, View
from gateway.overview.history import INTERVAL_S, History, Sampler
from gateway.overview.own_report import OwnReport
from gateway.overview.probes import FolderProbes
from gateway.overview.recent import RecentRequests
from gateway.overview.reports import Reports
from gateway.overview.state import State, is_nobody_served, state_of, status_of
from gateway.overview.verdicts import Verdict

logger = logging.getLogger(__name__)

REPORT_S = 1.0


class OverviewMemory(NamedTuple):
    """What all processes of a gateway tell each other."""

    reports: Reports
    history: History

    @classmethod
    def shared(cls, context: BaseContext, columns: int) -> "OverviewMemory":
        """`columns`: as many as the table of metrics has for workers."""
        return cls(Reports.shared(context, columns + 1), History.shared(context))

    @classmethod
    def alone(cls) -> "OverviewMemory":
        """For a process that serves without a supervisor."""
        return cls(Reports.alone(), History.alone())


class Membership(NamedTuple):
    """A process that serves beside others, under a supervisor: what they share."""

    metrics: ProcessMetrics
    memory: OverviewMemory


class About(NamedTuple):
    """What all workers share."""

    version: str
    changes: str
    """The setting access.changes."""
    stale_if_error_s: float


class Overview:
    """Of one process that serves."""

    interval_s = INTERVAL_S

    def __init__(
        self,
        about: About,
        metrics: ProcessMetrics,
        sources: AllSources,
        changes: AllChanges,
        folders: Mapping[str, Path],
        turns: Turns,
        memory: OverviewMemory | None = None,
    ) -> None:
        """`folders`: those without which nobody is served, by the source that they belong to.
        `memory`: None, if there is no supervisor, who writes the history.
        """
        self._about = about
        self._metrics = metrics
        self._probes = FolderProbes(folders)
        self._turns = turns
        self.recent = RecentRequests()
        """The cold path tells it of its requests."""
        self._own = OwnReport(metrics, sources, changes, self._probes, self.recent)
        self._memory = OverviewMemory.alone() if memory is None else memory
        self._sampler = Sampler(self._memory.history, metrics.totals) if memory is None else None
        self._is_running = False
        self.is_draining: Callable[[], bool] = lambda: False
        """The application sets it."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reports once a second, or every two seconds while nobody asks, until the block ends."""
        task = asyncio.create_task(self._keep_reporting())
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def report(self) -> None:
        """Tells all others how this process is."""
        self._memory.reports.write(
            self._metrics.index, self._own.make(is_draining=self.is_draining())
        )

    def state(self) -> State:
        """Of all workers, as plain values. Takes 1 ms."""
        self._look_unless_running()
        now, totals, about = time.time(), self._metrics.totals(), self._about
        reports = sorted(self._memory.reports, key=lambda report: report["started_at"])
        view = View(now, reports, self._memory.history.since(now - MINUTE_S))
        state = state_of(view, totals, os.getpid())
        status, reasons = status_of(
            [Verdict(**verdict) for verdict in state["verdicts"]],
            is_draining=self.is_draining(),
            is_unavailable=is_nobody_served(view, about.stale_if_error_s),
        )
        return {
            **state,
            "status": status,
            "reasons": reasons,
            "changes": about.changes,
            "version": about.version,
            "started_at": totals.value(START_TIME),
        }

    def samples(self, after: float = 0.0) -> list[dict[str, Any]]:
        """What happened in each interval of the last ten minutes that ended later than the moment
        `after`, in seconds since the epoch. Oldest first, as plain values.
        """
        self._look_unless_running()
        return [sample.shown for sample in self._memory.history.since(after)]

    def _look_unless_running(self) -> None:
        """For a gateway that began with its first request: nobody runs it."""
        if not self._is_running:
            self._look()

    def _look(self) -> None:
        self._probes.look()
        self.report()
        if self._sampler is not None:
            self._sampler.look()

    async def _keep_reporting(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # the edge of a background task: it must not die silently
                logger.exception("this process cannot say how it is")
            await self._turns.next(REPORT_S)
