"""The table of numbers: sums over processes, and what is left of those that have ended."""

import multiprocessing
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metrics.catalogue import (
    BOUNDS_S,
    CHANGE_SOURCE_RUNNING,
    CONNECTIONS,
    CPU,
    REQUEST_DURATION,
    RESPONSE_BYTES,
    SOURCE_ERRORS,
    SOURCE_LAST_SUCCESS,
    START_TIME,
    WORKER_RESTARTS,
    RouteClass,
)
from gateway.metrics.table import OWN, ColumnPool, Table

COLUMNS = 4


@pytest.fixture
def table() -> Table:
    return shared_table()


def shared_table() -> Table:
    return Table.shared(multiprocessing.get_context("fork"), COLUMNS)


def test_counters_and_gauges_are_summed_over_processes(table: Table) -> None:
    table.use(2)
    for index, amount in ((OWN, 1.0), (1, 2.0), (2, 4.0)):
        column = table.column(index)
        column.counter(CPU).add(amount)
        column.counter(CPU).add(amount)
        column.gauge(CONNECTIONS).set(amount)
    totals = table.totals()
    assert (totals.value(CPU), totals.value(CONNECTIONS)) == (14.0, 7.0)


def test_a_moment_is_that_of_the_last_process(table: Table) -> None:
    table.use(2)
    for index, moment in ((1, 20.0), (2, 30.0)):
        table.column(index).gauge(SOURCE_LAST_SUCCESS, "database").set(moment)
    assert table.totals().value(SOURCE_LAST_SUCCESS, "database") == 30.0
    assert table.totals().value(SOURCE_LAST_SUCCESS, "users") == 0.0


@given(st.lists(st.sampled_from([0.0, *BOUNDS_S, 2e-5, 0.05, 0.5, 99.0])))
def test_durations_together_count_as_one_by_one(durations_s: list[float]) -> None:
    one_by_one, together = Table.alone(), Table.alone()
    histogram = one_by_one.column(OWN).histogram(REQUEST_DURATION, RouteClass.OWN, "hot")
    for duration_s in durations_s:
        histogram.observe(duration_s)
    together.column(OWN).histogram(REQUEST_DURATION, RouteClass.OWN, "hot").observe_all(
        [*durations_s]
    )
    counts, sum_s = together.totals().distribution(REQUEST_DURATION, RouteClass.OWN, "hot")
    expected = one_by_one.totals().distribution(REQUEST_DURATION, RouteClass.OWN, "hot")
    assert counts == expected.counts
    assert sum_s == pytest.approx(expected.sum_s)


def test_durations_fall_into_the_bucket_with_the_next_bound(table: Table) -> None:
    durations = table.column(OWN).histogram(REQUEST_DURATION, RouteClass.OWN, "hot")
    for duration_s in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1] + 1.0):
        durations.observe(duration_s)
    counts, sum_s = table.totals().distribution(REQUEST_DURATION, RouteClass.OWN, "hot")
    assert list(counts) == [2, 1, *[0] * (len(BOUNDS_S) - 2), 1]
    assert sum_s == pytest.approx(BOUNDS_S[0] * 2.01 + BOUNDS_S[-1] + 1.0)


def test_the_counters_of_an_ended_process_stay_and_its_gauges_end(table: Table) -> None:
    pool = ColumnPool(table)
    index = pool.lend()
    assert index is not None
    for _ in range(3):
        column = table.column(index)
        column.counter(CPU).add(5.0)
        column.histogram(REQUEST_DURATION, RouteClass.OWN, "cold").observe(0.1)
        column.gauge(CONNECTIONS).set(2.0)
        column.gauge(SOURCE_LAST_SUCCESS, "shared").set(9.0)
        assert table.totals().value(CONNECTIONS) == 2.0
        pool.take_back(index)
        assert not any(column.values)
        assert pool.lend() == index
    totals = table.totals()
    assert totals.value(CPU) == 15.0
    assert sum(totals.distribution(REQUEST_DURATION, RouteClass.OWN, "cold").counts) == 3
    assert totals.value(CONNECTIONS) == totals.value(SOURCE_LAST_SUCCESS, "shared") == 0.0


def test_what_the_maker_counts_itself_is_never_cleared(table: Table) -> None:
    own = table.column(OWN)
    own.counter(WORKER_RESTARTS, "died").add()
    own.gauge(START_TIME).set(7.0)
    pool = ColumnPool(table)
    for index in (pool.lend(), pool.lend()):
        assert index is not None
        pool.take_back(index)
    assert table.totals().value(WORKER_RESTARTS, "died") == 1.0
    assert table.totals().value(START_TIME) == 7.0


def test_columns_are_lent_once_at_a_time_and_are_bounded(table: Table) -> None:
    pool = ColumnPool(table)
    assert [pool.lend() for _ in range(COLUMNS + 1)] == [*range(1, COLUMNS + 1), None]
    pool.take_back(2)
    assert [pool.lend(), pool.lend()] == [2, None]


def test_a_series_that_must_be_known_is_shown_as_zero_once_it_was_set(table: Table) -> None:
    pool = ColumnPool(table)
    index = pool.lend()
    assert index is not None
    assert list(table.totals().shown(CHANGE_SOURCE_RUNNING)) == []
    table.column(index).gauge(CHANGE_SOURCE_RUNNING, "sqlite").set(0.0)
    assert list(table.totals().shown(CHANGE_SOURCE_RUNNING)) == [("sqlite",)]
    pool.take_back(index)
    assert list(table.totals().shown(CHANGE_SOURCE_RUNNING)) == []


def test_errors_are_shown_although_there_were_none(table: Table) -> None:
    assert ("database",) in table.totals().shown(SOURCE_ERRORS)
    assert list(table.totals().shown(RESPONSE_BYTES)) == []


def test_a_handle_fits_its_series(table: Table) -> None:
    with pytest.raises(TypeError, match="gateway_connections is a gauge"):
        table.column(OWN).counter(CONNECTIONS)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.slow
def test_a_started_process_writes_to_the_same_memory(method: str) -> None:
    context = multiprocessing.get_context(method)
    table = Table.shared(context, COLUMNS)
    index = ColumnPool(table).lend()
    process = context.Process(target=_count_once, args=(table, index))  # type: ignore[attr-defined]
    process.start()
    process.join()
    assert process.exitcode == 0
    assert table.totals().value(CPU) == 2.5


def _count_once(table: Table, index: int) -> None:
    table.column(index).counter(CPU).add(2.5)


class Interrupted(Exception):
    pass


class _FailingAt:
    """A memory of numbers whose maker dies before its n-th write."""

    def __init__(self, values: Any, writes: int) -> None:
        self._values, self._left = values, writes

    def __getitem__(self, place: Any) -> Any:
        return self._values[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        if not self._left:
            raise Interrupted
        self._left -= 1
        self._values[place] = value


@given(
    amounts=st.lists(st.integers(0, 1000), min_size=1, max_size=5),
    earlier=st.integers(0, 3),
    step=st.integers(0, 5),
)
@settings(deadline=None, max_examples=50)
def test_a_maker_that_dies_at_any_step_leaves_a_table_that_counts_all_once(
    amounts: list[int], earlier: int, step: int
) -> None:
    table = shared_table()
    pool = ColumnPool(table)
    for amount in [*amounts[:-1], *range(earlier)]:
        index = pool.lend()
        assert index is not None
        table.column(index).counter(CPU).add(amount)
        pool.take_back(index)
    index = pool.lend()
    assert index is not None
    table.column(index).counter(CPU).add(amounts[-1])
    expected = sum(amounts) + sum(range(earlier))
    values = table._values
    table._values = _FailingAt(values, step)  # type: ignore[assignment]
    try:
        pool.take_back(index)
    except Interrupted:
        pass
    else:
        assert step == 5  # all of its writes
    table._values = values
    assert table.totals().value(CPU) == expected


@pytest.mark.slow
def test_no_reader_ever_sees_half_of_a_retired_column() -> None:
    """Each process counts ten and is retired, so a sum that is no multiple of ten, or that falls,
    is half of one. The readers are other processes."""
    table = shared_table()
    context = multiprocessing.get_context("fork")
    readings = context.Queue()
    started, end = context.Barrier(3), context.Event()
    readers = [
        context.Process(target=_read_until, args=(table, started, end, readings)) for _ in range(2)
    ]
    for reader in readers:
        reader.start()
    counted = threading.Thread(target=_count_and_retire, args=(table, 3000))
    started.wait()
    counted.start()
    counted.join()
    end.set()
    for reader in readers:
        wrong, read, falls = readings.get(timeout=20)
        assert (wrong, falls) == (0, 0)
        assert read > 50
        reader.join()
    assert table.totals().value(RESPONSE_BYTES, "own") == 3000 * 10.0


def _count_and_retire(table: Table, times: int) -> None:
    pool = ColumnPool(table)
    for _ in range(times):
        index = pool.lend()
        assert index is not None
        table.column(index).counter(RESPONSE_BYTES, "own").add(10.0)
        pool.take_back(index)


def _read_until(table: Table, started: Any, end: Any, readings: Any) -> None:
    started.wait()
    wrong = read = falls = 0
    last = 0.0
    while not end.is_set():
        value = table.totals().value(RESPONSE_BYTES, "own")
        wrong += value % 10.0 != 0.0
        falls += value < last
        last = value
        read += 1
    readings.put((wrong, read, falls))
