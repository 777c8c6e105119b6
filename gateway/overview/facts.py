"""The facts that verdicts are made from, out of the reports of all workers and the last minute."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gateway.overview.reports import Report
from gateway.overview.samples import Minute, Sample, percentile, sum_up
from gateway.overview.verdicts import Facts, GatewayFacts, SourceFacts

HUNG_AFTER_S = 5.0
"""A worker that has not reported for this long hangs. It reports every second or two."""
MINUTE_S = 60.0
_RECENT_S = 10.0
_NAMES = {"database": "the database", "users": "the users' folder", "shared": "the shared folder"}
_DATABASE_WATCHES = ("sqlite", "postgres")


class View(NamedTuple):
    """What is known of all workers at a moment."""

    now: float
    """In seconds since the epoch."""
    reports: Sequence[Report]
    samples: Sequence[Sample]
    """Of the last minute."""

    def is_hung(self, report: Report) -> bool:
        return bool(self.now - report["at"] > HUNG_AFTER_S)

    def sources(self, name: str) -> list[dict[str, Any]]:
        """The state of this source in each worker."""
        return [
            source
            for report in self.reports
            for source in report["sources"]
            if source["name"] == name
        ]

    def since(self, duration_s: float) -> Minute:
        return sum_up([it for it in self.samples if it.shown["time"] > self.now - duration_s])


def facts_of(view: View) -> Facts:
    minute, recent = view.since(MINUTE_S), view.since(_RECENT_S)
    database, users, shared = (
        _source_facts(view, name, minute, recent) for name in ("database", "users", "shared")
    )
    return Facts(database, users, shared, _gateway_facts(view, minute))


def newest(states: Sequence[dict[str, Any]], moment: str) -> dict[str, Any] | None:
    """The state with the newest moment of this name; None if no state has one."""
    known = [state for state in states if state[moment] is not None]
    return max(known, key=lambda state: state[moment], default=None)


def _source_facts(view: View, name: str, minute: Minute, recent: Minute) -> SourceFacts:
    states = view.sources(name)
    error, success = newest(states, "last_error_at"), newest(states, "last_success_at")
    is_error = error is not None and (
        success is None or error["last_error_at"] > success["last_success_at"]
    )
    return SourceFacts(
        name=_NAMES[name],
        loads=minute.loads[name],
        errors=minute.errors[name],
        p99_s=percentile(minute.durations[name], 0.99),
        recent_loads=recent.loads[name],
        recent_errors=recent.errors[name],
        open_circuits=sum(state["is_circuit_open"] for state in states),
        pending_s=max((it["pending_s"] for it in states if it["pending_s"]), default=None),
        last_error="" if error is None else error["last_error"],
        is_newest_an_error=is_error,
        watch_error=_watch_error(view, name),
    )


def _watch_error(view: View, name: str) -> str | None:
    """Why the looks fail that no request asks for: of the worker that reported last."""
    for report in sorted(view.reports, key=lambda it: it["at"], reverse=True):
        if name in report["watch_errors"]:
            return str(report["watch_errors"][name])
        for source in report["changes"] if name == "database" else ():
            if source["name"] in _DATABASE_WATCHES and source["last_error"] is not None:
                return str(source["last_error"])
    return None


def _gateway_facts(view: View, minute: Minute) -> GatewayFacts:
    return GatewayFacts(
        workers=len(view.reports),
        hung=sum(map(view.is_hung, view.reports)),
        restarts=minute.restarts,
        internal_errors=minute.internal_errors,
        loop_delay_s=percentile(minute.loop_delays, 0.99),
        busiest_cores=max((report["cpu_cores"] for report in view.reports), default=0.0),
        requests=minute.requests,
        p99_s=percentile(minute.request_durations, 0.99),
    )
