"""`benchmarks serve`: which answers count, and what follows from the rounds. Pure."""

import json
import os

import brotli
import pytest

from benchmarks.client import Answer
from benchmarks.figures import Spread
from benchmarks.record import Record
from benchmarks.serve.cells import CASES, MANIFEST, Case, Cell, objection, size_text
from benchmarks.serve.command import judged_ratios
from benchmarks.serve.entries import Entries
from benchmarks.serve.rounds import Measurement, Measurements, schedule
from benchmarks.serve.tables import note
from benchmarks.wrk import LoadReport

IDENTITY, BR, NOT_MODIFIED = CASES


def test_files_beyond_128_kib_are_in_no_verdict() -> None:
    cells = [Cell(size, IDENTITY) for size in (1024, 131072, 1048576)]
    measurements = Measurements(
        [
            Measurement(server, cell, 1, _report(100), cpu_s=1.0, others_s=0.0)
            for cell in cells
            for server in ("bare", "gateway")
        ]
    )
    assert list(judged_ratios(cells, measurements)) == ["1 KiB identity", "128 KiB identity"]


def test_rounds_alternate_their_direction_within_each_case() -> None:
    assert list(schedule([["a1", "b1"], ["a2", "b2"]], 2)) == [
        *[(1, "a1"), (1, "b1"), (1, "a2"), (1, "b2")],
        *[(2, "b1"), (2, "a1"), (2, "b2"), (2, "a2")],
    ]


def test_the_table_shows_medians_of_rounds() -> None:
    cell = Cell(1024, BR)
    measurements = Measurements(
        [
            Measurement(server, cell, number, _report(requests), cpu_s=0.5, others_s=0.0)
            for server, counts in (("bare", (200, 100, 400)), ("gateway", (100, 75, 400)))
            for number, requests in enumerate(counts, 1)
        ]
    )
    assert measurements.ratio("gateway", "bare", cell) == Spread(0.75, 0.5, 1.0)
    assert measurements.cpu_ratio("gateway", "bare", cell) == Spread(0.75, 0.5, 1.0)
    record = Record("serve", {})
    note(record, [cell], measurements)
    _, gateway = record.tables[0].rows
    assert gateway == (
        *("1 KiB br, gateway", "100", "0.00", "0.00", "5,000.0", "50%*"),
        *("0.750 [0.500-1.000]", "0.750", ""),
    )
    assert "the server had less than 90% of its core" in record.remarks[0]


def test_disturbed_rounds_count_only_where_there_is_no_other() -> None:
    cell = Cell(1024, BR)
    measurements = Measurements(
        [
            Measurement("bare", cell, 1, _report(100), cpu_s=1.0, others_s=0.0),
            Measurement("gateway", cell, 1, _report(10), cpu_s=1.0, others_s=0.8),
        ]
    )
    assert measurements.ratio("gateway", "bare", cell) == Spread(0.1, 0.1, 0.1, doubtful=True)
    measurements.counted += [
        Measurement("bare", cell, 2, _report(100), cpu_s=1.0, others_s=0.0),
        Measurement("gateway", cell, 2, _report(99), cpu_s=1.0, others_s=0.01),
    ]
    assert measurements.ratio("gateway", "bare", cell) == Spread(0.99, 0.99, 0.99)
    assert [
        each.report.requests_per_s
        for server in measurements.servers_in(cell)
        for each in measurements.of(server, cell)
    ] == [100, 100, 99]


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
    for size_bytes in (1024, 1048576):
        reason = "answers in identity instead of br"
        entries.add("staticfiles", Cell(size_bytes, BR), reason)
    assert entries.skipped_lines() == [
        "caddy: caddy is not installed",
        "staticfiles, br (1 KiB, 1 MiB): answers in identity instead of br",
    ]


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(1024, "1 KiB"), (1048576, "1 MiB"), (1572864, "1536 KiB"), (7, "7 B")]
)
def test_sizes_are_written_in_binary_units(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def _report(requests: int, received_bytes: int = 0) -> LoadReport:
    return LoadReport(requests, 1_000_000, received_bytes, 1.0, 2.0, {})


def test_a_server_that_had_less_than_a_tick_of_cpu_time_is_no_division_by_zero() -> None:
    measurement = Measurement("bare", None, 1, _report(100), cpu_s=0.0, others_s=0.0)
    assert measurement.requests_per_cpu_s == 100 * os.sysconf("SC_CLK_TCK")
