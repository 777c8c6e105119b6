"""The shaped line of `benchmarks browser`: never faster than it says, whole, and counted."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.browser.lines import Direction, Lines, Speed, shaped_lines

SPEED = Speed("4 Mbit/s, 60 ms", 4e6, 0.06)
CONTENT = bytes(range(256)) * 200
REQUEST = b"GET / HTTP/1.0\r\n\r\n"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.wfile.write(CONTENT)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lines() -> Iterator[Lines]:
    with shaped_lines() as running:
        yield running


def ask(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(REQUEST)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_bytes_leave_one_after_the_other_at_the_rate_of_the_line() -> None:
    direction = Direction(Speed("8 kbit/s", 8_000, 1.0))
    assert direction.send(500, now=10.0) == 10.5
    assert direction.send(1_000, now=10.1) == 11.5  # it waits for the first
    assert direction.send(250, now=20.0) == 20.25  # the line was free
    assert direction.bytes == 1_750


def test_an_answer_arrives_whole_after_two_round_trips_and_its_own_time(
    lines: Lines, server_port: int
) -> None:
    line = lines.open(SPEED, server_port)
    began = time.monotonic()
    assert ask(line.port) == CONTENT
    took_s = time.monotonic() - began
    assert took_s >= 2 * SPEED.round_trip_s + len(CONTENT) * 8 / SPEED.bits_per_s
    assert line.bytes == len(REQUEST) + len(CONTENT)


def test_connections_share_the_line(lines: Lines, server_port: int) -> None:
    line = lines.open(SPEED, server_port)
    began = time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(ask, [line.port] * 3)) == [CONTENT] * 3
    assert time.monotonic() - began >= 3 * len(CONTENT) * 8 / SPEED.bits_per_s


def test_hanging_up_ends_connections_and_the_line_goes_on(lines: Lines, server_port: int) -> None:
    line = lines.open(SPEED, server_port)
    with socket.create_connection(("127.0.0.1", line.port), timeout=60) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(1)
        line.hang_up()
        rest = b"-"
        try:
            while rest:
                rest = connection.recv(65536)
        except ConnectionResetError:
            rest = b""
        assert rest == b""
    assert ask(line.port) == CONTENT


def test_a_connection_ends_if_its_server_is_gone(lines: Lines) -> None:
    with socket.socket() as free:  # bound, and it does not listen
        free.bind(("127.0.0.1", 0))
        line = lines.open(SPEED, free.getsockname()[1])
        with contextlib.suppress(ConnectionResetError):
            assert ask(line.port) == b""
