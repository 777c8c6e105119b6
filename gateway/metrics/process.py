"""What one process counts, and what it reads of all."""

import contextlib
import os
import time
from collections.abc import Callable

from gateway.metrics.catalogue import CPU, RESIDENT_MEMORY, START_TIME, WORKERS
from gateway.metrics.table import OWN, Column, Table, Totals

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = "/proc/self/statm"
"""Sizes in pages, of which the second is resident (proc(5)); only on Linux."""


class ProcessMetrics:
    """The column of this process, in the table of all."""

    def __init__(self, table: Table, index: int = OWN) -> None:
        self.table = table
        self.index = index
        self.column = table.column(index)
        self._copies: list[Callable[[Column], None]] = [_SystemFacts(self.column).copy]

    @classmethod
    def alone(cls) -> "ProcessMetrics":
        """For a process that serves without a supervisor."""
        metrics = cls(Table.alone())
        metrics.column.gauge(START_TIME).set(time.time())
        return metrics

    def copy_with(self, copy: Callable[[Column], None]) -> None:
        """`copy` writes into the column what another object counts anyway. It must not wait."""
        self._copies.append(copy)

    def update(self) -> None:
        """Copies what other objects count."""
        for copy in self._copies:
            copy(self.column)

    def totals(self) -> Totals:
        """The numbers of all processes, and of this one as they are now."""
        self.update()
        return self.table.totals()


class _SystemFacts:
    """What the system knows of this process."""

    def __init__(self, column: Column) -> None:
        self._workers = column.gauge(WORKERS)
        self._memory = column.gauge(RESIDENT_MEMORY)
        self._cpu_row = CPU.row()

    def copy(self, column: Column) -> None:
        self._workers.set(1.0)
        column.values[self._cpu_row] = time.process_time()
        # Without a free descriptor the last value stays; systems without this file show none.
        with contextlib.suppress(OSError):
            self._memory.set(_resident_bytes())


def _resident_bytes() -> float:
    """Raises: OSError."""
    statm = os.open(_STATM, os.O_RDONLY)
    try:
        return float(os.read(statm, 64).split()[1]) * _PAGE_BYTES
    finally:
        os.close(statm)
