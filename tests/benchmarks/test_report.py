"""What is made of records: the page, the table, comparisons; and the commands that do it."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.cli import BENCHMARKS, main
from benchmarks.comparison import missing_figures, moves
from benchmarks.figures import Spread
from benchmarks.promises import PROMISES, Outcome
from benchmarks.record import Figure, Plot, Record, Table
from benchmarks.report import page, shown_promises


def _record(command: str = "lookup", **rounds: list[float]) -> dict[str, Any]:
    """As it comes out of its file."""
    record = Record(command, {"machine": {"cpu": "<one>"}, "options": {}, "versions": {}})
    record.figures = [Figure(name, "µs", values) for name, values in rounds.items()]
    record.tables.append(Table("a & b", ["stage", "p50"], [["<identity>", "1.00"]]))
    record.plots.append(Plot("picture", "A picture", "<svg><path d='M0 0'/></svg>"))
    record.remarks.append("a remark")
    record.judge("lookup_p50", {})
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
    assert missing_figures(before, {"runs": {"lookup": _record(other=NOISY)}}) == [
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
    for promise in PROMISES.values():
        assert promise.text.replace("'", "&#x27;") in text
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=", text)
    assert "&lt;identity&gt;" in text
    assert "<svg>" in text
    assert "not judged" in text


def test_a_promise_is_kept_only_where_all_commands_keep_it() -> None:
    outcomes = {"lookup": Outcome.KEPT, "scale": Outcome.MISSED}
    records = {}
    for command, outcome in outcomes.items():
        record = _record(command)
        record["promises"][0].update(outcome=outcome.value)
        records[command] = record
    shown = {each.promise.key: each.outcome for each in shown_promises(records)}
    assert shown.pop("lookup_p50") == "missed"
    assert set(shown.values()) == {"not measured"}


def test_the_worst_case_is_shown_first() -> None:
    record = Record("pages", {})
    record.judge("page_load", {"a": Spread(0.9, 0.9, 0.9), "b": Spread(0.4, 0.3, 0.5)})
    record.judge("one_file_p99", {"a": Spread(10, 10, 10), "b": Spread(120, 90, 130)})
    shown = {each.promise.key: each for each in shown_promises({"pages": record.as_json()})}
    assert shown["page_load"].lines == ["0.4 [0.3 to 0.5], b", "0.9, a"]
    assert shown["page_load"].worst == "0.4 (b)"
    assert shown["one_file_p99"].worst == "120 (b)"


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
    record = Record("lookup", {})
    record.judge("lookup_p50", {"2,000 users": Spread(3, 2, 4), "1,000 users": Spread(4, 3, 5)})
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"runs": {"lookup": record.as_json()}}))
    shown = CliRunner().invoke(main, ["table", str(report)])
    text = PROMISES["lookup_p50"].text
    assert shown.output.splitlines()[2:] == [f"| {text} | ≤ 5 µs | kept | 4 (1,000 users) |"]


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = Record("lookup", {"commit": "abc"}, figures=[Figure("warm", "µs", [1.0, 2.0])])
    record.plots.append(Plot("picture", "A picture", "<svg/>"))
    record.write(tmp_path)
    found = json.loads((tmp_path / "lookup.json").read_text())
    assert (found["command"], found["commit"]) == ("lookup", "abc")
    assert Figure(**found["figures"][0]).spread.median == 1.5
    assert (tmp_path / "picture.svg").read_text() == "<svg/>"
