"""Load in an open loop: who asks when, and from which moment a latency counts."""

import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks.open_loop import (
    NO_ANSWER,
    Arrival,
    open_loop,
    poisson,
    shuffled,
    steady_load,
    uniform,
    zipf,
)
from benchmarks.processes import run_in_loop
from benchmarks.storm import spread_out


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


def test_views_are_spread_evenly_over_each_period() -> None:
    views = [[f"{name}{number}".encode() for number in range(2)] for name in "abcd"]
    arrivals = list(spread_out(views, 8.0, 2))
    assert [each.at_s for each in arrivals] == [float(second) for second in range(16)]
    assert [each.request for each in arrivals] == [each for view in views for each in view] * 2


class _Stalling(socketserver.StreamRequestHandler):
    """Stands still for half a second at the first request, whoever asks meanwhile."""

    server: "_StallingServer"

    def handle(self) -> None:
        while self.rfile.readline().strip():
            self.rfile.readline()  # the empty line after the request line
            with self.server.turn:
                if not self.server.has_stalled:
                    self.server.has_stalled = True
                    time.sleep(0.5)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class _StallingServer(socketserver.ThreadingTCPServer):
    turn = threading.Lock()
    has_stalled = False


@pytest.fixture
def stalling_port() -> Iterator[int]:
    with _StallingServer(("127.0.0.1", 0), _Stalling) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_latency_counts_from_the_moment_a_request_was_due(stalling_port: int) -> None:
    """A closed loop would see one slow request; here all that were due meanwhile are slow."""
    request = b"GET / HTTP/1.1\r\n\r\n"
    arrivals = [Arrival(number / 100, "file", request) for number in range(30)]
    answered = run_in_loop(open_loop(stalling_port, arrivals))
    assert [each.status for each in answered] == [200] * 30
    first, *later = sorted(answered, key=lambda each: each.at_s)
    assert first.latency_ns >= 500_000_000
    assert all(each.latency_ns >= 500_000_000 - each.at_s * 1e9 for each in later)


def test_a_server_that_is_not_there_gives_no_answer() -> None:
    answered = run_in_loop(open_loop(1, [Arrival(0.0, "file", b"GET / HTTP/1.1\r\n\r\n")]))
    assert [each.status for each in answered] == [NO_ANSWER]


@pytest.mark.slow
def test_a_steady_load_comes_from_another_process_while_the_block_lasts(
    stalling_port: int,
) -> None:
    with steady_load(stalling_port, b"GET / HTTP/1.1\r\n\r\n", 50) as statuses:
        time.sleep(2)
    assert statuses.keys() == {200}


def test_no_load_is_no_process() -> None:
    with steady_load(1, b"", 0) as statuses:
        pass
    assert not statuses
