"""What a client can make the server hold, and for how long, seen from outside."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.listeners import user_request
from tests.support.processes import children
from tests.support.server import Server, serving
from tests.support.site import Site, populated
from tests.support.sockets import converse, statuses
from tests.support.urls import own
from tests.support.waiting import eventually
from tests.support.workers import memory_bytes

pytestmark = pytest.mark.slow

LIVE = b"GET /-/live HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = {"GATEWAY__SERVER__HEAD_TIMEOUT": "0.5", "GATEWAY__SERVER__SEND_TIMEOUT": "0.5"}
# A client on a busy machine takes a byte within this.
PATIENCE_S = 3.0
LARGE = "dist/large.js"
# More than the buffers of both sides take.
MIB = 2**20
LARGE_BYTES = 16 * MIB
# Kept in memory, so that it is written at once; more than the buffers of the system take.
MEDIUM = "dist/medium.js"
MEDIUM_BYTES = 6 * MIB
DEADLINE_S = 10.0
MOST_MIB = 64
"""What no attack may take (docs/how-to/security.md)."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    with (site.version_folder("Review", "1.0.0") / LARGE).open("wb") as file:
        file.truncate(LARGE_BYTES)
    site.publish("Review", "1.0.0", {MEDIUM: bytes(MEDIUM_BYTES)})
    return site


@pytest.fixture(scope="module")
def impatient(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **SHORT}) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)


def rest_of(connection: socket.socket) -> bytes:
    """Until the server closes. Raises: TimeoutError."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


# Time


def test_a_connection_that_says_nothing_is_closed(impatient: Server) -> None:
    with connect(impatient) as connection:
        assert rest_of(connection) == b""


@pytest.mark.parametrize(
    "sent", [LIVE[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"]
)
def test_a_request_that_does_not_end_gets_a_408(impatient: Server, sent: bytes) -> None:
    assert statuses(converse(impatient.port, [sent])) == [408]


def test_bytes_that_drip_do_not_extend_the_time(impatient: Server) -> None:
    started = time.monotonic()
    with connect(impatient) as connection:
        connection.setblocking(False)
        received = b""
        for byte in LIVE[:-2] + b"A: " + b"b" * 1000:
            with contextlib.suppress(BlockingIOError):
                received += connection.recv(65536)
            if received:
                break
            connection.send(bytes([byte]))
            time.sleep(0.02)
    assert statuses(received) == [408]
    assert time.monotonic() - started < DEADLINE_S / 2


def test_a_slow_client_that_keeps_within_the_time_is_served(site: Site) -> None:
    with serving(site.environment) as server, connect(server) as connection:
        for byte in LIVE[:-4]:
            connection.send(bytes([byte]))
            time.sleep(0.01)
        connection.sendall(b"\r\nConnection: close\r\n\r\n")
        assert statuses(rest_of(connection)) == [200]


def test_a_client_that_reads_nothing_is_cut_off(impatient: Server) -> None:
    with connect(impatient) as connection:
        connection.sendall(user_request(own("Review", LARGE)))
        eventually(lambda: "".join(impatient.output), lambda text: "reads nothing" in text)
        assert len(rest_of(connection)) < LARGE_BYTES


def test_a_client_that_reads_slowly_gets_everything(site: Site) -> None:
    """For longer than the time in which one must take something."""
    received = 0
    with (
        serving({**site.environment, "GATEWAY__SERVER__SEND_TIMEOUT": str(PATIENCE_S)}) as server,
        connect(server) as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(user_request(own("Review", LARGE), "Connection: close"))
        started = time.monotonic()
        while chunk := connection.recv(MIB):
            received += len(chunk)
            if time.monotonic() - started < 2 * PATIENCE_S:
                time.sleep(0.05)
    assert received > LARGE_BYTES


def test_a_last_answer_is_not_cut_short_by_the_close(server: Server) -> None:
    """A refused client gets a moment to close; one that still reads gets all the time it needs."""
    closing = user_request(own("Review", MEDIUM), "Connection: close")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(DEADLINE_S)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(closing)
        time.sleep(2.5)  # longer than that moment
        assert len(rest_of(connection)) > MEDIUM_BYTES


# Memory


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving(site.environment) as server:
        server.get("/-/live")
        yield server


@contextlib.contextmanager
def bounded(server: Server) -> Iterator[None]:
    before = memory_bytes(server)
    yield
    assert (memory_bytes(server) - before) / MIB < MOST_MIB
    assert server.get("/-/live").status == 200


def test_a_head_without_end(server: Server) -> None:
    endless = [LIVE[:-2] + b"A: ", *[b"b" * MIB] * 150]
    with bounded(server):
        assert statuses(converse(server.port, endless)) in ([431], [])
        assert statuses(converse(server.port, [LIVE[:-2], *[b"A: b\r\n" * 10_000] * 100])) == [431]


def test_trailers_without_end(server: Server) -> None:
    head = b"GET /-/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with bounded(server):
        assert statuses(converse(server.port, [head, *[b"A: b\r\n" * 10_000] * 100])) == [413]


def test_bodies_without_end(server: Server) -> None:
    head = b"POST /-/cache/purge HTTP/1.1\r\nHost: x\r\n"
    with bounded(server):
        long = head + b"Content-Length: 10000000000\r\n\r\n"
        assert statuses(converse(server.port, [long, *[bytes(MIB)] * 20])) in ([413], [])
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
        chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
        assert statuses(converse(server.port, [chunked, *[chunk] * 20])) in ([413], [])


def test_requests_whose_answers_are_not_read(server: Server) -> None:
    """Of a hundred connections, each with more requests than the server reads of it."""
    many = user_request(own("Review", LARGE)) * 2000 + LIVE * 5000
    with bounded(server), ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(connect(server))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.send(many)
        assert server.get("/-/live").status == 200


# Descriptors

FEW = 256


def prlimit(descriptors: int | str) -> tuple[str, ...]:
    """A command that allows another so many descriptors, or `soft:hard`."""
    return ("prlimit", f"--nofile={descriptors}")


def test_idle_connections_make_room_for_those_who_ask(site: Site) -> None:
    """The one that waits longest goes first; who is being answered stays."""
    with serving(site.environment, under=prlimit(FEW)) as server, ExitStack() as stack:
        busy = stack.enter_context(connect(server))
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        busy.sendall(user_request(own("Review", LARGE)))
        assert busy.recv(4096).startswith(b"HTTP/1.1 200 ")
        idle = [stack.enter_context(connect(server)) for _ in range(2 * FEW)]
        idle[0].settimeout(DEADLINE_S)
        assert rest_of(idle[0]) == b""
        for _ in range(20):
            assert server.get("/-/live").status == 200
        last = idle[-1]
        last.sendall(LIVE)
        assert last.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert len(busy.recv(65536)) > 0


def test_a_server_without_a_free_descriptor_goes_on_when_there_is_one(site: Site) -> None:
    """All of them are taken by answers that run."""
    with serving(site.environment, under=prlimit(FEW)) as server:
        with ExitStack() as stack:
            for _ in range(2 * FEW):
                client = stack.enter_context(connect(server))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with contextlib.suppress(OSError):
                    client.sendall(user_request(own("Review", LARGE)))
        eventually(lambda: is_served(server), bool)
        assert "Traceback" not in "".join(server.output)


def test_a_worker_takes_as_many_descriptors_as_the_system_allows(site: Site) -> None:
    with serving(site.environment, under=prlimit(f"{FEW}:{2 * FEW}")) as server:
        (worker,) = children(server.process.pid)
        limits = Path(f"/proc/{worker}/limits").read_text()
    assert re.search(rf"^Max open files +{2 * FEW} +{2 * FEW} ", limits, re.MULTILINE)


def is_served(server: Server) -> bool:
    try:
        return server.get("/-/live").status == 200
    except OSError:
        return False
