"""What is counted of a request."""

import pytest

from gateway.metrics.catalogue import (
    COLD,
    HOT,
    REFUSALS,
    REQUEST_DURATION,
    REQUESTS,
    RESPONSE_BYTES,
    RouteClass,
)
from gateway.metrics.requests import RequestCounts
from gateway.metrics.table import OWN, Table, Totals


@pytest.fixture
def table() -> Table:
    return Table.alone()


@pytest.fixture
def counts(table: Table) -> RequestCounts:
    return RequestCounts(table.column(OWN))


def durations(totals: Totals, route: RouteClass, path: str) -> tuple[float, float]:
    """Their number, and their sum in seconds."""
    counts, sum_s = totals.distribution(REQUEST_DURATION, route, path)
    return sum(counts), sum_s


def test_a_hot_answer_is_counted_with_its_duration_and_bytes(
    table: Table, counts: RequestCounts
) -> None:
    count = counts.hot_counter(RouteClass.PUBLIC)
    count(200, 1000, 0.25)
    count(304, 0, 0.5)
    assert table.totals().value(REQUESTS, RouteClass.PUBLIC, "200", HOT) == 1.0
    counts.copy(table.column(OWN))
    counts.copy(table.column(OWN))
    totals = table.totals()
    assert totals.value(REQUESTS, RouteClass.PUBLIC, "200", HOT) == 1.0
    assert totals.value(REQUESTS, RouteClass.PUBLIC, "304", HOT) == 1.0
    assert totals.value(RESPONSE_BYTES, RouteClass.PUBLIC) == 1000.0
    assert durations(totals, RouteClass.PUBLIC, HOT) == (2.0, 0.75)
    assert durations(totals, RouteClass.PUBLIC, COLD) == (0.0, 0.0)


def test_durations_that_nobody_copies_are_copied_before_they_are_many(
    table: Table, counts: RequestCounts
) -> None:
    count = counts.hot_counter(RouteClass.OWN)
    for _ in range(10_000):
        count(200, 10, 0.5)
    number, sum_s = durations(table.totals(), RouteClass.OWN, HOT)
    assert 10_000 - 4_096 < number < 10_000
    assert sum_s == number * 0.5
    assert table.totals().value(RESPONSE_BYTES, RouteClass.OWN) == number * 10


def test_a_status_that_the_gateway_never_sends_counts_as_other(
    table: Table, counts: RequestCounts
) -> None:
    counts.hot_counter(RouteClass.OWN)(299, 0, 0.1)
    counts.count_cold(RouteClass.OWN, 599, 0.1)
    totals = table.totals()
    assert totals.value(REQUESTS, RouteClass.OWN, "other", HOT) == 1.0
    assert totals.value(REQUESTS, RouteClass.OWN, "other", COLD) == 1.0


def test_a_refusal_by_the_server_has_no_duration(table: Table, counts: RequestCounts) -> None:
    counts.count_refused(408, "request_timeout", 60)
    totals = table.totals()
    assert totals.value(REQUESTS, RouteClass.OTHER, "408", COLD) == 1.0
    assert totals.value(REFUSALS, "request_timeout") == 1.0
    assert totals.value(RESPONSE_BYTES, RouteClass.OTHER) == 60.0
    assert durations(totals, RouteClass.OTHER, COLD) == (0.0, 0.0)
