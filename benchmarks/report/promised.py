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
        "warm file up to 128 KiB, JWT verified, per-user check, metrics on, against a bare app",
        "≥ 0.95",
        [("serve", "200 up to 128 KiB, against the bare app")],
    ),
    Row("the same, 304", "≥ 0.95", [("serve", "304, against the bare app")]),
    Row("manifest of ten plugins, warm, against the bare app", "≥ 0.5", [("serve", "manifest")]),
    Row(
        "against Starlette StaticFiles, and FileResponse with both lookups uncached",
        "≥ 10 times",
        [
            ("serve", "200, against Starlette StaticFiles"),
            ("serve", "304, against Starlette StaticFiles"),
            ("serve", "200, against FileResponse, lookups uncached"),
        ],
    ),
    Row("against Caddy's file_server, no checks", "≥ 1", [("serve", "against Caddy")]),
    Row(
        "behind nginx, against nginx serving the same folder: pinned URLs · authorize mode",
        "≥ 0.95 · ≥ 0.9",
        [("upstream", "")],
    ),
    Row(
        "warm lookup, identity to constructed path; the same at 1,000 and 1,000,000 users",
        "≤ 5 µs p50, ≤ 15 µs p99",
        [("lookup", "warm lookup"), ("scale", "warm lookup")],
    ),
    Row(
        "cold lookup, against one held aiosqlite query plus one file read",
        "≤ 1.3 times",
        [("lookup", "cold lookup")],
    ),
    Row(
        "10,000 concurrent misses for one user",
        "1 query, 1 file read",
        [("lookup", "10,000 concurrent misses")],
    ),
    Row(
        "shared against per-user: lifecycle managers in memory, files on disk, at 1,000 users",
        "≥ 99.8 % and ≥ 98 % less",
        [("resources", "")],
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
