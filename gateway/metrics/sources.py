"""What the loads from a source of truth came to: the database, users' files, published files.

Whoever asks a source wraps each load: `with counts.load(): …`. The error that leaves the block says
how the load ended:

    none                  the source answered
    SourceUnavailable     it did not
    CancelledError        nobody waited any more: nothing is known, and nothing is counted
    any other             it answered, for example that there is no such file

For one event loop.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Protocol

from gateway.caching.outages import Outages
from gateway.errors import SourceUnavailable
from gateway.metrics.catalogue import (
    SOURCE_CIRCUIT_OPEN,
    SOURCE_DURATION,
    SOURCE_ERRORS,
    SOURCE_LAST_SUCCESS,
    SOURCE_LOADS,
    SOURCES,
)
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.table import Column
from gateway.metrics.texts import one_line

_MAX_SENTENCE = 300
_FILES = {"users": "the users' files", "shared": "the published files"}
"""Sources without a circuit breaker, which logs failures too; as the log names them."""


class SourceState(NamedTuple):
    """How a source is, for people. Moments are seconds since the epoch."""

    name: str
    failing_for_s: float | None
    """Since the first load that failed after the last one that succeeded; None: it succeeds."""
    is_circuit_open: bool
    pending_s: float | None
    """For how long the oldest load has been running; None if none runs."""
    last_success_at: float | None
    last_error: str | None
    last_error_at: float | None


class Circuit(Protocol):
    """Refuses loads while the source fails."""

    @property
    def is_open(self) -> bool: ...


class SourceCounts:
    """Counts the loads from one source, and remembers how the last ones ended."""

    def __init__(
        self,
        name: str,
        column: Column,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        outages: Outages | None = None,
    ) -> None:
        """`name`: one of the SOURCES. `outages`: logs failures; None: somebody else does."""
        self.name = name
        self._clock = clock
        self._wall_clock = wall_clock
        self._values = column.values
        self._loads_row = SOURCE_LOADS.row(name)
        self._errors_row = SOURCE_ERRORS.row(name)
        self._durations = column.histogram(SOURCE_DURATION, name)
        self._failing_since: float | None = None
        """By the clock; likewise the next two. None: the last load succeeded."""
        self._succeeded_at: float | None = None
        self._failed_at: float | None = None
        self._last_error: str | None = None
        self._running: dict[Load, float] = {}
        """When each load began that has not ended."""
        self._circuits: list[Circuit] = []
        self._outages = outages

    @classmethod
    def alone(cls, name: str) -> "SourceCounts":
        """Whose numbers nobody reads, for a command."""
        return cls(name, ProcessMetrics.alone().column)

    def load(self, count: int = 1) -> "Load":
        """The context of `count` loads that end together."""
        return Load(self, count)

    def guarded_by(self, circuit: "Circuit") -> None:
        self._circuits.append(circuit)

    @property
    def is_circuit_open(self) -> bool:
        return any(circuit.is_open for circuit in self._circuits)

    @property
    def last_success_at(self) -> float | None:
        """In seconds since the epoch."""
        return self._wall_moment(self._succeeded_at)

    def answers(self) -> None:
        """The source has answered somebody else."""
        self._failing_since = None
        self._succeeded_at = self._clock()

    def state(self) -> SourceState:
        now = self._clock()
        failing_for_s = None if self._failing_since is None else now - self._failing_since
        pending_s = now - min(self._running.values()) if self._running else None
        return SourceState(
            self.name,
            failing_for_s,
            self.is_circuit_open,
            pending_s,
            self.last_success_at,
            self._last_error,
            self._wall_moment(self._failed_at),
        )

    def _wall_moment(self, moment: float | None) -> float | None:
        return None if moment is None else self._wall_clock() - (self._clock() - moment)

    def _begin(self, load: "Load") -> None:
        self._running[load] = self._clock()

    def _end(self, load: "Load", error: BaseException | None) -> None:
        began_at, now = self._running.pop(load), self._clock()
        count = load.count
        if not count or isinstance(error, asyncio.CancelledError):
            return
        self._values[self._loads_row] += count
        if isinstance(error, SourceUnavailable):
            self._values[self._errors_row] += count
            if not error.was_asked:
                return
            if self._failing_since is None:
                self._failing_since = began_at
            self._failed_at = now
            self._last_error = one_line(error.reason, _MAX_SENTENCE)
            if self._outages is not None:
                self._outages.failed(error)
        else:
            if self._outages is not None:
                self._outages.answered()
            self._failing_since = None
            self._succeeded_at = now
        self._durations.observe(now - began_at, count)


class Load:
    """Loads that are under way. `count` may be set until they end; 0: they count elsewhere."""

    __slots__ = ("_source", "count")

    def __init__(self, source: SourceCounts, count: int) -> None:
        self._source = source
        self.count = count

    def __enter__(self) -> "Load":
        self._source._begin(self)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._source._end(self, error)


def _outages_of(name: str) -> Outages | None:
    return Outages(_FILES[name]) if name in _FILES else None


class AllSources:
    """The counts of each source, in the column of this process."""

    def __init__(self, metrics: ProcessMetrics) -> None:
        self.database, self.users, self.shared = self._all = tuple(
            SourceCounts(name, metrics.column, outages=_outages_of(name)) for name in SOURCES
        )
        metrics.copy_with(self._copy)

    def states(self) -> list[SourceState]:
        return [counts.state() for counts in self._all]

    def _copy(self, column: Column) -> None:
        for counts in self._all:
            column.values[SOURCE_CIRCUIT_OPEN.row(counts.name)] = float(counts.is_circuit_open)
            column.values[SOURCE_LAST_SUCCESS.row(counts.name)] = counts.last_success_at or 0.0
