"""`benchmarks soak`: what is flat. Pure."""

import pytest

from benchmarks.promises import Outcome, Verdict
from benchmarks.record import Record
from benchmarks.soak.counts import FLAT, Sample, judge_flatness


def _samples(duration_s: int, growth_per_s: float) -> list[Sample]:
    return [
        Sample(float(second), dict.fromkeys(FLAT, 50 + growth_per_s * second))
        for second in range(duration_s + 1)
    ]


def _verdicts(samples: list[Sample]) -> list[Verdict]:
    record = Record("soak", {})
    judge_flatness(record, samples)
    return record.verdicts


@pytest.mark.parametrize(
    ("duration_s", "growth_per_s", "outcome"),
    [
        (200, 0.0, Outcome.KEPT),
        (200, 0.2, Outcome.MISSED),
        (200, -0.2, Outcome.KEPT),
        (20, 0.2, Outcome.NOT_JUDGED),
    ],
)
def test_what_grows_through_a_long_soak_is_not_flat(
    duration_s: int, growth_per_s: float, outcome: Outcome
) -> None:
    verdicts = _verdicts(_samples(duration_s, growth_per_s))
    assert {verdict.outcome for verdict in verdicts} == {outcome}
    assert len(verdicts) == len(FLAT)


def test_growth_while_the_caches_fill_is_not_held_against_the_server() -> None:
    filling = _samples(60, 1.0)
    filled = [Sample(each.at_s + 61, dict.fromkeys(FLAT, 110.0)) for each in _samples(140, 0.0)]
    assert {each.outcome for each in _verdicts([*filling, *filled])} == {Outcome.KEPT}
