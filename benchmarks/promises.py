"""Every promise that is made in numbers, in one table, and the judgement of a run. Pure.

A command says what it measured by a promise's key; several commands may measure the same promise.
To add a promise, add a row here, and call `record.judge` with its key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from benchmarks.figures import Spread


class Outcome(Enum):
    KEPT = "kept"
    MISSED = "missed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Bound:
    """The least value that is promised; the greatest, with `at_most`."""

    value: float
    unit: str = ""
    """Empty for ratios and counts."""
    at_most: bool = False

    def holds(self, figure: float) -> bool:
        return figure <= self.value if self.at_most else figure >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.value:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Promise:
    key: str
    text: str
    bound: Bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a promise in one run."""

    promise: Promise
    outcome: Outcome
    figures: Mapping[str, Spread]
    """By the name of the case in which the promise must hold."""
    remark: str = ""


def _at_least(key: str, value: float, text: str) -> Promise:
    return Promise(key, text, Bound(value))


def _at_most(key: str, value: float, unit: str, text: str) -> Promise:
    return Promise(key, text, Bound(value, unit, at_most=True))


# "bare": an application that sends the gateway's bytes and fields, and nothing else.
_TABLE = (
    _at_least("page_load", 0.5, "page loads of users never seen, pinned or own URLs, against bare"),
    _at_least("first_request", 1.0, "first request of a known user, 200 and 304, against bare"),
    _at_least("same_again", 1.2, "the same request again, up to 128 KiB, against bare"),
    _at_least("one_file", 0.2, "one file each of users never seen, 64 at a time, against bare"),
    _at_most("one_file_p99", 50, "ms", "one file each of users never seen, 64 at a time, p99"),
    _at_most("queries_at_once", 500, "", "queries for 10,000 users who come at once"),
    _at_most("queries_per_view", 0.25, "", "queries for a page view, each user once a minute"),
    _at_least("manifest", 1.0, "manifest of ten plugins, known user, against bare"),
    _at_least("first_staticfiles", 5, "first requests, against Starlette StaticFiles"),
    _at_least("first_uncached", 20, "first requests, against FileResponse, lookups uncached"),
    _at_least("first_caddy", 2, "first requests, against Caddy's file_server"),
    _at_least("behind_nginx", 0.9, "pinned public URLs behind nginx, against nginx alone"),
    _at_most("lookup_p50", 5, "µs", "warm lookup, up to 100,000 warm users, p50"),
    _at_most("lookup_p99", 15, "µs", "warm lookup, up to 100,000 warm users, p99"),
    _at_most("concurrent_misses", 1, "", "queries, file reads for 10,000 misses of one user"),
    _at_most("memory_lookup", 2, "KiB", "memory of a known user with 20 plugins, lookups alone"),
    _at_most("memory_page", 5, "KiB", "memory of a user who has loaded a page of 5 plugins"),
    _at_most("idle_10k", 0.2, "%", "a core's time while nobody asks, 10,000 users known"),
    _at_most("idle_100k", 1, "%", "a core's time while nobody asks, 100,000 users known"),
    _at_most("start", 1, "s", "start with 1,000 versions, up to 1,000,000 users"),
    _at_least("shared_memory", 0.998, "memory of lifecycle managers saved by sharing, 1,000 users"),
    _at_least("shared_disk", 0.98, "disk saved by sharing, 1,000 users"),
    _at_most("fresh_sqlite", 250, "ms", "a SQLite commit shows in every worker, p99"),
    _at_most("fresh_json", 250, "ms", "a replaced JSON file shows in every worker, p99"),
    _at_most("fresh_worker", 100, "ms", "a worker's change shows in every worker, p99"),
    _at_most("fresh_postgres", 50, "ms", "a PostgreSQL commit shows in every worker, p99"),
    _at_most(
        "upgrade_bytes", 0.15, "", "bytes of a patch upgrade, of those in br, median of packages"
    ),
    _at_most("browser_second", 0, "", "browser: requests for files, second visit, pinned URLs"),
    _at_most("browser_upgrade_bytes", 0.15, "", "browser: files after a patch, of their br size"),
    _at_most(
        "browser_first", 0.5, "", "browser: first visit behind nginx, against the application"
    ),
    _at_most("browser_upgrade", 0.25, "", "browser: after a patch, nginx against the application"),
    _at_most("outage", 0, "", "failed requests while the database is gone for 60 s, users warm"),
    # Beyond the design. A leak of one thread or task with every thousandth request rises by four
    # times as much as its bound allows; a busy moment near the end of a flat line by less.
    _at_most("soak_memory", 8, "MiB", "soak: rise of the line that fits memory"),
    _at_most("soak_threads", 8, "", "soak: rise of the line that fits the number of threads"),
    _at_most("soak_tasks", 8, "", "soak: rise of the line that fits the number of tasks"),
    _at_most("soak_descriptors", 4, "", "soak: file descriptors that stay open after the load"),
    _at_most("soak_5xx", 0, "", "soak: answers with 5xx, and requests without an answer"),
)

PROMISES: Mapping[str, Promise] = {promise.key: promise for promise in _TABLE}


def judge(
    promise: Promise, figures: Mapping[str, Spread], *, doubt: str = "", broken: str = ""
) -> Verdict:
    """Kept if the bound holds for the median of every figure.

    doubt: why nothing can be judged, such as a run that was too short. broken: why the promise is
    missed whatever the figures are.
    """
    disturbed = [case for case, figure in figures.items() if figure.doubtful]
    if disturbed and not doubt:
        doubt = f"every round was disturbed: {', '.join(disturbed)}"
    if broken:
        return Verdict(promise, Outcome.MISSED, figures, broken)
    if doubt or not figures:
        return Verdict(promise, Outcome.NOT_JUDGED, figures, doubt or "not measured")
    kept = all(promise.bound.holds(figure.median) for figure in figures.values())
    return Verdict(promise, Outcome.KEPT if kept else Outcome.MISSED, figures)
