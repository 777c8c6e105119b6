"""Is it the database, the disk, or us? A row for each rule, and for what must not decide."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.overview.facts import HUNG_AFTER_S
from gateway.overview.verdicts import (
    BUSY_CORES,
    HANGS_AFTER_S,
    RULES,
    SLOW_DATABASE_S,
    SLOW_DISK_S,
    SLOW_LOOP_S,
    Facts,
    GatewayFacts,
    SourceFacts,
    verdicts,
)

DATABASE = SourceFacts("the database", loads=100, p99_s=0.004)
USERS = SourceFacts("the users' folder", loads=50, p99_s=0.001)
SHARED = SourceFacts("the shared folder", loads=50, p99_s=0.002)
GATEWAY = GatewayFacts(workers=4, requests=1000, p99_s=0.003, busiest_cores=0.2)

REASON = {"last_error": "Connection refused: 10.0.0.5", "is_newest_an_error": True}
ROWS: list[tuple[str, Mapping[str, Any], str, str, str]] = [
    # part of the facts, what differs, the part that it concerns, its state, its sentence
    (
        "database",
        {},
        "database",
        "good",
        "The database answers: 100 loads in the last minute, 99 % within 4 ms.",
    ),
    (
        "database",
        {"loads": 0, "p99_s": None},
        "database",
        "good",
        "The database was not asked for anything in the last minute.",
    ),
    (
        "database",
        {**REASON, "errors": 3, "open_circuits": 2},
        "database",
        "failing",
        "The database cannot be read: Connection refused: 10.0.0.5.",
    ),
    (
        "database",
        {**REASON, "errors": 3, "recent_loads": 6, "recent_errors": 3},
        "database",
        "failing",
        "The database cannot be read: Connection refused: 10.0.0.5.",
    ),
    (  # another worker has had an answer since
        "database",
        {**REASON, "errors": 3, "open_circuits": 1, "is_newest_an_error": False},
        "database",
        "strained",
        "The database failed for 3 of 100 loads in the last minute; last: Connection refused:"
        " 10.0.0.5.",
    ),
    (  # fewer than half of the loads
        "database",
        {**REASON, "errors": 3, "recent_loads": 7, "recent_errors": 3},
        "database",
        "strained",
        "The database failed for 3 of 100 loads in the last minute; last: Connection refused:"
        " 10.0.0.5.",
    ),
    (  # it may be one file
        "users",
        {**REASON, "errors": 2, "recent_loads": 2, "recent_errors": 2},
        "disk",
        "strained",
        "The users' folder failed for 2 of 50 loads in the last minute; last: Connection refused:"
        " 10.0.0.5.",
    ),
    (  # the failure is old, and nothing was asked since
        "database",
        REASON,
        "database",
        "good",
        "The database answers: 100 loads in the last minute, 99 % within 4 ms.",
    ),
    (
        "database",
        {"pending_s": 7.25},
        "database",
        "failing",
        "The database has not answered for 7.2 s.",
    ),
    (
        "database",
        {"pending_s": 1.9},
        "database",
        "good",
        "The database answers: 100 loads in the last minute, 99 % within 4 ms.",
    ),
    (
        "database",
        {"watch_error": "no database file /srv/app.db"},
        "database",
        "failing",
        "The database cannot be looked at: no database file /srv/app.db.",
    ),
    (
        "database",
        {"p99_s": 0.45},
        "database",
        "strained",
        "The database is slow: 1 % of the loads take more than 450 ms.",
    ),
    (
        "users",
        {},
        "disk",
        "good",
        "The disk answers: 100 loads in the last minute, 99 % within 2 ms.",
    ),
    (
        "users",
        {**REASON, "errors": 3, "recent_loads": 3, "recent_errors": 3},
        "disk",
        "failing",
        "The users' folder cannot be read: Connection refused: 10.0.0.5.",
    ),
    (
        "shared",
        {**REASON, "errors": 3, "recent_loads": 3, "recent_errors": 3},
        "disk",
        "failing",
        "The shared folder cannot be read: Connection refused: 10.0.0.5.",
    ),
    (
        "users",
        {"pending_s": 9.0},
        "disk",
        "failing",
        "The users' folder has not answered for 9.0 s.",
    ),
    (
        "shared",
        {"pending_s": 9.0},
        "disk",
        "failing",
        "The shared folder has not answered for 9.0 s.",
    ),
    (
        "users",
        {"watch_error": "/srv/users: Input/output error"},
        "disk",
        "failing",
        "The users' folder cannot be looked at: /srv/users: Input/output error.",
    ),
    (
        "shared",
        {"watch_error": "/srv/shared: Stale file handle"},
        "disk",
        "failing",
        "The shared folder cannot be looked at: /srv/shared: Stale file handle.",
    ),
    (
        "users",
        {"errors": 2, "last_error": "ada's file: Permission denied"},
        "disk",
        "strained",
        "The users' folder failed for 2 of 50 loads in the last minute; last: ada's file:"
        " Permission denied.",
    ),
    (
        "shared",
        {"errors": 2, "last_error": "Permission denied"},
        "disk",
        "strained",
        "The shared folder failed for 2 of 50 loads in the last minute; last: Permission denied.",
    ),
    (
        "users",
        {"p99_s": 0.2},
        "disk",
        "strained",
        "The users' folder is slow: 1 % of the loads take more than 200 ms.",
    ),
    (
        "shared",
        {"p99_s": 1.5},
        "disk",
        "strained",
        "The shared folder is slow: 1 % of the loads take more than 1.5 s.",
    ),
    (
        "gateway",
        {},
        "gateway",
        "good",
        "The gateway answers: 1000 requests in the last minute, 99 % within 3 ms.",
    ),
    (
        "gateway",
        {"requests": 0},
        "gateway",
        "good",
        "The gateway was not asked for anything in the last minute.",
    ),
    ("gateway", {"hung": 1}, "gateway", "failing", "Workers that do not answer: 1 of 4."),
    (
        "gateway",
        {"internal_errors": 2},
        "gateway",
        "failing",
        "Errors of the gateway's own in the last minute: 2; the log has the traceback.",
    ),
    (
        "gateway",
        {"restarts": 1},
        "gateway",
        "strained",
        "Workers that ended in the last minute and were replaced: 1.",
    ),
    (
        "gateway",
        {"busiest_cores": 0.97},
        "gateway",
        "strained",
        "A worker uses 97% of a processor: raise server.workers, if there are free processors.",
    ),
    (
        "gateway",
        {"loop_delay_s": 0.2},
        "gateway",
        "strained",
        "The workers are late by up to 200 ms: the machine is busy.",
    ),
]
USUAL = Facts(DATABASE, USERS, SHARED, GATEWAY)


def facts(of: str, differs: Mapping[str, Any]) -> Facts:
    """The usual ones, but for one part."""
    return replace(USUAL, **{of: replace(getattr(USUAL, of), **differs)})


@pytest.mark.parametrize(("of", "differs", "part", "state", "sentence"), ROWS)
def test_the_first_rule_that_holds_decides(
    of: str, differs: Mapping[str, Any], part: str, state: str, sentence: str
) -> None:
    found = verdicts(facts(of, differs))
    assert [it.part for it in found] == ["database", "disk", "gateway"]
    (verdict,) = [it for it in found if it.part == part]
    assert (verdict.state, verdict.sentence) == (state, sentence)
    assert {it.state for it in found if it.part != part} == {"good"}


def test_each_rule_has_a_row() -> None:
    decided = set()
    for of, differs, part, _, _ in ROWS:
        known = facts(of, differs)
        rules = [rule for rule in RULES if rule.part == part]
        decided.add(next(RULES.index(rule) for rule in rules if rule.holds(rule.facts(known))))
    assert decided == set(range(len(RULES)))


def test_what_fails_comes_before_what_is_strained_in_the_table() -> None:
    order = {"failing": 0, "strained": 1, "good": 2}
    for part in ("database", "disk", "gateway"):
        states = [order[rule.condition] for rule in RULES if rule.part == part]
        assert states == sorted(states)


def test_the_documentation_has_the_bounds_and_the_parts_of_the_rules() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "monitoring" / "README.md").read_text()
    _, _, section = page.partition("## Is it the database, the disk, or the gateway?")
    rows = re.findall(r"^\| (\w+) \| (failing|strained) \| (.*) \|$", section, re.MULTILINE)
    by_part = {(part, state): "" for part, state, _ in rows}
    for part, state, text in rows:
        by_part[part, state] += text
    assert set(by_part) == {
        (rule.part, rule.condition) for rule in RULES if rule.condition != "good"
    }
    for (part, state), bound in {
        ("database", "failing"): f"more than {HANGS_AFTER_S:.0f} s",
        ("disk", "failing"): f"more than {HANGS_AFTER_S:.0f} s",
        ("database", "strained"): f"more than {SLOW_DATABASE_S} s",
        ("disk", "strained"): f"more than {SLOW_DISK_S} s",
        ("gateway", "strained"): f"{BUSY_CORES:.0%}",
        ("gateway", "failing"): f"not reported for {HUNG_AFTER_S:.0f} s",
    }.items():
        assert bound.replace("%", " %") in by_part[part, state]
    assert f"late by more than {SLOW_LOOP_S} s" in by_part["gateway", "strained"]
