"""The catalogue of series: fixed, complete, and one row for each number."""

import re

import pytest

from gateway.errors import RequestError
from gateway.metrics.catalogue import (
    BOUNDS_S,
    CACHE_EVENT,
    CACHES,
    CHANGE_SOURCE_RUNNING,
    CODES,
    FAMILIES,
    PASSING_ROWS,
    REFUSALS,
    REQUEST_DURATION,
    REQUESTS,
    ROW_COUNT,
    STATUSES,
    WORKERS,
    Family,
    Kind,
    RouteClass,
)

each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def test_each_number_has_a_row_of_its_own() -> None:
    taken = [
        row
        for family in FAMILIES
        for first in family.rows.values()
        for row in range(first, first + family.rows_of_series)
    ]
    assert taken == list(range(ROW_COUNT))


@each_family
def test_a_name_follows_the_conventions(family: Family) -> None:
    """prometheus.io/docs/practices/naming: a unit, in the plural, and `_total` for counters."""
    assert re.fullmatch(r"gateway(_[a-z]+)+", family.name)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    if family.kind is Kind.HISTOGRAM:
        assert family.name.endswith("_seconds")
    assert family.help.endswith(".")


def test_every_error_code_and_status_of_an_error_is_listed() -> None:
    def classes(of: type[RequestError]) -> list[type[RequestError]]:
        return [of, *(deeper for child in of.__subclasses__() for deeper in classes(child))]

    for error in classes(RequestError):
        assert getattr(error, "code", "other") in CODES
        assert str(getattr(error, "status", "other")) in STATUSES


def test_a_value_that_is_not_listed_counts_as_other() -> None:
    assert REFUSALS.row("never_heard_of") == REFUSALS.row("other")
    assert REQUESTS.row(RouteClass.OWN, "418", "hot") == REQUESTS.row("own", "other", "hot")
    assert REQUESTS.row("own", "200", "hot") != REQUESTS.row("own", "other", "hot")


def test_a_value_that_is_not_listed_is_an_error_where_nothing_is_other() -> None:
    with pytest.raises(KeyError):
        CACHE_EVENT.row("no_such_cache", "hits")
    with pytest.raises(ValueError, match="longer"):
        CACHE_EVENT.row(CACHES[0])


def test_gauges_end_with_their_process_and_counters_do_not() -> None:
    assert WORKERS.row() in PASSING_ROWS
    assert CHANGE_SOURCE_RUNNING.row("sqlite") + 1 in PASSING_ROWS
    assert REQUESTS.row("own", "200", "hot") not in PASSING_ROWS
    assert REQUEST_DURATION.row("own", "hot") not in PASSING_ROWS


def test_buckets_are_few_and_in_order() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
    assert len(BOUNDS_S) < 15
