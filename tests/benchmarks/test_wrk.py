"""Load by wrk: its report, and lists of requests."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.wrk import LoadFailed, LoadReport, RequestLists, Until, check_length, parse_report
from tests.conftest import require_program

# As wrk 4.1.0 of Debian prints it, with wrk.lua.
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
    report = LoadReport(10, 1_000_000, received_bytes, 1.0, 2.0, {})
    if plausible:
        check_length(report, 1000, unfinished=2)
    else:
        with pytest.raises(LoadFailed, match="bytes for each answer"):
            check_length(report, 1000, unfinished=2)


def _report(each_bytes: int) -> LoadReport:
    return LoadReport(100, 1, 100 * each_bytes, 1.0, 1.0, {})


def test_answers_without_the_content_that_was_wanted_do_not_count() -> None:
    check_length(_report(3_900), 3_500, tolerance=0.1)
    check_length(_report(400), 0, tolerance=0.1)
    for each_bytes, mean_bytes in ((400, 3_500), (3_900, 0)):
        with pytest.raises(LoadFailed, match="bytes for each answer"):
            check_length(_report(each_bytes), mean_bytes, tolerance=0.1)


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
