"""The pure part of `benchmarks/`: what it makes of figures. Nothing here measures anything."""

import json

import brotli
import pytest

from benchmarks.load.report import LoadReport, length_is_plausible, parse_report
from benchmarks.payload import javascript
from benchmarks.processes import Running
from benchmarks.promises import Outcome, judge
from benchmarks.ratios import Spread, ratio_of_rounds, spread_of
from benchmarks.serve.cells import CASES, MANIFEST, Case, Cell, size_text
from benchmarks.serve.entries import Entries, Entry, skipped_lines
from benchmarks.serve.figures import Figure, Figures
from benchmarks.serve.probe import Answer, objection
from benchmarks.serve.promises import verdicts
from benchmarks.serve.schedule import schedule

IDENTITY, BR, NOT_MODIFIED = CASES

# As wrk 4.1.0 of Debian prints it, with load/wrk_report.lua.
WRK_OUTPUT = """\
Running 1s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   771.61us  114.49us   4.51ms   94.87%
    Req/Sec    41.57k     1.09k   42.53k    90.91%
  45443 requests in 1.10s, 719.91MB read
Requests/sec:  41341.97
Transfer/sec:    654.93MB
{"requests": 45443, "duration_us": 1099198, "received_bytes": 754880000, "p50_us": 755.0, \
"p99_us": 1100.0, "connect": 0, "read": 0, "write": 0, "status": 0, "timeout": 0}
"""


def test_wrk_report_is_read_in_full_precision() -> None:
    report = parse_report(WRK_OUTPUT)
    assert report.requests_per_s == pytest.approx(41341.97, abs=0.01)
    assert (report.p50_us, report.p99_us) == (755.0, 1100.0)
    assert not report.errors


def test_errors_that_wrk_saw_are_kept_by_kind() -> None:
    output = WRK_OUTPUT.replace('"status": 0', '"status": 7').replace('"read": 0', '"read": 2')
    assert parse_report(output).errors == {"status": 7, "read": 2}


@pytest.mark.parametrize(
    "output",
    [
        "",
        "unable to connect to 127.0.0.1:8000 Connection refused",
        '{"requests": 1}',
        "[]",
        WRK_OUTPUT.replace('"requests": 45443', '"requests": 0'),
    ],
)
def test_what_is_no_report_or_no_answer_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="no re"):
        parse_report(output)


@pytest.mark.parametrize(
    ("received_bytes", "plausible"),
    [
        (10 * 1000, True),
        (10 * 1300, True),
        (12 * 1300, True),  # two connections were in the middle of an answer at the end
        (10 * 999, False),
        (13 * 3100, False),
    ],
)
def test_received_bytes_tell_whether_answers_changed(received_bytes: int, plausible: bool) -> None:
    report = _report(10, received_bytes=received_bytes)
    assert length_is_plausible(report, 1000, connections=2) is plausible


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
    figures = {place: Spread(median, median, median) for place, median in medians.items()}
    assert judge("", 0.95, figures).outcome is outcome


def test_doubtful_figures_are_shown_and_not_judged() -> None:
    verdict = judge("", 1, {"a": Spread(5, 5, 5)}, doubt="too slow")
    assert (verdict.outcome, verdict.remark, len(verdict.figures)) == (
        Outcome.NOT_JUDGED,
        "too slow",
        1,
    )


def test_files_beyond_128_kib_are_in_no_verdict() -> None:
    cells = [Cell(size, IDENTITY) for size in (1024, 131072, 1048576)]
    against_bare = verdicts(cells, lambda *_: Spread(1, 1, 1))[0]
    assert list(against_bare.figures) == ["1 KiB identity", "128 KiB identity"]


def test_rounds_alternate_their_direction_within_each_cell() -> None:
    entries = [[_entry("a", cell), _entry("b", cell)] for cell in (Cell(1, BR), Cell(2, BR))]
    steps = [
        (step.round_number, step.entry.cell.size_bytes, step.entry.server)
        for step in schedule(entries, 2)
    ]
    assert steps == [
        *[(1, 1, "a"), (1, 1, "b"), (1, 2, "a"), (1, 2, "b")],
        *[(2, 1, "b"), (2, 1, "a"), (2, 2, "b"), (2, 2, "a")],
    ]


def test_summary_takes_medians_of_rounds() -> None:
    cell = Cell(1024, BR)
    figures = Figures(
        [
            Figure(server, cell, number, _report(requests), cpu_s=0.5, others_s=0.0)
            for server, counts in (("bare", (200, 100, 400)), ("gateway", (100, 75, 400)))
            for number, requests in enumerate(counts, 1)
        ]
    )
    gateway = list(figures.summaries(cell, "bare"))[1]
    assert gateway.requests_per_s == 100
    assert gateway.ratio == Spread(0.75, 0.5, 1.0)
    assert gateway.cpu_us_per_request == 5000
    assert gateway.cpu_ratio == Spread(0.75, 0.5, 1.0)
    assert gateway.short_of_core


def test_disturbed_rounds_count_only_where_there_is_no_other() -> None:
    cell = Cell(1024, BR)
    figures = Figures(
        [
            Figure("bare", cell, 1, _report(100), cpu_s=1.0, others_s=0.0),
            Figure("gateway", cell, 1, _report(10), cpu_s=1.0, others_s=0.8),
        ]
    )
    assert figures.ratio("gateway", "bare", cell) == Spread(0.1, 0.1, 0.1, doubtful=True)
    figures.counted += [
        Figure("bare", cell, 2, _report(100), cpu_s=1.0, others_s=0.0),
        Figure("gateway", cell, 2, _report(99), cpu_s=1.0, others_s=0.01),
    ]
    assert figures.ratio("gateway", "bare", cell) == Spread(0.99, 0.99, 0.99)
    assert [summary.requests_per_s for summary in figures.summaries(cell, "bare")] == [100, 99]


def test_disturbed_figures_are_not_judged() -> None:
    figures = {"a": Spread(2, 2, 2), "b": Spread(2, 2, 2, doubtful=True)}
    verdict = judge("", 1, figures)
    assert (verdict.outcome, verdict.remark) == (
        Outcome.NOT_JUDGED,
        "every round was disturbed: b",
    )


CONTENT = b"const answer = 42;" * 20


class _Contents:
    def content(self, size_bytes: int) -> bytes:
        assert size_bytes == len(CONTENT)
        return CONTENT


@pytest.mark.parametrize(
    ("content", "objected"),
    [
        (json.dumps({slug: {} for slug in "abcdefghij"}).encode(), None),
        (b"{}", "lists 0 plugins instead of 10"),
        (b"{", "sends a manifest that is no JSON"),
    ],
)
def test_a_manifest_must_list_ten_plugins(content: bytes, objected: str | None) -> None:
    assert objection(Answer(200, (), content), Cell(0, MANIFEST), _Contents()) == objected


@pytest.mark.parametrize(
    ("case", "answer", "part"),
    [
        (IDENTITY, Answer(200, (), CONTENT), None),
        (IDENTITY, Answer(404, (), b"{}"), "404 instead of 200"),
        (IDENTITY, Answer(200, (), CONTENT[1:]), "other content"),
        (IDENTITY, Answer(200, (("Content-Encoding", "br"),), brotli.compress(CONTENT)), "in br"),
        (BR, Answer(200, (("content-encoding", "br"),), brotli.compress(CONTENT)), None),
        (BR, Answer(200, (("content-encoding", "br"),), CONTENT), "no brotli"),
        (BR, Answer(200, (), CONTENT), "in identity instead of br"),
        (NOT_MODIFIED, Answer(304, (), b""), None),
        (NOT_MODIFIED, Answer(200, (), CONTENT), "200 instead of 304"),
    ],
)
def test_only_the_right_answer_is_measured(case: Case, answer: Answer, part: str | None) -> None:
    objected = objection(answer, Cell(len(CONTENT), case), _Contents())
    assert objected is None if part is None else part in (objected or "")


def test_what_is_skipped_is_said_once_for_all_sizes() -> None:
    entries = Entries(absent=["caddy: caddy is not installed"])
    cells = [Cell(1024, BR), Cell(1048576, BR)]
    entries.skipped["staticfiles", "br", "answers in identity instead of br"] = cells
    assert skipped_lines(entries) == [
        "caddy: caddy is not installed",
        "staticfiles, br (1 KiB, 1 MiB): answers in identity instead of br",
    ]


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(1024, "1 KiB"), (1048576, "1 MiB"), (1572864, "1536 KiB"), (7, "7 B")]
)
def test_sizes_are_written_in_binary_units(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_payload_has_the_size_and_compresses_as_javascript_does() -> None:
    content = javascript(131072)
    assert len(content) == 131072
    assert content == javascript(131072)
    assert 0.15 < len(brotli.compress(content, quality=5)) / len(content) < 0.4


def _report(requests: int, received_bytes: int = 0) -> LoadReport:
    return LoadReport(requests, 1_000_000, received_bytes, 1.0, 2.0, {})


def _entry(server: str, cell: Cell) -> Entry:
    return Entry(server, cell, Running(pid=1, port=1), "/", {}, 0)
