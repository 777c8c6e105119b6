"""A client's connection under `gateway serve`: HTTP/1.1, one request after the other.

    bytes -> request_reader.py -> request -> what is in memory: answered here, at once
                                          -> otherwise: exchange.py -> the application

uvicorn runs the loop, the lifespan and the shutdown, and calls this class for connections. Its
own protocol reads a body behind `Upgrade` as requests, takes trailers for headers, and bounds
neither the size of a head nor the time that it takes; so this one is ours.

Theory of operation. At any moment one request at most is being answered. While that lasts,
and while the client does not read what was written, nothing more is read from its socket: the
client waits, we hold nothing. Each wait for the client has a deadline:

    for the first byte       head_timeout from the connection, or the keep-alive time
    for the rest of a head   head_timeout from its first byte; later bytes do not extend it
    for the rest of a body   head_timeout from the end of the head
    for a client to read     send_timeout without any byte of the answer taken

A connection that is refused something is closed in two steps (RFC 9112 §9.6): the sending side
first, and when the client has closed its own, or after a moment, the rest. A close in one step
would reset the connection, and the client could lose the answer that says why.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from gateway.errors import RequestError, RequestTimeout, TooManyConnections
from gateway.hot_path.deadlines import Deadline, StallWatch
from gateway.hot_path.descriptors import most_connections
from gateway.hot_path.exchange import Exchange
from gateway.hot_path.front import WHOLE_ANSWER, Answer, AnswersAtOnce, Front
from gateway.http.answers import error_answer
from gateway.http.heads import STATUS_LINES, Field, field_lines
from gateway.http.request_reader import Limits, Phase, Request, RequestReader
from gateway.settings import Server

logger = logging.getLogger(__name__)

_CLOSE = (b"connection", b"close")
_END = b"\r\n"
_CLOSING_END = b"connection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# So many requests of one connection are answered before others get their turn.
_AT_ONCE = 16
# Beyond, copying costs more than the system call that it saves.
_MOST_COPIED_BYTES = 32 * 1024
# How long, and how much, is read of a client that was refused, so that it sees the refusal.
_LINGER_S = 2.0
_LINGER_BYTES = 2**20


def protocol_for(front: AnswersAtOnce, settings: Server) -> type[asyncio.Protocol]:
    """What uvicorn makes a connection with; it does nothing with it but call it."""
    return cast(type[asyncio.Protocol], partial(Connection, _Common(front, settings)))


@dataclass(slots=True)
class _Common:
    """What the connections of a worker share."""

    front: AnswersAtOnce
    settings: Server
    limits: Limits = field(init=False)
    most_connections: int = field(init=False, default_factory=most_connections)
    idle: "OrderedDict[Connection, None]" = field(init=False, default_factory=OrderedDict)
    """Those that are owed no answer, the one that waits longest first."""
    refused: int = field(init=False, default=0)
    """Connections that are only waiting for their client to close them."""
    _fields: list[Field] | None = field(init=False, default=None)
    _head: tuple[bytes, bool] = field(init=False, default=(b"", False))

    def __post_init__(self) -> None:
        self.limits = Limits(head_bytes=self.settings.max_head_bytes)

    def server_head(self, fields: list[Field]) -> tuple[bytes, bool]:
        """uvicorn's fields as they are sent; whether they end the connection.

        uvicorn makes another list of them once in a second.
        """
        if fields is not self._fields:
            self._fields = fields
            self._head = field_lines(fields), _CLOSE in fields
        return self._head


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(
        self,
        common: _Common,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._common = common
        self._front = common.front
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._application: ASGIApp = config.loaded_app
        self._may_answer_at_once = not config.access_log  # what is logged goes to the application
        if isinstance(self._application, Front) and self._may_answer_at_once:
            self._application = self._application.answer_later  # it was asked at once already
        self._reader = RequestReader(common.limits)
        self._exchange: Exchange | None = None
        self._phase: Phase | None = Phase.NOTHING
        """What is waited for; None, while a request is answered."""
        self._is_over = False
        """No further request is read."""
        self._has_eof = False
        self._has_turn_coming = False
        self._is_read_paused = False
        self._is_write_paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_refused = False
        """Closed in two steps, of which one is done."""
        self._lingering_bytes = 0
        self._deadline = Deadline(self._loop, self._waited_long_enough)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._write = self._transport.write
        send_timeout_s = self._common.settings.send_timeout
        self._stall = StallWatch(self._loop, self._transport, send_timeout_s)
        self._asked: dict[str, Any] = {
            "client": get_remote_addr(self._transport),
            "server": get_local_addr(self._transport),
        }
        self._state.connections.add(cast(Any, self))
        self._become_idle(self._common.settings.head_timeout)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._common.idle.pop(self, None)
        self._is_over = True
        self._common.refused -= self._is_refused
        self._deadline.close()
        self._stall.close()
        self._writable.set()
        if self._exchange is not None:
            self._exchange.disconnect()

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            self._drop(data)
            return
        self._reader.feed(data)
        self._go_on()

    def eof_received(self) -> bool:
        """Whether the transport stays open: a client that has shut its sending side down still
        gets the answers that it is owed (RFC 9112 §9.6).
        """
        self._has_eof = True
        is_owed = self._exchange is not None or self._is_write_paused or self._has_turn_coming
        return is_owed and not self._is_over

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._writable.clear()
        self._stall.watch()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._writable.set()
        if self._exchange is None and not self._is_over:
            self._go_on()

    # What the server calls.

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    @property
    def owes_an_answer(self) -> bool:
        return self._exchange is not None

    def shutdown(self) -> None:
        """Ends the connection: now, or with the answer that is being made."""
        if self._exchange is None:
            self._close()
        else:
            self._exchange.keeps_alive = False

    # Reading

    def _go_on(self) -> None:
        """Answers the requests that have come, as far as their turn has come."""
        self._has_turn_coming = False
        for _ in range(_AT_ONCE):
            if self._is_over or self._transport.is_closing():
                return
            if self._exchange is not None or self._is_write_paused:
                self._pause_reading()
                return
            try:
                request = self._reader.next_request()
            except RequestError as refusal:
                self._refuse(refusal)
                return
            if request is None:
                self._wait()
                return
            self._phase = None
            self._deadline.clear()
            self._answer(request)
        self._has_turn_coming = True
        self._loop.call_soon(self._go_on)

    def _wait(self) -> None:
        """For more of what the client sends."""
        if self._has_eof:
            self._close()
            return
        self._resume_reading()
        phase, settings = self._reader.phase, self._common.settings
        if phase is self._phase:
            return  # bytes that came meanwhile do not extend the deadline
        self._phase = phase
        if phase is Phase.NOTHING:
            self._become_idle(self._config.timeout_keep_alive)
            return
        self._deadline.set(settings.head_timeout)
        if self._reader.expects_continue:
            self._write(_CONTINUE)

    def _pause_reading(self) -> None:
        if self._reader.has_unread and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()

    def _drop(self, data: bytes) -> None:
        """What a refused client goes on sending."""
        self._lingering_bytes += len(data)
        if self._lingering_bytes > _LINGER_BYTES:
            self._close()

    # Answering

    def _answer(self, request: Request) -> None:
        if self._config.limit_concurrency is not None and self._is_beyond_limit():
            self._refuse(TooManyConnections())
        elif not (self._may_answer_at_once and self._answered_at_once(request)):
            self._begin(request)

    def _is_beyond_limit(self) -> bool:
        limit = self._config.limit_concurrency or 0
        served = len(self._state.connections) - self._common.refused
        return served >= limit or len(self._state.tasks) >= limit

    def _answered_at_once(self, request: Request) -> bool:
        """Answers from memory a request that is nothing but a GET: no body, no repeated field."""
        headers = request.headers
        if request.method != b"GET" or request.has_body or len(headers) != len(request.fields):
            return False
        asked = self._asked
        asked["raw_path"], asked["query_string"] = request.raw_path, request.query_string
        answer = self._front.answer_at_once(asked, headers)
        if answer is None:
            return False
        keeps_alive = self.write_answer(answer, keeps_alive=request.keeps_alive)
        self._state.total_requests += 1
        if not keeps_alive:
            self._finish()
        return True

    def _begin(self, request: Request) -> None:
        """The long way."""
        self._common.idle.pop(self, None)
        scope = self._scope(request)
        exchange = Exchange(self, request, scope, access_log=self._config.access_log)
        self._exchange = exchange
        task = self._loop.create_task(exchange.run(self._application))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _scope(self, request: Request) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.version,
            **self._asked,
            "scheme": "http",
            "method": request.method.decode("ascii"),
            "root_path": "",
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query_string,
            "headers": request.fields,
            "state": self._app_state.copy(),
            "extensions": {WHOLE_ANSWER: {}},
        }

    # What an exchange calls.

    async def drained(self) -> None:
        if self._is_write_paused:
            await self._writable.wait()

    def server_fields(self) -> Iterable[Field]:
        return self._state.default_headers

    def write_answer(self, answer: Answer, *, keeps_alive: bool) -> bool:
        server_head, ends = self._common.server_head(self._state.default_headers)
        end = _END if keeps_alive or ends else _CLOSING_END
        status_line = STATUS_LINES[answer.head.status]
        head = b"".join((status_line, server_head, answer.head.lines, answer.cors_lines, end))
        self.write(head, answer.body)
        return keeps_alive and not ends

    def write(self, head: bytes, body: bytes) -> None:
        self._stall.written_bytes += len(head) + len(body)
        if len(body) <= _MOST_COPIED_BYTES:
            if joined := head + body:
                self._write(joined)
            return
        # Not both with one vectored write: 37 µs for 128 KiB on loopback, where two take 26.
        if head:
            self._write(head)
        self._write(body)

    def answer_failed(self) -> None:
        """The client sees that the answer is incomplete: it gets no regular end."""
        self._exchange = None
        self._close()

    def answer_complete(self, *, keeps_alive: bool) -> None:
        self._exchange = None
        self._state.total_requests += 1
        if keeps_alive:
            self._go_on()
        else:
            self._finish()

    # Ending

    def _refuse(self, refusal: RequestError) -> None:
        """Answers what is no request of ours, as the last thing on this connection."""
        self._front.answered_later[refusal.status] += 1
        answer = error_answer(refusal)
        fields = [*self._state.default_headers, *answer.raw_headers]
        if _CLOSE not in fields:
            fields.append(_CLOSE)
        self.write(STATUS_LINES[refusal.status] + field_lines(fields) + _END, bytes(answer.body))
        self._finish()

    def _finish(self) -> None:
        """Closes in two steps (see above)."""
        self._is_over = True
        self._common.idle[self] = None
        if self._has_eof or self._transport.is_closing():
            self._close()
            return
        self._resume_reading()
        self._is_refused = True
        self._common.refused += 1
        with contextlib.suppress(OSError):  # the client is gone already
            self._transport.write_eof()
        self._deadline.set(_LINGER_S)
        self._stall.watch()

    def _close(self) -> None:
        self._is_over = True
        self._transport.close()
        self._stall.watch()

    # Time and room

    def _become_idle(self, for_s: float) -> None:
        idle = self._common.idle
        idle[self] = None
        idle.move_to_end(self)
        self._deadline.set(for_s)

    def _make_room(self) -> None:
        """Where no more connections fit, the one that waits longest goes, else the newest."""
        if len(self._state.connections) <= self._common.most_connections:
            return
        oldest, _ = self._common.idle.popitem(last=False)
        oldest._transport.abort()

    def _waited_long_enough(self) -> None:
        """The deadline has passed."""
        if self._is_over and self._transport.get_write_buffer_size():
            self._deadline.set(_LINGER_S)  # the client still reads: `_stall` looks after it
        elif self._is_over or self._phase is Phase.NOTHING:
            self._close()
        else:
            self._refuse(RequestTimeout())
