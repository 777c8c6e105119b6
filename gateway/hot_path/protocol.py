"""A client's connection under `gateway serve`: HTTP/1.1, one request after the other.

    bytes -> request_reader.py -> request -> in memory: answered here, at once
                                          -> otherwise: exchange.py -> the application
    bytes <- writing.py <- the answer

uvicorn runs the loop, the lifespan and the shutdown, and calls this class for connections. Its own
protocol reads a body behind `Upgrade` as requests, takes trailers for headers, and bounds neither
the size of a head nor the time that it takes. So this one replaces it.

At any moment at most one request is being answered. Until the answer is written, and taken by the
client, nothing more is read from the socket: then the client waits, and the gateway holds nothing.
Each wait for the client has a deadline:

    for the first byte       head_timeout from the connection, or the keep-alive time
    for the rest of a head   head_timeout from its first byte; later bytes do not extend it
    for the rest of a body   head_timeout from the end of the head
    for a client to read     send_timeout without any byte of the answer taken

After a last answer the connection is closed in two steps (RFC 9112 §9.6): first the sending side,
then the rest, when the client has closed its own side or `_LINGER_S` later. A close in one step
would reset the connection, and the client could lose the answer that says why.
"""

import asyncio
import contextlib
import time
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from gateway.errors import RequestError, RequestTimeout, TooManyConnections
from gateway.hot_path.access_log import AccessLog
from gateway.hot_path.deadlines import Deadline, StallWatch
from gateway.hot_path.exchange import Exchange, build_scope
from gateway.hot_path.front import BUG, Answer, AnswersHot, Front
from gateway.hot_path.room import Room
from gateway.hot_path.writing import ServerFields, TransportWriter
from gateway.http.answers import error_answer
from gateway.http.plain_heads import PlainHeads
from gateway.http.request import Request
from gateway.http.request_id import id_field, new_request_id
from gateway.http.request_reader import MAX_FIELDS, Phase, RequestReader
from gateway.settings import ServerSettings
from gateway.tracing.current_request import CurrentRequest

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# After this many requests of one connection, other connections get their turn.
_MAX_IN_A_ROW = 16
# After its last answer, this much is read of a client, so that it sees the answer.
_LINGER_S = 2.0
_LINGER_BYTES = 2**20


def protocol_for(
    front: AnswersHot, settings: ServerSettings, access_log: AccessLog | None = None
) -> type[asyncio.Protocol]:
    """uvicorn calls this for each connection that it accepts, and uses it in no other way."""
    kind = Connection if access_log is None else LoggedConnection
    return cast(type[asyncio.Protocol], partial(kind, _Common(front, settings, access_log)))


@dataclass(slots=True)
class _Common:
    """What the connections of a worker share."""

    front: AnswersHot
    settings: ServerSettings
    access_log: AccessLog | None
    room: Room = field(default_factory=Room)
    server_fields: ServerFields = field(default_factory=ServerFields)
    plain_heads: PlainHeads = field(default_factory=partial(PlainHeads, MAX_FIELDS))


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
        self._front, self._room, self._settings = common.front, common.room, common.settings
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._access_log = common.access_log
        self._application = _application_of(config)
        self._reader = RequestReader(common.settings.max_head_bytes, common.plain_heads)
        self._deadline = Deadline(self._loop, self._deadline_passed)
        self._exchange: Exchange | None = None
        self._phase: Phase | None = Phase.NOTHING
        """What the connection waits for; None: a request is being answered."""
        self._is_over = False
        """No further request is read."""
        self._is_lingering = False
        """Closed on the sending side, and waiting for the client to close the other."""
        self._lingering_bytes = 0
        self._has_eof = False
        self._has_turn_coming = False
        self._is_read_paused = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._context = copy_context()
        self._stall = StallWatch(self._loop, self._transport, self._settings.send_timeout)
        self._writer = TransportWriter(
            self._transport, self._state, self._common.server_fields, self._stall
        )
        self._scope: dict[str, Any] = {
            "client": get_remote_addr(self._transport),
            "server": get_local_addr(self._transport),
        }
        """What the hot path needs of a scope; path and query are those of the last request."""
        self._state.connections.add(cast(Any, self))
        self._wait_for_request(self._settings.head_timeout)
        self._room.make(len(self._state.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._room.remove_idle(self._transport)
        self._room.lingering -= self._is_lingering
        self._is_over = True
        self._deadline.close()
        self._writer.close()
        if self._exchange is not None:
            self._exchange.disconnect()

    def data_received(self, data: bytes) -> None:
        if not self._is_over:
            self._reader.feed(data)
            self._go_on()
            return
        self._lingering_bytes += len(data)
        if self._lingering_bytes > _LINGER_BYTES:
            self._close()

    def eof_received(self) -> bool:
        """Whether the transport stays open: a client that has shut its sending side down still
        gets the answers that it is owed (RFC 9112 §9.6).
        """
        self._has_eof = True
        is_owed = self._exchange is not None or self._writer.is_paused or self._has_turn_coming
        return is_owed and not self._is_over

    def pause_writing(self) -> None:
        self._writer.pause()

    def resume_writing(self) -> None:
        self._writer.resume()
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
        """Answers the requests that have arrived, in order."""
        self._has_turn_coming = False
        for _ in range(_MAX_IN_A_ROW):
            if self._is_over or self._transport.is_closing():
                return
            if self._exchange is not None or self._writer.is_paused:
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
        """Waits for more bytes of the client."""
        if self._has_eof:
            self._close()
            return
        if self._is_read_paused:
            self._resume_reading()
        phase = self._reader.phase
        if phase is self._phase:
            return  # bytes that came meanwhile do not extend the deadline
        self._phase = phase
        if phase is Phase.NOTHING:
            self._wait_for_request(self._config.timeout_keep_alive)
            return
        self._deadline.set(self._settings.head_timeout)
        if self._reader.expects_continue:
            self._writer.write(_CONTINUE, b"")

    def _wait_for_request(self, timeout_s: float) -> None:
        self._room.renew_idle(self._transport)
        self._deadline.set(timeout_s)

    def _pause_reading(self) -> None:
        if self._reader.has_unread and not self._is_read_paused:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self._is_read_paused = False
        self._transport.resume_reading()

    # Answering

    def _answer(self, request: Request) -> None:
        if self._config.limit_concurrency is not None and self._is_beyond_limit():
            self._refuse(TooManyConnections(), request)
        elif self._answer_hot(request) is None:
            self._begin(request)

    def _is_beyond_limit(self) -> bool:
        limit = self._config.limit_concurrency or 0
        served = len(self._state.connections) - self._room.lingering
        return served >= limit or len(self._state.tasks) >= limit

    def _answer_hot(self, request: Request, logged: CurrentRequest | None = None) -> Answer | None:
        """Sends what memory holds for a GET that has no body and repeats no field.

        Returns what was sent. `logged`: see `Front.answer_hot`.
        """
        headers = request.headers
        if request.method != b"GET" or request.has_body or request.repeated is not None:
            return None
        scope = self._scope
        scope["raw_path"], scope["query_string"] = request.raw_path, request.query_string
        answer = self._front.answer_hot(scope, headers, logged)
        if answer is None:
            return None
        keeps_alive = self._writer.write_answer(answer, keeps_alive=request.keeps_alive)
        self._state.total_requests += 1
        if not keeps_alive:
            self._finish()
        return answer

    def _begin(self, request: Request) -> None:
        """Begins the answer of the application, which may take time."""
        self._room.remove_idle(self._transport)
        scope = build_scope(request, self._scope, self._app_state)
        self._scope.pop(BUG, None)
        exchange = Exchange(self._writer, self, request, scope, self._access_log)
        self._exchange = exchange
        task = self._loop.create_task(exchange.run(self._application))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def answer_failed(self) -> None:
        """Closes without a regular end: the client sees that bytes are missing."""
        self._exchange = None
        self._close()

    def answer_complete(self, *, keeps_alive: bool) -> None:
        self._exchange = None
        self._state.total_requests += 1
        if keeps_alive:
            # What is known of the request that ends here must not stand for the next one.
            self._context.run(self._go_on)
        else:
            self._finish()

    # Ending

    def _refuse(self, refusal: RequestError, request: Request | None = None) -> None:
        """Answers a request that cannot be served. The answer is the connection's last one.

        `request`: None, if it was not read to its end.
        """
        answer = error_answer(refusal)
        body = bytes(answer.body)
        self._front.counts.count_refused(refusal.status, refusal.code, len(body))
        ids = self._front.request_ids
        request_id = ids.of(self._scope, request.headers) if request else new_request_id()
        fields = [*answer.raw_headers, id_field(request_id)]
        self._writer.write_last(refusal.status, fields, body)
        if self._access_log is not None:
            self._access_log.write_refusal(
                request, self._scope, refusal, request_id, size=len(body)
            )
        self._finish()

    def _finish(self) -> None:
        """Closes in two steps (see the head of this module)."""
        self._is_over = True
        self._room.add_idle(self._transport)
        if self._has_eof or self._transport.is_closing():
            self._close()
            return
        if self._is_read_paused:
            self._resume_reading()
        self._is_lingering = True
        self._room.lingering += 1
        with contextlib.suppress(OSError):  # the client is gone already
            self._transport.write_eof()
        self._deadline.set(_LINGER_S)
        self._stall.watch()

    def _close(self) -> None:
        self._is_over = True
        self._transport.close()
        self._stall.watch()

    def _deadline_passed(self) -> None:
        if self._is_over and self._transport.get_write_buffer_size():
            self._deadline.set(_LINGER_S)  # the client still reads, and `_stall` watches it
        elif self._is_over or self._phase is Phase.NOTHING:
            self._close()
        else:
            self._refuse(RequestTimeout())


class LoggedConnection(Connection):
    """A client, a share of whose answers is logged. The others cost one choice more."""

    def _answer_hot(self, request: Request, logged: CurrentRequest | None = None) -> Answer | None:
        log = self._access_log
        if log is None or not log.takes_next():
            return super()._answer_hot(request)
        started_at = time.perf_counter()
        ids = self._front.request_ids
        logged = CurrentRequest(ids.of(self._scope, request.headers).decode())
        answer = super()._answer_hot(request, logged)
        if answer is not None:
            log.write(
                request,
                self._scope,
                logged,
                path_kind="hot",
                status=answer.head.status,
                size=len(answer.body),
                started_at=started_at,
            )
        return answer


def _application_of(config: uvicorn.Config) -> ASGIApp:
    """What answers the requests that are not answered at once."""
    application: ASGIApp = config.loaded_app
    if isinstance(application, Front):
        return application.answer_cold  # the connection has asked it for an answer at once
    return application
