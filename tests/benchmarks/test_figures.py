"""What is made of measured numbers, and how a promise is judged. Pure."""

import pytest

from benchmarks.figures import Latencies, Spread, exactly, fitted_line, ratio_of_rounds, spread_of
from benchmarks.promises import PROMISES, Bound, Outcome, Promise, judge


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Not the ratio of the medians: 300/200, which no round has seen."""
    ours = {1: 100.0, 2: 300.0, 3: 900.0}
    theirs = {1: 200.0, 2: 100.0, 3: 1000.0}
    assert ratio_of_rounds(ours, theirs) == Spread(median=0.9, low=0.5, high=3.0)


def test_ratio_counts_only_rounds_that_both_have() -> None:
    assert ratio_of_rounds({1: 100.0, 2: 50.0}, {2: 100.0, 3: 1.0}) == Spread(0.5, 0.5, 0.5)
    assert ratio_of_rounds({1: 100.0}, {2: 100.0}) is None


def test_spread_of_nothing_is_nothing() -> None:
    assert spread_of([]) is None


@pytest.mark.parametrize(
    ("medians", "outcome"),
    [
        ({"a": 0.95}, Outcome.KEPT),
        ({"a": 1.2, "b": 0.949}, Outcome.MISSED),
        ({}, Outcome.NOT_JUDGED),
    ],
)
def test_promise_is_kept_where_every_place_keeps_it(
    medians: dict[str, float], outcome: Outcome
) -> None:
    figures = {place: exactly(median) for place, median in medians.items()}
    assert judge(_promise(Bound(0.95)), figures).outcome is outcome


def test_doubtful_figures_are_shown_and_not_judged() -> None:
    verdict = judge(_promise(Bound(1)), {"a": exactly(5)}, doubt="too slow")
    assert (verdict.outcome, verdict.remark, len(verdict.figures)) == (
        Outcome.NOT_JUDGED,
        "too slow",
        1,
    )


def test_a_broken_promise_is_missed_whatever_the_figures_are() -> None:
    verdict = judge(_promise(Bound(1)), {"a": exactly(5)}, doubt="few", broken="one never came")
    assert (verdict.outcome, verdict.remark) == (Outcome.MISSED, "one never came")


def test_disturbed_figures_are_not_judged() -> None:
    figures = {"a": exactly(2), "b": Spread(2, 2, 2, doubtful=True)}
    verdict = judge(_promise(Bound(1)), figures)
    assert (verdict.outcome, verdict.remark) == (
        Outcome.NOT_JUDGED,
        "every round was disturbed: b",
    )


@pytest.mark.parametrize(
    ("figure", "outcome"), [(5.0, Outcome.KEPT), (5.01, Outcome.MISSED), (0.0, Outcome.KEPT)]
)
def test_a_bound_may_be_the_most_that_is_promised(figure: float, outcome: Outcome) -> None:
    bound = Bound(5, "µs", at_most=True)
    assert judge(_promise(bound), {"a": exactly(figure)}).outcome is outcome
    assert str(bound) == "≤ 5 µs"


def test_every_promise_has_a_text_of_its_own() -> None:
    assert len({promise.text for promise in PROMISES.values()}) == len(PROMISES)


def test_percentiles_are_those_of_all_latencies_and_the_last_is_the_maximum() -> None:
    latencies = Latencies(microsecond * 1000 for microsecond in range(1, 1001))
    assert latencies.percentiles_us() == pytest.approx([500, 900, 990, 999, 1000], rel=0.001)
    assert len(latencies) == 1000


def test_a_line_is_fitted_through_noise_that_cancels() -> None:
    samples = [(float(second), 10 + 2 * second + (-1) ** second) for second in range(100)]
    line = fitted_line(samples)
    assert line.per_s == pytest.approx(2, abs=0.01)
    assert line.level == pytest.approx(10, abs=0.5)
    assert line.rise == pytest.approx(198, abs=1)


@pytest.mark.parametrize("samples", [[], [(1.0, 1.0)], [(1.0, 1.0), (1.0, 2.0)]])
def test_what_has_no_slope_is_refused(samples: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"regression|constant"):
        fitted_line(samples)


def _promise(bound: Bound) -> Promise:
    return Promise("", "", bound)
