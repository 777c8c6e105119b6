"""Totals as text, read back by the parser of another project."""

from gateway.metrics.catalogue import (
    BUILD_INFO,
    CONNECTIONS,
    LOOP_DELAY,
    REQUESTS,
    SOURCE_ERRORS,
    START_TIME,
    RouteClass,
)
from gateway.metrics.exposition import render
from gateway.metrics.table import OWN, Table
from tests.support.scrapes import Scrape

BUILD = {BUILD_INFO: {"version": "1.2.3", "python_version": "3.11"}}


def test_what_was_counted_is_read_back() -> None:
    table = Table.alone()
    column = table.column(OWN)
    column.counter(REQUESTS, RouteClass.OWN, "200", "hot").add(3.0)
    column.counter(REQUESTS, RouteClass.OWN, "404", "cold").add()
    column.gauge(CONNECTIONS).set(2.0)
    column.gauge(START_TIME).set(1_796_019_720.137)
    found = Scrape(render(table.totals(), BUILD))
    assert found.total("gateway_requests_total", route="own", status="200", path="hot") == 3.0
    assert found.total("gateway_requests_total") == 4.0
    assert found.total("gateway_connections") == 2.0
    assert found.total("gateway_start_time_seconds") == 1_796_019_720.137
    assert found.total("gateway_build_info", version="1.2.3", python_version="3.11") == 1.0
    assert found.types["gateway_start_time_seconds"] == "gauge"


def test_buckets_are_cumulated_and_the_last_one_is_the_count() -> None:
    table = Table.alone()
    delays = table.column(OWN).histogram(LOOP_DELAY)
    for delay_s in (0.00002, 0.0002, 0.0002, 0.2, 20.0):
        delays.observe(delay_s)
    found = Scrape(render(table.totals(), {}))
    name = "gateway_event_loop_delay_seconds"
    buckets = {
        bound: found.total(f"{name}_bucket", le=bound)
        for bound in ("1e-05", "3e-05", "0.0003", "0.1", "0.3", "10.0", "+Inf")
    }
    assert list(buckets.values()) == [0.0, 1.0, 3.0, 3.0, 4.0, 4.0, 5.0]
    assert found.total(f"{name}_count") == 5.0
    assert found.total(f"{name}_sum") == 20.20042


def test_zero_is_shown_where_it_says_something() -> None:
    text = render(Table.alone().totals(), {})
    assert "gateway_requests_total" not in text
    assert 'gateway_worker_restarts_total{cause="died"} 0.0\n' in text
    assert 'gateway_refusals_total{code="invalid_token"} 0.0\n' in text
    assert f'{SOURCE_ERRORS.name}{{source="users"}} 0.0\n' in text
