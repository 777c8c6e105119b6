"""The state that is shown, out of the reports of all workers."""

from typing import Any

import pytest

from gateway.metrics.catalogue import (
    CACHE_ENTRIES,
    CHANGE_DELAY,
    CHANGES,
    SOURCE_DURATION,
    SOURCE_ERRORS,
    SOURCE_LOADS,
)
from gateway.metrics.process import ProcessMetrics
from gateway.overview.facts import HUNG_AFTER_S, View, facts_of
from gateway.overview.history import INTERVAL_S
from gateway.overview.samples import Sample, sample_of
from gateway.overview.state import is_nobody_served, state_of, status_of
from gateway.overview.verdicts import Verdict

NOW = 1_700_000_000.0


def source(name: str, **differs: Any) -> dict[str, Any]:
    return {
        "name": name,
        "failing_for_s": None,
        "is_circuit_open": False,
        "pending_s": None,
        "last_success_at": None,
        "last_error": None,
        "last_error_at": None,
        **differs,
    }


def report(pid: int, **differs: Any) -> dict[str, Any]:
    return {
        "pid": pid,
        "started_at": NOW - 100,
        "at": NOW - 0.5,
        "is_draining": False,
        "requests_per_s": 2.0,
        "cpu_cores": 0.1,
        "loop_delay_s": 0.001,
        "connections": 3,
        "memory_bytes": 8e7,
        "sources": [source(name) for name in ("database", "users", "shared")],
        "watch_errors": {},
        "changes": [],
        "refused": [],
        "slowest": [],
        **differs,
    }


def database_of(**differs: Any) -> list[dict[str, Any]]:
    return [source("database", **differs), source("users"), source("shared")]


def loads(at: float, count: int, errors: int = 0, name: str = "database") -> Sample:
    """A sample with these loads from one source."""
    metrics = ProcessMetrics.alone()
    metrics.column.counter(SOURCE_LOADS, name).add(count)
    metrics.column.counter(SOURCE_ERRORS, name).add(errors)
    metrics.column.histogram(SOURCE_DURATION, name).observe(0.002, count)
    return sample_of(metrics.totals(), INTERVAL_S, at)


def test_the_newest_outcome_of_all_workers_decides_whether_a_source_fails() -> None:
    failed = report(1, sources=database_of(last_error="it is away", last_error_at=NOW - 3))
    samples = [loads(NOW - 3, 3, errors=3)]
    assert facts_of(View(NOW, [failed], samples)).database.fails
    answered = report(2, sources=database_of(last_success_at=NOW - 2))
    assert not facts_of(View(NOW, [failed, answered], samples)).database.fails
    earlier = report(2, sources=database_of(last_success_at=NOW - 4))
    assert facts_of(View(NOW, [failed, earlier], samples)).database.fails


def test_only_the_last_minute_counts_and_only_seconds_decide_what_fails_now() -> None:
    samples = [loads(NOW - 59, 10, errors=10), loads(NOW - 61, 500, errors=500)]
    facts = facts_of(View(NOW, [report(1)], samples)).database
    assert (facts.loads, facts.errors, facts.recent_loads) == (10, 10, 0)


def test_an_open_circuit_and_the_oldest_load_of_any_worker_show() -> None:
    one = report(1, sources=database_of(is_circuit_open=True, pending_s=1.0))
    other = report(2, sources=database_of(pending_s=6.0))
    facts = facts_of(View(NOW, [one, other], [])).database
    assert (facts.open_circuits, facts.pending_s, facts.hangs) == (1, 6.0, True)


def test_what_a_worker_cannot_look_at_concerns_its_source() -> None:
    watches = [
        {"name": "postgres", "is_running": False, "last_error": "the connection ended"},
        {"name": "workers", "is_running": False, "last_error": "Read-only file system"},
    ]
    one = report(1, watch_errors={"users": "/srv/users: gone"}, changes=watches)
    facts = facts_of(View(NOW, [one], []))
    assert facts.users.watch_error == "/srv/users: gone"
    assert facts.shared.watch_error is None
    assert facts.database.watch_error == "the connection ended"


def test_a_worker_that_does_not_report_any_more_hangs() -> None:
    fine, hung = report(1), report(2, at=NOW - HUNG_AFTER_S - 0.1)
    draining = report(3, is_draining=True)
    view = View(NOW, [fine, hung, draining], [])
    assert facts_of(view).gateway.hung == 1
    workers = state_of(view, ProcessMetrics.alone().totals(), own_pid=3)["workers"]
    assert [it["state"] for it in workers] == ["serving", "hung", "draining"]
    assert [it["answers"] for it in workers] == [False, False, True]
    assert workers[0] == {
        "pid": 1,
        "started_at": NOW - 100,
        "connections": 3,
        "memory_bytes": 8e7,
        "cpu_cores": 0.1,
        "requests_per_s": 2.0,
        "loop_delay_s": 0.001,
        "state": "serving",
        "answers": False,
    }


def test_sources_changes_and_caches_show_the_sums_of_all_processes() -> None:
    metrics = ProcessMetrics.alone()
    column = metrics.column
    column.counter(SOURCE_LOADS, "database").add(5)
    column.counter(SOURCE_ERRORS, "database").add(2)
    column.counter(CHANGES, "workers").add(3)
    for delay_s in (0.02, 0.04):
        column.histogram(CHANGE_DELAY, "workers").observe(delay_s)
    column.gauge(CACHE_ENTRIES, "versions").set(7)
    heard = [{"name": "workers", "is_running": True, "last_error": None}]
    one = report(
        1,
        changes=heard,
        sources=database_of(
            last_success_at=NOW - 1, last_error="it was away", last_error_at=NOW - 9
        ),
    )
    other = report(2, changes=[{**heard[0], "is_running": False}])
    state = state_of(View(NOW, [one, other], []), metrics.totals(), own_pid=1)
    assert state["sources"][0] == {
        "name": "database",
        "state": "good",
        "loads": 5,
        "errors": 2,
        "p99_s": None,
        "circuit_open": 0,
        "pending_s": None,
        "last_success_at": NOW - 1,
        "last_error": "it was away",
        "last_error_at": NOW - 9,
    }
    assert state["change_sources"] == [
        {
            "name": "workers",
            "running": 1,
            "workers": 2,
            "heard": 3,
            "delay_s": pytest.approx(0.03),
            "last_error": None,
        }
    ]
    assert state["caches"]["versions"]["entries"] == 7
    assert state["caches"]["versions"]["bytes"] is None
    assert state["caches"]["assets"]["bytes"] == 0


def test_refused_and_slow_requests_are_those_of_all_workers() -> None:
    refused = {"code": "not_found", "path": "/x", "count": 2, "last_at": 5.0}
    slow = {"duration_s": 0.5, "at": 5.0, "path": "/x", "status": 200}
    one = report(1, refused=[refused], slowest=[slow])
    other = report(2, refused=[{**refused, "last_at": 4.0}], slowest=[{**slow, "duration_s": 0.7}])
    state = state_of(View(NOW, [one, other], []), ProcessMetrics.alone().totals(), own_pid=1)
    assert state["refused"] == [{**refused, "count": 4}]
    assert [it["duration_s"] for it in state["slowest"]] == [0.7, 0.5]


@pytest.mark.parametrize(
    ("failing", "is_unavailable", "is_draining", "status"),
    [
        ([], False, False, "ready"),
        (["database"], False, False, "degraded"),
        (["database"], True, False, "unavailable"),
        (["disk"], False, False, "degraded"),
        (["gateway"], False, False, "degraded"),
        (["database"], True, True, "draining"),
    ],
)
def test_the_status_follows_from_what_fails(
    failing: list[str], is_unavailable: bool, is_draining: bool, status: str
) -> None:
    found = [
        Verdict(part, "failing" if part in failing else "strained", f"{part}.")
        for part in ("database", "disk", "gateway")
    ]
    found_status, reasons = status_of(found, is_draining=is_draining, is_unavailable=is_unavailable)
    assert found_status == status
    if not is_draining:
        assert reasons == [f"{part}." for part in failing]


@pytest.mark.parametrize(
    ("differs", "is_served"),
    [
        ({}, True),
        ({"sources": database_of(failing_for_s=59.0)}, True),
        ({"sources": database_of(failing_for_s=61.0)}, False),
        ({"watch_errors": {"users": "Stale file handle: /srv/users"}}, False),
        # One file may be all that cannot be read.
        ({"sources": [source("database"), source("users", failing_for_s=99.0)]}, True),
    ],
)
def test_nobody_is_served_without_the_folders_or_long_without_the_database(
    differs: dict[str, Any], is_served: bool
) -> None:
    view = View(NOW, [report(1), report(2, **differs)], [])
    assert is_nobody_served(view, 60.0) is not is_served
