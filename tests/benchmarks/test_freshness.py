"""The pure part of `benchmarks freshness`. Nothing here measures anything."""

import pytest

from benchmarks.freshness.changes import CHANGES
from benchmarks.freshness.command import Series, judge_series
from benchmarks.promises import PROMISES, Outcome
from benchmarks.record import Record


@pytest.mark.parametrize(
    ("share", "percentile"), [(0.0, 1), (0.5, 100), (0.501, 101), (0.99, 198), (1.0, 200)]
)
def test_a_percentile_is_the_smallest_delay_that_so_many_do_not_exceed(
    share: float, percentile: int
) -> None:
    series = Series("", 1, "", [float(number) for number in range(200, 0, -1)])
    assert series.percentile_s(share) == percentile


@pytest.mark.parametrize(
    ("delays_s", "late", "outcome"),
    [
        ([0.1] * 100, 0, Outcome.KEPT),
        ([0.1] * 99 + [9.0], 0, Outcome.KEPT),
        ([0.1] * 98 + [0.2] * 2, 0, Outcome.MISSED),
        ([0.1] * 1000, 1, Outcome.MISSED),
        ([0.1] * 99, 0, Outcome.NOT_JUDGED),
        ([], 1, Outcome.MISSED),
    ],
)
def test_a_promise_is_kept_by_99_of_100_and_by_none_that_never_came(
    delays_s: list[float], late: int, outcome: Outcome
) -> None:
    record = Record("freshness", {})
    judge_series(record, "fresh_worker", [Series("", 1, "fresh_worker", delays_s, late)])
    assert record.verdicts[0].outcome is outcome


def test_the_promises_are_those_of_the_design() -> None:
    promised_ms = {change.name: PROMISES[change.promise].bound.value for change in CHANGES}
    assert promised_ms == {
        "SQLite commit, rollback journal": 250,
        "SQLite commit, write-ahead log": 250,
        "JSON replaced": 250,
        "told by another worker": 100,
        "PostgreSQL commit": 50,
    }
