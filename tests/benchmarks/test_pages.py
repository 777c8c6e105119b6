"""`benchmarks pages` and `storm`: what they ask for, in which order, and that quick runs work."""

import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load.listed import RequestLists, Until
from benchmarks.load.report import LoadReport
from benchmarks.load.wrk import LoadFailed
from benchmarks.pages.cases import (
    FIRST,
    FIRST_304,
    HALF,
    KNOWN_PINNED,
    NEVER_OWN,
    NEVER_PINNED,
    ONE_FILE,
    PROMISES,
    Case,
    Effort,
    make_cases,
)
from benchmarks.pages.command import check_length
from benchmarks.pages.wanted import Visitors
from benchmarks.population import PopulatedSite, Population
from benchmarks.storm.command import spread_out
from tests.conftest import require_program

EFFORT = Effort(20, 5, 10, 15, rounds=1, duration_s=1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    population = Population(200, 5, 5, plugins=10)
    site = PopulatedSite(tmp_path_factory.mktemp("site"), population)
    site.make()
    return {case.name: case for case in make_cases(Visitors(site), EFFORT)}


def _users(case: Case) -> set[int]:
    return {each.user for visit in case.visits for each in visit}


def test_users_never_seen_come_in_no_case_before(cases: dict[str, Case]) -> None:
    seen: set[int] = set()
    for case in cases.values():
        if case.name in (NEVER_PINNED, NEVER_OWN, ONE_FILE):
            assert not _users(case) & seen
            assert len(_users(case)) == len(case.visits)
        seen |= _users(case) | {each.user for each in case.before}
    assert len(_users(cases[HALF]) & _users(cases[KNOWN_PINNED])) >= 1
    assert len(_users(cases[HALF])) == 2 * EFFORT.known_pages


def test_first_requests_of_known_users_never_repeat(cases: dict[str, Case]) -> None:
    first, first_304 = cases[FIRST], cases[FIRST_304]
    asked = [
        (each.user, each.file)
        for case in (first, first_304)
        for visit in case.visits
        for each in visit
    ]
    asked += [(each.user, each.file) for each in first.before]
    assert len(asked) == len(set(asked)) == EFFORT.known * 10
    assert {each.user for each in first.before} == _users(first) == _users(first_304)


def test_a_page_is_asked_for_in_its_order_by_one_connection(cases: dict[str, Case]) -> None:
    case = cases[NEVER_PINNED]
    lists = case.lists
    assert len(lists) == case.connections == 8
    assert sorted(map(len, lists)) == [11] * 6 + [22] * 2
    for requests in lists:
        for start in range(0, len(requests), 11):
            manifest, *files = requests[start : start + 11]
            assert manifest.file is None
            assert len({file.file for file in files}) == 10
            assert {file.user for file in files} == {manifest.user}
            assert all(file.is_public and file.file for file in files)


def test_promises_are_about_cases_that_there_are(cases: dict[str, Case]) -> None:
    for _, _, _, names in PROMISES:
        assert set(names) <= cases.keys()


def _report(each_bytes: int) -> LoadReport:
    return LoadReport(100, 1, 100 * each_bytes, 1.0, 1.0, {})


def test_answers_without_the_content_that_was_wanted_do_not_count() -> None:
    check_length(_report(3_900), 3_500)
    check_length(_report(400), 0)
    for each_bytes, mean_bytes in ((400, 3_500), (3_900, 0)):
        with pytest.raises(LoadFailed, match="bytes for each answer"):
            check_length(_report(each_bytes), mean_bytes)


class _Recording(socketserver.StreamRequestHandler):
    server: "_RecordingServer"

    def handle(self) -> None:
        asked: list[str] = []
        self.server.asked.append(asked)
        with suppress(ConnectionError):  # wrk leaves in the middle of an answer
            while line := self.rfile.readline().strip():
                self.rfile.readline()  # the empty line after the request line
                asked.append(line.split()[1].decode())
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class _RecordingServer(socketserver.ThreadingTCPServer):
    daemon_threads = False
    asked: "list[list[str]]"


@pytest.fixture
def recording() -> Iterator[_RecordingServer]:
    with _RecordingServer(("127.0.0.1", 0), _Recording) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _requests(name: str, number: int) -> list[bytes]:
    return [f"GET /{name}{place} HTTP/1.1\r\n\r\n".encode() for place in range(number)]


def test_wrk_sends_one_list_whole_and_each_request_once(
    recording: _RecordingServer, tmp_path: Path
) -> None:
    require_program("wrk")
    lists = RequestLists(tmp_path / "lists", [_requests("a", 50)])
    report = lists.send(recording.server_address[1], Until.LAST_ANSWER, 4)
    recording.server_close()
    sent = [path for asked in recording.asked for path in asked]
    assert report.requests == 50
    assert report.duration_us < 5e6
    assert sorted(sent) == sorted(f"/a{place}" for place in range(50))


def test_wrk_begins_again_where_a_list_ends(recording: _RecordingServer, tmp_path: Path) -> None:
    require_program("wrk")
    lists = RequestLists(tmp_path / "lists", [_requests("a", 3)])
    lists.send(recording.server_address[1], Until.TIME, 1, 1)
    recording.server_close()
    (asked,) = filter(None, recording.asked)  # wrk connects once before
    assert len(asked) > 6
    assert asked == [f"/a{place % 3}" for place in range(len(asked))]


def test_wrk_sends_each_list_in_its_order_over_one_connection(
    recording: _RecordingServer, tmp_path: Path
) -> None:
    require_program("wrk")
    lists = RequestLists(tmp_path / "lists", [_requests("a", 40), _requests("b", 40)])
    lists.send(recording.server_address[1], Until.FIRST_LIST_SENT, 2, 10)
    recording.server_close()
    asked = [each for each in recording.asked if each]
    assert len(asked) == 2
    for each in asked:
        name = each[0][1]
        assert each == [f"/{name}{place}" for place in range(len(each))]
    assert max(map(len, asked)) == 40


@pytest.mark.slow
def test_a_quick_run_measures_every_case(tmp_path: Path) -> None:
    found = _quick_run("pages", tmp_path)
    assert found["failures"] == []
    measured = {promise["promise"] for promise in found["promises"] if promise["figures"]}
    against_bare = {text for text, rival, _, _ in PROMISES if rival == "bare"}
    assert against_bare < measured
    assert {each["server"] for each in found["rounds"]} == {"bare", "gateway"}


@pytest.mark.slow
def test_a_quick_storm_measures_everything(tmp_path: Path) -> None:
    found = _quick_run("storm", tmp_path)
    assert found["failures"] == []
    assert [len(promise["figures"]) for promise in found["promises"]] == [2, 1, 1, 1]


def test_views_are_spread_evenly_over_each_period() -> None:
    views = [[f"{name}{number}".encode() for number in range(2)] for name in "abcd"]
    arrivals = list(spread_out(views, 8.0, 2))
    assert [each.at_s for each in arrivals] == [float(second) for second in range(16)]
    assert [each.request for each in arrivals] == [each for view in views for each in view] * 2


def _quick_run(command: str, folder: Path) -> dict[str, Any]:
    require_program("wrk")
    output = folder / "output"
    options = ("--quick", "--site-dir", str(folder / "sites"), "--output", str(output))
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", command, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads((output / f"{command}.json").read_text())
    return found
