"""What is heard of changes, by the source that tells of them: how often, how late, and whether the
source runs.

Late is measured where the moment of a change is known (freshness/ says where).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.metrics.catalogue import CHANGE_DELAY, CHANGE_SOURCE_RUNNING, CHANGES
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.table import Column
from gateway.metrics.texts import one_line

# A change that is older was not waited for: nobody asked for the user, say. Or a clock was set.
_MOST_DELAY_S = 60.0
_MAX_SENTENCE = 300
THIS_WORKER = "this_worker"


class ChangeSourceState(NamedTuple):
    name: str
    is_running: bool
    last_error: str | None
    """Why it does not run; None if it does, or has not begun."""


class HeardChanges:
    """What one source tells of."""

    def __init__(
        self, name: str, column: Column, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._heard = column.counter(CHANGES, name)
        self._delays = column.histogram(CHANGE_DELAY, name)
        self._column = column
        self._wall_clock = wall_clock
        self._is_running = False
        self._last_error: str | None = None

    def heard(self) -> None:
        self._heard.add()

    def happened(self, at: float) -> None:
        """The change that is told of was made at this moment, in seconds since the epoch."""
        delay_s = self._wall_clock() - at
        if 0.0 <= delay_s <= _MOST_DELAY_S:
            self._delays.observe(delay_s)

    def begins(self) -> None:
        """From now on the source notices every change."""
        self._is_running, self._last_error = True, None
        self._show()

    def ends(self, sentence: str | None = None) -> None:
        """The source notices nothing any more. `sentence`: why, if it failed."""
        self._is_running = False
        self._show()
        if sentence is not None:
            self._last_error = one_line(sentence, _MAX_SENTENCE)

    def _show(self) -> None:
        """A source that neither begins nor ends, as this worker itself, is not shown."""
        self._column.gauge(CHANGE_SOURCE_RUNNING, self.name).set(float(self._is_running))

    def state(self) -> ChangeSourceState:
        return ChangeSourceState(self.name, self._is_running, self._last_error)


class AllChanges:
    """What is heard from each source, in the column of this process."""

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._column = metrics.column
        self._sources: dict[str, HeardChanges] = {}

    @classmethod
    def alone(cls) -> "AllChanges":
        """Whose numbers nobody reads."""
        return cls(ProcessMetrics.alone())

    def of(self, name: str) -> HeardChanges:
        """`name`: one of the CHANGE_SOURCES; any other counts as "other"."""
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = HeardChanges(name, self._column)
        return source

    def of_source(self, name: str) -> HeardChanges:
        """`name`: as a source of freshness/ names itself, in words."""
        return self.of(name.replace(" ", "_"))

    def states(self) -> list[ChangeSourceState]:
        return [source.state() for source in self._sources.values() if source.name != THIS_WORKER]
