"""What is in memory is answered by the connection itself, as the application answers it."""

import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.listeners import CREDENTIALS, ENTRY_URL, Running, three_listeners, user_request
from tests.support.site import BEN, Site
from tests.support.sockets import LAST
from tests.support.urls import MANIFEST, own

DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[Running]:
    with three_listeners(site) as both:
        yield both


def etag_of(answer: bytes) -> str:
    found = re.search(rb"^etag: ([^\r]*)", answer, re.MULTILINE)
    assert found is not None, answer
    return found[1].decode()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (user_request(), user_request()),
        (
            user_request(),
            user_request(f"{ENTRY_URL}?v=1.0.0"),
        ),  # as the application's front end asks
        (user_request(), user_request(ENTRY_URL, "Connection: keep-alive")),
        (user_request(), user_request(ENTRY_URL, "User-Agent: another", "Cookie: a=b")),
        (user_request(MANIFEST), user_request(MANIFEST)),
        (user_request(user=BEN), user_request(user=BEN)),
    ],
)
def test_what_is_in_memory_is_answered_without_the_application(
    running: Running, first: bytes, again: bytes
) -> None:
    running.warm(first)
    calls, at_once = running.app.calls, running.at_once()
    answer = running.ask("ours", again, again, LAST)
    assert running.app.calls == calls + 1  # LAST alone
    assert running.at_once() == at_once + 2
    assert answer == running.ask("theirs", again, again, LAST)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_304_too(running: Running) -> None:
    held = user_request(
        ENTRY_URL, f"If-None-Match: {etag_of(running.ask('ours', user_request(), LAST))}"
    )
    running.warm(held)
    calls = running.app.calls
    answer = running.ask("ours", held, held, LAST)
    assert running.app.calls == calls + 1
    assert answer.count(b"HTTP/1.1 304 Not Modified\r\n") == 2
    assert answer == running.ask("theirs", held, held, LAST)


@pytest.mark.parametrize(
    "last",
    [
        user_request(ENTRY_URL, "Connection: close"),
        user_request(ENTRY_URL, "Connection: close, x"),
        user_request(version="1.0"),
        user_request(ENTRY_URL, "Connection: keep-alive", version="1.0"),
    ],
)
def test_the_last_request_of_a_connection_too(running: Running, last: bytes) -> None:
    running.warm(user_request())
    calls = running.app.calls
    answer = running.ask("ours", user_request(), last + user_request())
    assert running.app.calls == calls
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answer.count(b"\r\nconnection: close\r\n") == 1
    assert answer == running.ask("theirs", user_request(), last)


BODY = "Content-Length: 4"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "pieces",
    [
        (user_request(method="HEAD"), LAST),
        (user_request(method="POST"), LAST),
        (user_request(method="OPTIONS"), LAST),
        (user_request(ENTRY_URL, BODY) + b"body", LAST),
        (user_request(ENTRY_URL, BODY), b"bo", b"dy", LAST),
        (user_request(ENTRY_URL, CHUNKED) + b"1\r\nx\r\n0\r\n\r\n", LAST),
        (user_request(ENTRY_URL, "Expect: 100-continue", BODY) + b"body", LAST),
        (user_request(ENTRY_URL, f"Authorization: {CREDENTIALS[BEN]}"), LAST),
        (user_request(ENTRY_URL, "Range: bytes=0-3"), LAST),
        (user_request(ENTRY_URL, "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"), LAST),
        (user_request(f"{ENTRY_URL}%3Fv"), LAST),
        (user_request(ENTRY_URL.replace("/dist/", "/dist/../dist/")), LAST),
    ],
)  # fmt: skip
def test_all_else_goes_to_the_application(running: Running, pieces: tuple[bytes, ...]) -> None:
    """After an answer at once on the same connection."""
    running.warm(user_request())
    before = running.app.calls
    answer = running.ask("ours", user_request(), *pieces)
    calls, before = running.app.calls - before, running.app.calls
    assert answer == running.ask("theirs", user_request(), *pieces)
    assert calls == running.app.calls - before - 1


@pytest.mark.parametrize("size", [1, 2, 7, 100, 5000])
def test_however_a_request_is_cut_the_answer_is_the_same(running: Running, size: int) -> None:
    sent = user_request() + user_request(MANIFEST) + user_request() + LAST
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    assert running.ask("ours", *pieces) == running.ask("theirs", sent)


def test_answers_keep_the_order_of_pipelined_requests(running: Running) -> None:
    """An answer at once waits for the one before it, which the application is still deciding."""
    slow = user_request(own("Review", "dist/main.css"))
    many = (slow + user_request() + user_request(MANIFEST)) * 20 + LAST
    assert running.ask("ours", many) == running.ask("theirs", many)


@pytest.mark.slow
def test_who_does_not_read_is_not_written_to_without_end(site: Site, running: Running) -> None:
    """Further requests are decided, one after the other, when the client has read."""
    site.publish("Review", "1.0.0", {"dist/large.js": bytes(2**20)})
    large, asked = user_request(own("Review", "dist/large.js"), "Accept-Encoding: identity"), 100
    running.warm(large)
    before = running.at_once()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(DEADLINE_S)
        connection.connect(running.sockets["ours"].getsockname())
        connection.sendall(large * asked + LAST)
        running.ask("ours", user_request(), LAST)  # all that came has been looked at
        assert 0 < running.at_once() - before < asked / 2
        received = 0
        while chunk := connection.recv(2**20):
            received += len(chunk)
    assert received > asked * 2**20


def test_a_connection_that_is_to_be_closed_says_so_and_closes(running: Running) -> None:
    running.warm(user_request())
    state = running.ours.server_state
    before = state.default_headers
    state.default_headers = [*before, (b"connection", b"close")]
    try:
        answer = running.ask("ours", user_request() + user_request())
    finally:
        state.default_headers = before
    assert answer.count(b"HTTP/1.1 200 OK\r\nconnection: close\r\n") == 1


def test_an_idle_connection_is_closed_after_an_answer_at_once_too(running: Running) -> None:
    running.warm(user_request())
    calls, requests = running.app.calls, running.ours.server_state.total_requests
    assert running.ask("ours", user_request()).startswith(b"HTTP/1.1 200 OK\r\n")
    assert running.app.calls == calls
    assert running.ours.server_state.total_requests == requests + 1


def test_what_is_explained_is_left_to_the_application(site: Site) -> None:
    with three_listeners(site, GATEWAY__OBSERVABILITY__DEBUG_HEADERS="true") as running:
        for _ in range(3):
            running.ask("ours", user_request(), LAST)
        assert running.app.calls == 6


def test_a_limit_of_connections_refuses_what_is_in_memory_too(site: Site) -> None:
    with three_listeners(site, GATEWAY__SERVER__LIMIT_CONCURRENCY="2") as running:
        running.warm(user_request())
        address = running.sockets["ours"].getsockname()
        with socket.create_connection(address) as other:
            answer = running.ask("ours", user_request())
            assert answer.startswith(b"HTTP/1.1 503 ")
            other.sendall(user_request())
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")
