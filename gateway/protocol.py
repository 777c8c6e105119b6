"""uvicorn's HTTP protocol, which answers repetitions by itself.

A request that was decided a moment ago is answered when its head has been read: no scope is
made, no task, and the head of the answer was put into bytes before. What is left of a request
is reading and writing. All else is given to uvicorn as it was read, and goes its way to the
same application; and an answer is the same, byte for byte, either way.

It leans on names of uvicorn that are not promised: those that `HttpToolsProtocol` defines and
that are used below. tests/test_protocol.py holds both ways against each other.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gateway.endpoints.front import Front
from gateway.joined_writes import JoiningTransport

Fields = list[tuple[bytes, bytes]]


def protocol_for(front: Front) -> type[asyncio.Protocol]:
    """What uvicorn, which does nothing but call it, makes a connection with."""
    return cast(type[asyncio.Protocol], partial(GatewayProtocol, front, ServerFields()))


class ServerFields:
    """The fields that uvicorn puts before those of every answer: Date, mostly."""

    def __init__(self) -> None:
        self._fields: Fields | None = None
        self._head: bytes | None = None

    def head(self, fields: Fields) -> bytes | None:
        """As they are sent; None, where the connection is to be closed after the answer.

        uvicorn makes another list of them once in a second.
        """
        if fields is not self._fields:
            self._fields = fields
            closes = any(name == b"connection" for name, _ in fields)
            self._head = None if closes else head_of(fields)
        return self._head


class _Answered:
    """Stands where uvicorn keeps a connection's last exchange, and expects nothing more."""

    response_complete = True
    message_event = asyncio.Event()


_ANSWERED = cast(RequestResponseCycle, _Answered())


def head_of(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Lines of a head (RFC 9112 §5)."""
    return b"".join(piece for name, value in fields for piece in (name, b": ", value, b"\r\n"))


class GatewayProtocol(HttpToolsProtocol):
    """A connection that answers repetitions, and begins each answer with one write."""

    def __init__(self, front: Front, server_fields: ServerFields, **options: Any) -> None:
        super().__init__(**options)
        self._front = front
        self._server_fields = server_fields
        self._may_repeat = not self.config.access_log  # what is logged goes uvicorn's way

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joining = JoiningTransport(transport)
        super().connection_made(cast(asyncio.Transport, self._joining))
        self._asked: dict[str, Any] = {"client": self.client, "server": self.server}

    # What the parser has read is kept, and told to uvicorn once it is known to be wanted.

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._may_repeat and self._repeated():
            return
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.on_url(url)
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        self._joining.end_answer()
        super().on_response_complete()

    def _repeated(self) -> bool:
        """Answers the request whose head has been read, if it is a repetition and nothing else:
        no body, no wish about the connection, nobody before it who waits."""
        headers, parser, cycle = dict(self.headers), self.parser, self.cycle
        if (
            len(headers) != len(self.headers)
            or parser.get_method() != b"GET"
            or b"content-length" in headers
            or b"transfer-encoding" in headers
            or parser.should_upgrade()
            or not parser.should_keep_alive()
            or parser.get_http_version() != "1.1"
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or (self.limit_concurrency is not None and self._is_at_limit(self.limit_concurrency))
        ):
            return False
        server_head = self._server_fields.head(self.server_state.default_headers)
        asked = self._asked
        asked["raw_path"], _, asked["query_string"] = self.url.partition(b"?")
        key = self._front.key_of(asked, headers)
        if server_head is None or key is None:
            return False
        repetition = self._front.repeat(key)
        if repetition is None:
            return False
        decision, body = repetition
        if not decision.head:
            decision.head = head_of(decision.fields) + b"\r\n"
        self.cycle = _ANSWERED
        self._joining.write_answer(STATUS_LINE[decision.status] + server_head + decision.head, body)
        self.on_response_complete()
        return True

    def _is_at_limit(self, limit: int) -> bool:
        """Whether uvicorn will refuse the request."""
        return len(self.connections) >= limit or len(self.tasks) >= limit
