"""What a process counts, and what it copies from others before it is read."""

import time

import pytest

from gateway.metrics import process
from gateway.metrics.catalogue import (
    CONNECTIONS,
    CPU,
    RESIDENT_MEMORY,
    START_TIME,
    WORKERS,
)
from gateway.metrics.process import ProcessMetrics


def test_what_others_count_is_copied_before_the_numbers_are_read() -> None:
    metrics = ProcessMetrics.alone()
    open_connections = [3.0]
    metrics.copy_with(lambda column: column.gauge(CONNECTIONS).set(open_connections[0]))
    assert metrics.totals().value(CONNECTIONS) == 3.0
    open_connections[0] = 4.0
    assert metrics.table.totals().value(CONNECTIONS) == 3.0
    assert metrics.totals().value(CONNECTIONS) == 4.0


def test_a_process_that_serves_alone_is_one_worker_since_its_start() -> None:
    before = time.time()
    totals = ProcessMetrics.alone().totals()
    assert totals.value(WORKERS) == 1.0
    assert before <= totals.value(START_TIME) <= time.time()
    assert 0.0 < totals.value(CPU) <= time.process_time()


def test_memory_keeps_its_value_while_it_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example because the process has no free descriptor."""
    metrics = ProcessMetrics.alone()
    value = metrics.totals().value(RESIDENT_MEMORY)
    assert value > 2**20
    monkeypatch.setattr(process, "_STATM", "/nowhere")
    assert metrics.totals().value(RESIDENT_MEMORY) == value
