"""The promises that the design makes in numbers, and what tells whether they hold. Pure.

A row names verdicts by their command and the beginning of their text. Verdicts that no row names
are shown after the rows: a command may promise more than the design does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEPT, MISSED, NOT_JUDGED = "kept", "missed", "not judged"
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    promised: str
    measured_by: Sequence[tuple[str, str]] = ()
    """(command, beginning of the promise's text)."""
    remark: str = ""


ROWS = (
    Row(
        "page loads of users never seen: the manifest, then 10 pinned public files, or 10 unpinned"
        " ones with the token, against a bare app",
        "≥ 0.5",
        [("pages", "page loads of users never seen")],
    ),
    Row(
        "first request of a known user for a file, 200 and 304, against the bare app",
        "≥ 1.0",
        [("pages", "first request of a known user")],
    ),
    Row(
        "the same request again, files up to 128 KiB, against the bare app",
        "≥ 1.2",
        [("pages", "the same request again"), ("serve", "the same request again")],
    ),
    Row(
        "one file each of users never seen, 64 at a time, against the bare app",
        "≥ 0.2, p99 ≤ 50 ms",
        [("pages", "one file each of users never seen")],
    ),
    Row("queries for 10,000 users who come at once", "≤ 500", [("storm", "queries for")]),
    Row(
        "queries for a page view, 20,000 users, each once a minute, nothing changes",
        "≤ 0.25",
        [("storm", "queries per page view")],
    ),
    Row(
        "manifest of ten plugins, known user, against the bare app",
        "≥ 1.0",
        [("serve", "manifest")],
    ),
    Row(
        "first requests against Starlette StaticFiles · FileResponse with both lookups uncached ·"
        " Caddy's file_server",
        "≥ 5 · ≥ 20 · ≥ 2 times",
        [("pages", "first requests, against")],
    ),
    Row(
        "behind nginx, against nginx serving the same folder: pinned URLs of the public route",
        "≥ 0.9",
        [("upstream", "")],
    ),
    Row(
        "warm lookup, identity to constructed path, in process, also with 100,000 warm users",
        "≤ 5 µs p50, ≤ 15 µs p99",
        [("lookup", "warm lookup"), ("scale", "warm lookup")],
    ),
    Row(
        "10,000 concurrent misses for one user",
        "1 query, 1 file read",
        [("lookup", "10,000 concurrent misses")],
    ),
    Row(
        "memory of a known user with 20 plugins, lookups alone · of a user with 5 plugins who has"
        " loaded a page",
        "≤ 2 KiB · ≤ 5 KiB",
        [("scale", "memory of a cached user"), ("storm", "memory of a user")],
    ),
    Row(
        "a core's time while nobody asks, 10,000 · 100,000 users known",
        "≤ 0.2 % · ≤ 1 %",
        [("storm", "a core's time")],
    ),
    Row("start with 1,000 versions, up to 1,000,000 users", "≤ 1 s", [("scale", "start")]),
    Row(
        "shared against per-user: lifecycle managers in memory, files on disk, at 1,000 users",
        "≥ 99.8 % and ≥ 98 % less",
        [("resources", "")],
    ),
    Row(
        "SQLite and JSON changes · PostgreSQL · what a worker changes, at p99 in every worker",
        "≤ 250 ms · ≤ 50 ms · ≤ 100 ms",
        [("freshness", "")],
    ),
    Row("database gone for 60 s, users warm", "no failed request", [("soak", "database gone")]),
    Row(
        "kill -9 at any moment of publish, install, update, migrate",
        "old or new state",
        remark="held by tests, which kill the process; there is nothing to measure",
    ),
)
"""Section 10 of the design, row by row."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the page's first table."""

    text: str
    promised: str
    outcome: str
    lines: Sequence[str]
    brief: str
    """The medians alone, in one line."""


def shown_promises(records: Mapping[str, Mapping[str, Any]]) -> Iterator[Shown]:
    """`records`: by command, as they are in the JSON files."""
    left = {command: list(record.get("promises", ())) for command, record in records.items()}
    for row in ROWS:
        found = []
        for command, start in row.measured_by:
            named = [each for each in left.get(command, ()) if each["promise"].startswith(start)]
            left[command] = [each for each in left.get(command, ()) if each not in named]
            found += named
        several = len(found) > 1
        lines = [line for each in found for line in _lines(each, named=several)]
        said = lines or [row.remark or NOT_MEASURED]
        brief = "; ".join(_medians(each, named=several) for each in found)
        yield Shown(row.text, row.promised, _outcome(found), said, brief)
    for command, others in left.items():
        for each in others:
            text = f"{each['promise']} ({command})"
            bound = each.get("bound", "")
            yield Shown(text, bound, each["outcome"], _lines(each), _medians(each, named=False))


def _outcome(found: Sequence[Mapping[str, Any]]) -> str:
    """The worst; nothing is kept where a part of it was not judged."""
    outcomes = {each["outcome"] for each in found}
    for outcome in (MISSED, NOT_JUDGED, KEPT):
        if outcome in outcomes:
            return outcome
    return NOT_MEASURED


def _lines(promise: Mapping[str, Any], *, named: bool = False) -> list[str]:
    """`named`: with the promise's own text, where others stand beside it."""
    lines = [promise["remark"]] if promise.get("remark") else []
    prefix = f"{promise['promise']}: " if named else ""
    for place, spread in promise.get("figures", {}).items():
        low, high = (_number(spread[name]) for name in ("low", "high"))
        median = _number(spread["median"])
        rounds = "" if low == high else f" [{low} to {high}]"
        lines.append(f"{prefix}{median}{rounds}, {place}")
    return lines


def _medians(promise: Mapping[str, Any], *, named: bool) -> str:
    medians = ", ".join(
        f"{_number(spread['median'])} ({place})"
        for place, spread in promise.get("figures", {}).items()
    )
    return f"{promise['promise']}: {medians}" if named else medians


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
