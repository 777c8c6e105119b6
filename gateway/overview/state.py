"""The state of a gateway, for people: what the console shows, as plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from gateway.metrics.catalogue import (
    CACHE_BYTES,
    CACHE_ENTRIES,
    CACHE_EVENT,
    CACHE_EVENTS,
    CACHES,
    CHANGE_DELAY,
    CHANGES,
    SOURCE_ERRORS,
    SOURCE_LOADS,
)
from gateway.metrics.table import Totals
from gateway.overview.facts import View, facts_of, newest
from gateway.overview.recent import MOST_SHOWN, Refused, Slow, most_refused
from gateway.overview.reports import Report
from gateway.overview.verdicts import (
    SLOW_DATABASE_S,
    SLOW_DISK_S,
    Facts,
    SourceFacts,
    Verdict,
    condition_of,
    verdicts,
)

State = dict[str, Any]


def state_of(view: View, totals: Totals, own_pid: int) -> State:
    """All that State has and that workers differ in, or share; without status and settings."""
    facts = facts_of(view)
    return {
        "time": view.now,
        "verdicts": [verdict._asdict() for verdict in verdicts(facts)],
        "workers": [_worker(view, report, own_pid) for report in view.reports],
        "sources": _sources(view, facts, totals),
        "change_sources": list(_change_sources(view.reports, totals)),
        "caches": {name: _cache(name, totals) for name in CACHES},
        "refused": [asdict(one) for one in _refused(view.reports)],
        "slowest": [asdict(one) for one in _slowest(view.reports)],
    }


def status_of(
    found: Sequence[Verdict], *, is_draining: bool, is_unavailable: bool
) -> tuple[str, list[str]]:
    """Status and reasons. `is_unavailable`: see `is_nobody_served`."""
    reasons = [verdict.sentence for verdict in found if verdict.state == "failing"]
    if is_draining:
        return "draining", ["The server is about to end."]
    if is_unavailable:
        return "unavailable", reasons
    return "degraded" if reasons else "ready", reasons


def is_nobody_served(view: View, lasting_s: float) -> bool:
    """Whether a folder is away that everybody needs, or the database has failed for longer than
    `lasting_s`: then nothing that is cached may answer any more.
    """
    if any(report["watch_errors"] for report in view.reports):
        return True
    return any((it["failing_for_s"] or 0.0) > lasting_s for it in view.sources("database"))


def _worker(view: View, report: Report, own_pid: int) -> dict[str, Any]:
    names = (
        "pid",
        "started_at",
        "connections",
        "memory_bytes",
        "cpu_cores",
        "requests_per_s",
        "loop_delay_s",
    )
    working = "draining" if report["is_draining"] else "serving"
    return {
        **{name: report[name] for name in names},
        "state": "hung" if view.is_hung(report) else working,
        "answers": report["pid"] == own_pid,
    }


def _sources(view: View, facts: Facts, totals: Totals) -> list[dict[str, Any]]:
    return [
        _source(view, "database", facts.database, SLOW_DATABASE_S, totals),
        _source(view, "users", facts.users, SLOW_DISK_S, totals),
        _source(view, "shared", facts.shared, SLOW_DISK_S, totals),
    ]


def _source(
    view: View, name: str, facts: SourceFacts, slow_s: float, totals: Totals
) -> dict[str, Any]:
    states = view.sources(name)
    success, error = newest(states, "last_success_at"), newest(states, "last_error_at")
    return {
        "name": name,
        "state": condition_of(facts, slow_s),
        "loads": int(totals.value(SOURCE_LOADS, name)),
        "errors": int(totals.value(SOURCE_ERRORS, name)),
        "p99_s": facts.p99_s,
        "circuit_open": facts.open_circuits,
        "pending_s": facts.pending_s,
        "last_success_at": None if success is None else success["last_success_at"],
        "last_error": None if error is None else error["last_error"],
        "last_error_at": None if error is None else error["last_error_at"],
    }


def _change_sources(reports: Sequence[Report], totals: Totals) -> Iterable[dict[str, Any]]:
    names = dict.fromkeys(source["name"] for report in reports for source in report["changes"])
    for name in names:
        states = [it for report in reports for it in report["changes"] if it["name"] == name]
        delays = totals.distribution(CHANGE_DELAY, name)
        measured = sum(delays.counts)
        errors = [state["last_error"] for state in states if state["last_error"] is not None]
        yield {
            "name": name,
            "running": sum(state["is_running"] for state in states),
            "workers": len(states),
            "heard": int(totals.value(CHANGES, name)),
            "delay_s": delays.sum_s / measured if measured else None,
            "last_error": errors[-1] if errors else None,
        }


def _cache(name: str, totals: Totals) -> dict[str, Any]:
    return {
        "entries": int(totals.value(CACHE_ENTRIES, name)),
        "bytes": totals.value(CACHE_BYTES, name) if (name,) in CACHE_BYTES.rows else None,
        **{event: int(totals.value(CACHE_EVENT, name, event)) for event in CACHE_EVENTS},
    }


def _refused(reports: Iterable[Report]) -> list[Refused]:
    return most_refused([Refused(**one) for report in reports for one in report["refused"]])


def _slowest(reports: Iterable[Report]) -> list[Slow]:
    slow = (Slow(**one) for report in reports for one in report["slowest"])
    return sorted(slow, reverse=True)[:MOST_SHOWN]
