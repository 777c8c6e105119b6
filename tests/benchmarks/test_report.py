"""What benchmarks make of their figures: percentiles, promises, the page, comparisons. Pure."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.load.open_loop import poisson
from benchmarks.lookup.command import stage_verdicts
from benchmarks.lookup.stages import LOOKUP_WARM
from benchmarks.pages.cases import P99_PROMISE
from benchmarks.pages.cases import PROMISES as PAGES_PROMISES
from benchmarks.percentiles import Latencies
from benchmarks.promises import Bound, Outcome, judge
from benchmarks.ratios import Spread
from benchmarks.record import Figure, Plot, Record, Table
from benchmarks.registry import BENCHMARKS
from benchmarks.report.moved import missing, moves
from benchmarks.report.page import page
from benchmarks.report.promised import ROWS, shown_promises
from benchmarks.serve.promises import PROMISES as SERVE_PROMISES
from benchmarks.soak.counts import BOUNDS, Sample, flatness
from benchmarks.soak.slope import fitted_line
from benchmarks.upstream.promises import PROMISES as UPSTREAM_PROMISES
from benchmarks.users import shuffled, uniform, zipf


def test_percentiles_are_those_of_all_latencies_and_the_last_is_the_maximum() -> None:
    latencies = Latencies(microsecond * 1000 for microsecond in range(1, 1001))
    assert latencies.percentiles_us() == pytest.approx([500, 900, 990, 999, 1000], rel=0.001)
    assert len(latencies) == 1000


def test_the_nth_user_by_zipfs_law_comes_an_nth_as_often_as_the_first() -> None:
    choose = zipf(100)
    counted = Counter(choose() for _ in range(50_000))
    assert set(counted) <= set(range(100))
    assert counted[0] / counted[9] == pytest.approx(10, rel=0.2)


def test_uniform_users_come_equally_often() -> None:
    choose = uniform(10)
    counted = Counter(choose() for _ in range(50_000))
    assert set(counted) == set(range(10))
    assert max(counted.values()) < 1.1 * min(counted.values())


def test_shuffling_loses_nobody() -> None:
    assert sorted(shuffled(range(50))) == list(range(50))
    assert shuffled(range(50)) != list(range(50))


def test_arrivals_come_at_the_rate_and_in_order() -> None:
    arrivals = list(poisson(100, 50, lambda: ("file", b"")))
    moments = [arrival.at_s for arrival in arrivals]
    assert len(arrivals) == pytest.approx(5000, rel=0.1)
    assert moments == sorted(moments)
    assert moments[-1] < 50


def test_a_line_is_fitted_through_noise_that_cancels() -> None:
    samples = [(float(second), 10 + 2 * second + (-1) ** second) for second in range(100)]
    line = fitted_line(samples)
    assert line.per_s == pytest.approx(2, abs=0.01)
    assert line.level == pytest.approx(10, abs=0.5)
    assert line.rise == pytest.approx(198, abs=1)


@pytest.mark.parametrize("samples", [[], [(1.0, 1.0)], [(1.0, 1.0), (1.0, 2.0)]])
def test_what_has_no_slope_is_refused(samples: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="sample"):
        fitted_line(samples)


def _samples(duration_s: int, growth_per_s: float) -> list[Sample]:
    return [
        Sample(float(second), dict.fromkeys(BOUNDS, 50 + growth_per_s * second))
        for second in range(duration_s + 1)
    ]


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
    verdicts = flatness(_samples(duration_s, growth_per_s))
    assert {verdict.outcome for verdict in verdicts} == {outcome}
    assert len(verdicts) == len(BOUNDS)


def test_growth_while_the_caches_fill_is_not_held_against_the_server() -> None:
    filling = _samples(60, 1.0)
    filled = [Sample(each.at_s + 61, dict.fromkeys(BOUNDS, 110.0)) for each in _samples(140, 0.0)]
    assert {each.outcome for each in flatness([*filling, *filled])} == {Outcome.KEPT}


@pytest.mark.parametrize(
    ("figure", "outcome"), [(5.0, Outcome.KEPT), (5.01, Outcome.MISSED), (0.0, Outcome.KEPT)]
)
def test_a_bound_may_be_the_most_that_is_promised(figure: float, outcome: Outcome) -> None:
    verdict = judge("", Bound(5, "µs", at_most=True), {"a": Spread(figure, figure, figure)})
    assert verdict.outcome is outcome
    assert str(verdict.bound) == "≤ 5 µs"


def test_warm_lookups_are_judged_by_the_median_of_the_rounds() -> None:
    rounds = {LOOKUP_WARM: [4.0, 16.0, 4.5]}
    outcomes = {each.promise: each.outcome for each in stage_verdicts(rounds, rounds)}
    assert outcomes == {"warm lookup, p50": Outcome.KEPT, "warm lookup, p99": Outcome.KEPT}


def _record(command: str = "lookup", **rounds: list[float]) -> dict[str, Any]:
    """As it comes out of its file."""
    record = Record(command, {"machine": {"cpu": "<one>"}, "options": {}, "versions": {}})
    record.figures = [Figure(name, "µs", values) for name, values in rounds.items()]
    record.tables.append(Table("a & b", ["stage", "p50"], [["<identity>", "1.00"]]))
    record.plots.append(Plot("picture", "A picture", "<svg><path d='M0 0'/></svg>"))
    record.remarks.append("a remark")
    record.verdicts.append(judge("warm lookup, p50", Bound(5, "µs", at_most=True), {}))
    found: dict[str, Any] = json.loads(json.dumps(record.as_json()))
    return found


NOISY = [10.0, 10.4, 9.8, 10.1, 9.9]


def test_a_doubled_figure_has_moved_and_one_that_wanders_has_not() -> None:
    before = _record(warm=NOISY, cold=[100.0, 140.0, 90.0])
    after = _record(warm=[2 * each for each in NOISY], cold=[120.0, 105.0, 135.0])
    (move,) = moves(before, after)
    assert (move.command, move.after.name, move.is_better) == ("lookup", "warm", False)
    assert move.change == pytest.approx(1.0)


def test_nothing_moves_between_equal_runs() -> None:
    assert not list(moves(_record(warm=NOISY), _record(warm=NOISY[::-1])))


def test_more_of_what_is_better_is_better() -> None:
    before, after = (_record(rate=[value] * 3) for value in (100.0, 200.0))
    for record in (before, after):
        record["figures"][0]["more_is_better"] = True
    assert [move.is_better for move in moves(before, after)] == [True]


def test_reports_are_compared_command_by_command() -> None:
    before = {"runs": {"lookup": _record(warm=NOISY), "scale": _record("scale", warm=NOISY)}}
    doubled = [2 * each for each in NOISY]
    after = {"runs": {"lookup": _record(warm=NOISY), "scale": _record("scale", warm=doubled)}}
    assert [move.command for move in moves(before, after)] == ["scale"]
    assert missing(before, {"runs": {"lookup": _record(other=NOISY)}}) == [
        "lookup: other",
        "lookup: warm",
        "scale: warm",
    ]


def test_compare_prints_what_moved(tmp_path: Path) -> None:
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, factor in zip(files, (1, 2), strict=True):
        file.write_text(json.dumps(_record(warm=[factor * each for each in NOISY])))
    shown = CliRunner().invoke(main, ["compare", *map(str, files)])
    assert shown.exit_code == 0
    assert "+100.0%" in shown.output
    assert "1 figures moved" in shown.output


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_compare_refuses_what_is_no_record(tmp_path: Path, content: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(content)
    shown = CliRunner().invoke(main, ["compare", str(file), str(file)])
    assert shown.exit_code == 2
    assert "expected a JSON file of a benchmark" in shown.output


def test_the_page_shows_every_promise_and_needs_nothing_else() -> None:
    text = page({"lookup": _record(warm=NOISY)})
    for row in ROWS:
        assert row.text.replace("'", "&#x27;") in text
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=", text)
    assert "&lt;identity&gt;" in text
    assert "<svg>" in text
    assert "not judged" in text


def test_a_row_is_kept_only_where_all_of_its_parts_are() -> None:
    outcomes = {"lookup": Outcome.KEPT, "scale": Outcome.MISSED}
    records = {}
    for command, outcome in outcomes.items():
        record = _record(command)
        record["promises"][0].update(outcome=outcome.value, bound="≤ 5 µs")
        records[command] = record
    shown = {each.text: each.outcome for each in shown_promises(records)}
    (row,) = (row for row in ROWS if row.text.startswith("warm lookup"))
    assert shown[row.text] == "missed"


def test_promises_beyond_the_design_are_shown_too() -> None:
    record = _record("soak")
    record["promises"][0].update(promise="soak: memory flat")
    shown = list(shown_promises({"soak": record}))
    assert len(shown) == len(ROWS) + 1
    assert shown[-1].text == "soak: memory flat (soak)"


def test_rows_of_the_design_name_promises_that_there_are() -> None:
    texts = {
        "pages": [*(text for text, *_ in PAGES_PROMISES), P99_PROMISE],
        "serve": [promise.text for promise in SERVE_PROMISES],
        "upstream": [text for text, *_ in UPSTREAM_PROMISES],
        "lookup": [verdict.promise for verdict in stage_verdicts({}, {})],
    }
    named = [pair for row in ROWS for pair in row.measured_by if pair[0] in texts]
    counted = [
        start
        for command, start in named
        if not start.startswith("10,000 concurrent")
        and not any(text.startswith(start) for text in texts[command])
    ]
    assert counted == []


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda each: str(each.name))
def test_every_benchmark_can_be_part_of_a_report(benchmark: click.Command) -> None:
    assert {"quick", "output"} <= {parameter.name for parameter in benchmark.params}
    shown = CliRunner().invoke(main, [str(benchmark.name), "--help"])
    assert shown.exit_code == 0


def test_all_refuses_a_benchmark_that_there_is_not() -> None:
    shown = CliRunner().invoke(main, ["all", "--only", "nothing"])
    assert shown.exit_code == 2
    assert "expected pages, storm" in shown.output


def test_table_prints_markdown_of_what_was_measured(tmp_path: Path) -> None:
    record = _record()
    record["promises"][0].update(
        outcome="kept", figures={"1,000 users": {"median": 4.0, "low": 3.0, "high": 5.0}}
    )
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"runs": {"lookup": record}}))
    shown = CliRunner().invoke(main, ["table", str(report)])
    (row,) = (row for row in ROWS if row.text.startswith("warm lookup"))
    assert shown.output.splitlines()[2:] == [
        f"| {row.text} | {row.promised} | kept | 4 (1,000 users) |"
    ]


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = Record("lookup", {"commit": "abc"}, figures=[Figure("warm", "µs", [1.0, 2.0])])
    record.plots.append(Plot("picture", "A picture", "<svg/>"))
    record.write(tmp_path)
    found = json.loads((tmp_path / "lookup.json").read_text())
    assert (found["command"], found["commit"]) == ("lookup", "abc")
    assert Figure(**found["figures"][0]).spread.median == 1.5
    assert (tmp_path / "picture.svg").read_text() == "<svg/>"
