"""What an application sends becomes the bytes of one answer, and nothing else."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.hot_path.exchange import Exchange
from gateway.hot_path.front import WHOLE_ANSWER, Answer
from gateway.hot_path.writing import TransportWriter
from gateway.http.heads import Field, Head
from gateway.http.request import Request
from gateway.http.request_reader import RequestReader

LINE = b"HTTP/1.1 200 OK\r\n"
LENGTH_2 = (b"content-length", b"2")
SCOPE = {"type": "http", "client": None}
Sent = list[tuple[bytes, bytes]]


class Client:
    """A connection that writes down what it is told."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        self.written: Sent = []
        self.end: object = None

    def write(self, head: bytes, body: bytes) -> None:
        self.written.append((head, body))

    async def drained(self) -> None: ...

    def server_fields(self) -> Iterable[Field]:
        return self.fields

    def write_answer(self, answer: Answer, *, keeps_alive: bool) -> bool:
        self.written.append((answer.head.lines, answer.body))
        return keeps_alive

    def answer_failed(self) -> None:
        self.end = "failed"

    def answer_complete(self, *, keeps_alive: bool) -> None:
        self.end = keeps_alive


def request(method: bytes = b"GET", *fields: bytes, version: bytes = b"1.1") -> Request:
    reader = RequestReader(max_head_bytes=65_536)
    reader.feed(b"\r\n".join((method + b" / HTTP/" + version, b"Host: x", *fields, b"", b"")))
    found = reader.next_request()
    assert found is not None
    return found


def start(status: int = 200, *fields: Field) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(content: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def run(*messages: Message, method: bytes = b"GET", fields: Iterable[Field] = ()) -> Client:
    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return run_application(application, request(method), Client(*fields))


def run_application(application: Any, asked: Request, client: Client) -> Client:
    writer = cast(TransportWriter, client)
    asyncio.run(Exchange(writer, client, asked, SCOPE).run(application))
    return client


@pytest.mark.parametrize(
    ("client", "written"),
    [
        (
            run(start(200, LENGTH_2), body(b"ab")),
            [(LINE + b"content-length: 2\r\n\r\n", b"ab")],
        ),
        (
            run(start(200, LENGTH_2), body(b"a", more=True), body(b"b")),
            [(LINE + b"content-length: 2\r\n\r\n", b"a"), (b"", b"b")],
        ),
        (
            run(start(200, LENGTH_2), body(b"ab"), method=b"HEAD"),
            [(LINE + b"content-length: 2\r\n\r\n", b"")],
        ),
        (
            run(start(), body(b"ab", more=True), body()),
            [(LINE + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n"), (b"", b"0\r\n\r\n")],
        ),
        (run(start(304), body()), [(b"HTTP/1.1 304 Not Modified\r\n\r\n", b"")]),
        (
            run(start(200, LENGTH_2), body(b"ab"), fields=[(b"date", b"today")]),
            [(LINE + b"date: today\r\ncontent-length: 2\r\n\r\n", b"ab")],
        ),
    ],
)
def test_the_head_leaves_with_the_first_bytes_of_the_body(client: Client, written: Sent) -> None:
    assert client.written == written
    assert client.end is True


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (run(start(200, (b"content-length", b"0"), (b"connection", b"close")), body()), 1),
        (run(start(204), body(), fields=[(b"connection", b"close")]), 1),
    ],
)
def test_an_answer_that_says_close_is_the_last_one(client: Client, said: int) -> None:
    assert client.end is False
    assert client.written[0][0].count(b"connection: close\r\n") == said


def test_a_client_that_asks_for_the_end_is_told_of_it() -> None:
    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start(204))
        await send(body())

    client = run_application(application, request(b"GET", b"Connection: close"), Client())
    assert client.written == [(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", b"")]
    assert client.end is False


def test_an_http_1_0_client_knows_no_chunks_and_reads_to_the_end_of_the_connection() -> None:
    """nginx asks its upstreams so, unless it is told otherwise."""

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"ab", more=True))
        await send(body())

    asked = request(b"GET", b"Connection: keep-alive", version=b"1.0")
    client = run_application(application, asked, Client())
    assert client.written == [(LINE + b"connection: close\r\n\r\n", b"ab"), (b"", b"")]
    assert client.end is False


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (start(200, LENGTH_2),),
        (body(b"ab"),),
        (start(), start()),
        (start(200, LENGTH_2), body(b"abc")),
        (start(200, LENGTH_2), body(b"a")),
        (start(200, (b"a b", b"c")), body()),
        (start(200, (b"a", b"c\r\nd: e")), body()),
        (start(200, (b"a", b"c\x00")), body()),
    ],
)
def test_an_application_that_fails_before_its_first_byte_is_a_500(
    messages: tuple[Message, ...],
) -> None:
    client = run(*messages)
    ((head, content),) = client.written
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"\r\ncache-control: no-store\r\n" in head
    assert content == b'{"detail":"Internal server error","code":"internal_error"}'
    assert client.end is False


@pytest.mark.parametrize(
    "messages",
    [
        (start(200, LENGTH_2), body(b"a", more=True)),
        (start(200, LENGTH_2), body(b"a", more=True), body(b"bc")),
        (start(), body(b"a", more=True), start()),
    ],
)
def test_an_answer_that_breaks_off_gets_no_regular_end(messages: tuple[Message, ...]) -> None:
    assert run(*messages).end == "failed"


def test_the_body_is_received_once_and_then_the_end() -> None:
    received: list[Message] = []

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send(start(204))
        await send(body())
        received.append(await receive())

    asked = request()
    asked.body = b"ab"
    run_application(application, asked, Client())
    assert received == [
        {"type": "http.request", "body": b"ab", "more_body": False},
        {"type": "http.disconnect"},
    ]


WHOLE = {
    "type": WHOLE_ANSWER,
    "answer": Answer(Head(200, (LENGTH_2,), b"content-length: 2\r\n"), b"ab", (), b""),
}


def test_a_whole_answer_is_written_as_it_is() -> None:
    client = run(WHOLE)
    assert client.written == [(b"content-length: 2\r\n", b"ab")]
    assert client.end is True


@pytest.mark.parametrize("messages", [(WHOLE, WHOLE), (WHOLE, body(b"ab")), (WHOLE, start())])
def test_nothing_follows_a_whole_answer(messages: tuple[Message, ...]) -> None:
    assert run(*messages).written == run(WHOLE).written


def test_a_whole_answer_follows_no_start() -> None:
    client = run(start(200, LENGTH_2), WHOLE)
    ((head, _),) = client.written
    assert head.startswith(b"HTTP/1.1 500 ")


def test_after_the_client_is_gone_nothing_is_written() -> None:
    client = Client()
    exchange = Exchange(cast(TransportWriter, client), client, request(), SCOPE)
    received: list[Message] = []

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        exchange.disconnect()
        await receive()
        received.append(await receive())
        await send(start())
        await send(body(b"ab"))

    asyncio.run(exchange.run(application))
    assert received == [{"type": "http.disconnect"}]
    assert client.written == []
    assert client.end is None
