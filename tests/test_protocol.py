"""Repetitions are answered by the connection itself, exactly as the application answers them.

One gateway behind three listeners: "ours", the protocol of `gateway serve`; "long", the same
protocol when it repeats nothing; and "theirs", uvicorn's own, for requests that both take.
"""

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway import Gateway, create_app
from gateway.protocol import protocol_for
from gateway.settings import load_settings
from gateway.worker import uvicorn_options
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import MANIFEST, own

# Nothing but what a test does ends an answer.
_LASTING = {
    "GATEWAY__CACHE__INSTALLATIONS__TTL": "3600",
    "GATEWAY__CACHE__VERSIONS__TTL": "3600",
    "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600",
}
_DEADLINE_S = 10.0
_DATE = re.compile(rb"^date: [^\r]*\r\n", re.MULTILINE)
_ENTRY = own("Review")
_CREDENTIALS = {user: bearer(user)["Authorization"] for user in (ADA, BEN)}


class Called:
    """The gateway, counting how often a server calls it as an application."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await self.gateway(scope, receive, send)


@dataclass(slots=True)
class Running:
    """Both listeners' sockets, and what they share."""

    app: Called
    ours: uvicorn.Server
    sockets: dict[str, socket.socket] = field(default_factory=dict)

    def ask(self, whose: str, *pieces: bytes) -> bytes:
        """All that comes back on one connection, without the date. The last piece closes it."""
        with socket.create_connection(self.sockets[whose].getsockname(), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        return _DATE.sub(b"", received)

    def repeated(self) -> int:
        return sum(self.app.gateway.repeated.values())

    def remember(self, asked: bytes) -> None:
        """Asks until the answer is a repetition: encoded variants may come in between."""
        before, until = self.repeated(), time.monotonic() + _DEADLINE_S
        while self.repeated() == before:
            assert time.monotonic() < until, "never repeated"
            self.ask("ours", asked, LAST)


@contextmanager
def two_ways(site: Site, **environment: str) -> Iterator[Running]:
    settings = load_settings(environ={**site.environment, **_LASTING, **environment})
    gateway = create_app(settings)
    app = Called(gateway)
    options: dict[str, Any] = {
        **uvicorn_options(settings, "warning"),
        "lifespan": "off",
        "timeout_keep_alive": 1,
    }
    protocol = protocol_for(gateway, settings.server)
    ours = uvicorn.Server(uvicorn.Config(app, http=protocol, **options))
    # Requests that are logged are not repeated; the level keeps the lines back.
    long = uvicorn.Server(uvicorn.Config(app, http=protocol, **{**options, "access_log": True}))
    theirs = uvicorn.Server(uvicorn.Config(app, http="httptools", **options))
    running = Running(app, ours)
    for name in ("ours", "long", "theirs"):
        running.sockets[name] = socket.create_server(("127.0.0.1", 0))

    async def serve() -> None:
        async with gateway.running(listening=False):
            await asyncio.gather(
                ours.serve([running.sockets["ours"]]),
                long.serve([running.sockets["long"]]),
                theirs.serve([running.sockets["theirs"]]),
            )

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield running
    finally:
        ours.should_exit = long.should_exit = theirs.should_exit = True
        thread.join()
        for each in running.sockets.values():
            each.close()


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[Running]:
    with two_ways(site) as both:
        yield both


def request(
    url: str = _ENTRY, *fields: str, method: str = "GET", version: str = "1.1", user: str = ADA
) -> bytes:
    line = f"{method} {url} HTTP/{version}"
    lines = [line, "Host: x", f"Authorization: {_CREDENTIALS[user]}", *fields]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


LAST = request("/-/live", "Connection: close")
"""Ends the connection once what came before it was answered."""


def etag_of(answer: bytes) -> str:
    found = re.search(rb"^etag: ([^\r]*)", answer, re.MULTILINE)
    assert found is not None, answer
    return found[1].decode()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (request(), request()),
        (request(), request(f"{_ENTRY}?v=1.0.0")),  # as the application's front end asks
        (request(), request(_ENTRY, "Connection: keep-alive")),
        (request(), request(_ENTRY, "User-Agent: another", "Cookie: a=b")),
        (request(MANIFEST), request(MANIFEST)),
        (request(user=BEN), request(user=BEN)),
    ],
)
def test_a_repetition_is_answered_without_the_application(
    running: Running, first: bytes, again: bytes
) -> None:
    running.remember(first)
    calls, repeated = running.app.calls, running.repeated()
    answer = running.ask("ours", again, again, LAST)
    assert running.app.calls == calls + 1  # LAST alone
    assert running.repeated() == repeated + 2
    assert answer == running.ask("theirs", again, again, LAST)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_304_too(running: Running) -> None:
    held = request(_ENTRY, f"If-None-Match: {etag_of(running.ask('ours', request(), LAST))}")
    running.remember(held)
    calls = running.app.calls
    answer = running.ask("ours", held, held, LAST)
    assert running.app.calls == calls + 1
    assert answer.count(b"HTTP/1.1 304 Not Modified\r\n") == 2
    assert answer == running.ask("theirs", held, held, LAST)


BODY = "Content-Length: 4"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "pieces",
    [
        (request(method="HEAD"), LAST),
        (request(method="POST"), LAST),
        (request(method="OPTIONS"), LAST),
        (request(_ENTRY, "Connection: close"),),
        (request(_ENTRY, "Connection: close, x"),),
        (request(version="1.0"),),
        (request(_ENTRY, "Connection: keep-alive", version="1.0"),),
        (request(_ENTRY, BODY) + b"body", LAST),
        (request(_ENTRY, BODY), b"bo", b"dy", LAST),
        (request(_ENTRY, CHUNKED) + b"1\r\nx\r\n0\r\n\r\n", LAST),
        (request(_ENTRY, "Expect: 100-continue", BODY) + b"body", LAST),
        (request(_ENTRY, f"Authorization: {_CREDENTIALS[BEN]}"), LAST),
        (request(_ENTRY, "Range: bytes=0-3"), LAST),
        (request(_ENTRY, "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"), LAST),
        (request(f"{_ENTRY}%3Fv"), LAST),
        (request(_ENTRY.replace("/dist/", "/dist/../dist/")), LAST),
    ],
)  # fmt: skip
def test_all_else_goes_to_the_application(running: Running, pieces: tuple[bytes, ...]) -> None:
    """After a repetition on the same connection."""
    running.remember(request())
    before = running.app.calls
    answer = running.ask("ours", request(), *pieces)
    calls, before = running.app.calls - before, running.app.calls
    assert answer == running.ask("theirs", request(), *pieces)
    assert calls == running.app.calls - before - 1


@pytest.mark.parametrize("size", [1, 2, 7, 100, 5000])
def test_however_a_request_is_cut_the_answer_is_the_same(running: Running, size: int) -> None:
    sent = request() + request(MANIFEST) + request() + LAST
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert running.ask("ours", *pieces) == running.ask("theirs", sent)


def test_answers_keep_the_order_of_pipelined_requests(running: Running) -> None:
    """A repetition waits for the one before it, which the application is still deciding."""
    slow = request(own("Review", "dist/main.css"))
    many = (slow + request() + request(MANIFEST)) * 20 + LAST
    assert running.ask("ours", many) == running.ask("theirs", many)


def test_who_does_not_read_is_not_written_to_without_end(site: Site, running: Running) -> None:
    """His further requests are decided, one after the other, when he has read."""
    site.publish("Review", "1.0.0", {"dist/large.js": bytes(2**20)})
    large, asked = request(own("Review", "dist/large.js"), "Accept-Encoding: identity"), 100
    running.remember(large)
    before = running.repeated()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(_DEADLINE_S)
        connection.connect(running.sockets["ours"].getsockname())
        connection.sendall(large * asked + LAST)
        running.ask("ours", request(), LAST)  # all that came has been looked at
        assert 0 < running.repeated() - before < asked / 2
        received = 0
        while chunk := connection.recv(2**20):
            received += len(chunk)
    assert received > asked * 2**20


def test_a_connection_that_is_to_be_closed_says_so_and_closes(running: Running) -> None:
    running.remember(request())
    state = running.ours.server_state
    before = state.default_headers
    state.default_headers = [*before, (b"connection", b"close")]
    try:
        answer = running.ask("ours", request() + request())
    finally:
        state.default_headers = before
    assert answer.count(b"HTTP/1.1 200 OK\r\nconnection: close\r\n") == 1


def test_an_idle_connection_is_closed_after_a_repetition_too(running: Running) -> None:
    running.remember(request())
    calls, requests = running.app.calls, running.ours.server_state.total_requests
    assert running.ask("ours", request()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert running.app.calls == calls
    assert running.ours.server_state.total_requests == requests + 1


@pytest.mark.parametrize(
    "environment",
    [
        {"GATEWAY__OBSERVABILITY__ACCESS_LOG": "true"},
        {"GATEWAY__OBSERVABILITY__DEBUG_HEADERS": "true"},
    ],
)
def test_what_is_logged_or_explained_is_left_to_the_application(
    site: Site, environment: dict[str, str]
) -> None:
    with two_ways(site, **environment) as running:
        for _ in range(3):
            running.ask("ours", request(), LAST)
        assert running.app.calls == 6


def test_a_limit_of_connections_refuses_repetitions_too(site: Site) -> None:
    with two_ways(site, GATEWAY__SERVER__LIMIT_CONCURRENCY="2") as running:
        running.remember(request())
        address = running.sockets["ours"].getsockname()
        with socket.create_connection(address) as other:
            answer = running.ask("ours", request())
            assert answer.startswith(b"HTTP/1.1 503 ")
            other.sendall(request())
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
