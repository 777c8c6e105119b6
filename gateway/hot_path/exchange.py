"""One request and its answer, as the messages of ASGI (HTTP connection scope, version 2.3).

The whole request has been read. The answer leaves as the application sends it; its head waits for
the first bytes of the body, so that a small answer is one write. A process that is killed between
two writes would leave a proxy with a head that it has passed on and cannot take back.
"""

import asyncio
import dataclasses
import logging
import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Scope

from gateway.hot_path.access_log import CLIENT_GONE, AccessLog
from gateway.hot_path.front import WHOLE_ANSWER, Answer
from gateway.hot_path.writing import CLOSE, TransportWriter
from gateway.http.answers import internal_error
from gateway.http.heads import STATUS_LINES, Field, field_lines
from gateway.http.request import Request
from gateway.http.request_id import id_field, new_request_id
from gateway.tracing.current_request import CURRENT, CurrentRequest

logger = logging.getLogger(__name__)

_BAD_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_END = b"\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Owner(Protocol):
    """The connection, which goes on when the answer ends."""

    def answer_failed(self) -> None:
        """The answer broke off in the middle."""

    def answer_complete(self, *, keeps_alive: bool) -> None: ...


class Exchange:
    """`receive` and `send` of one request. Used once."""

    def __init__(
        self,
        writer: TransportWriter,
        owner: Owner,
        request: Request,
        scope: Scope,
        access_log: AccessLog | None = None,
    ) -> None:
        self._writer = writer
        self._owner = owner
        self._request = request
        self._scope = scope
        self._access_log = access_log
        self._started_at = time.perf_counter()
        self._sent_bytes = 0
        """Of the body."""
        self._is_received = False
        self._is_gone = asyncio.Event()
        """Nothing more will be received: the client is gone, or has its answer."""
        self.keeps_alive = request.keeps_alive
        self._is_disconnected = False
        self._is_started = False
        self._is_complete = False
        self._status = 0
        self._head = b""
        """The head, while it waits for the first bytes of the body."""
        self._remaining_bytes: int | None = None
        """Bytes of the body that the application still has to send; None: it does not say."""
        self._has_body = True
        self._is_chunked = False

    async def run(self, application: ASGIApp) -> None:
        """Calls the application. If it raises, the answer is a 500, or breaks off."""
        CURRENT.set(CurrentRequest(new_request_id().decode()))  # the front gives it its own
        try:
            await application(self._scope, self.receive, self.send)
        except Exception:  # the edge of the server: an application may raise anything
            logger.exception("the application failed")
        if self._is_complete:
            return
        if self._is_disconnected:
            self._log(code="client_gone", reason="the client went away before the end")
            return
        if self._is_started and not self._head:
            self._log(code="broken_off", reason="the application failed in the middle")
            self._owner.answer_failed()
        else:  # nothing of the answer has left yet
            self._is_started, self._remaining_bytes, self.keeps_alive = False, None, False
            answer = internal_error()
            if (known := CURRENT.get()) is not None:
                answer.raw_headers.append(id_field(known.id.encode()))
            await answer(self._scope, self.receive, self.send)

    def disconnect(self) -> None:
        """The client is gone."""
        self._is_disconnected = True
        self._is_gone.set()

    async def receive(self) -> Message:
        if not self._is_received:
            self._is_received = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self._writer.drained()
        if self._is_disconnected:
            return
        kind = message["type"]
        if kind == WHOLE_ANSWER and not self._is_started:
            self._send_whole(message["answer"])
            return
        if self._is_complete or (kind == "http.response.start") is self._is_started:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")
        if not self._is_started:
            self._start(message["status"], list(message.get("headers", ())))
        else:
            self._continue(message.get("body", b""), more=message.get("more_body", False))

    def _send_whole(self, answer: Answer) -> None:
        self._is_started = True
        self._status = answer.head.status
        self._sent_bytes = len(answer.body)
        self.keeps_alive = self._writer.write_answer(answer, keeps_alive=self.keeps_alive)
        self._complete()

    def _complete(self) -> None:
        self._is_complete = True
        self._is_gone.set()
        self._log()
        self._owner.answer_complete(keeps_alive=self.keeps_alive)

    def _start(self, status: int, fields: list[Field]) -> None:
        fields = [*self._writer.server_fields(), *fields]
        self._has_body = self._request.method != b"HEAD" and status not in (204, 304)
        says_close = False
        for name, value in fields:
            if _BAD_NAME.search(name) or _BAD_VALUE.search(value):  # could end the field early
                raise RuntimeError(f"invalid header field {name!r}: {value!r}")
            lowered = name.lower()
            if lowered == b"content-length":
                self._remaining_bytes = int(value)
            elif lowered == b"connection" and b"close" in value.lower():
                says_close = True
        if says_close:
            self.keeps_alive = False
        elif not self.keeps_alive:
            fields.append(CLOSE)
        is_open_ended = self._has_body and self._remaining_bytes is None
        # HTTP/1.0 has no chunks: the end of the connection ends the body (RFC 9112 §6.3).
        self._is_chunked = is_open_ended and self._request.version != "1.0"
        if self._is_chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        self._status = status
        self._head = STATUS_LINES[status] + field_lines(fields) + _END
        self._is_started = True

    def _continue(self, body: bytes, *, more: bool) -> None:
        size = len(body) if self._has_body else 0
        if not self._has_body:
            body = b""
        elif self._is_chunked:
            body = _chunk(body) + (b"" if more else _LAST_CHUNK)
        elif self._remaining_bytes is not None:
            self._remaining_bytes -= size
            if self._remaining_bytes < 0 or (self._remaining_bytes and not more):
                raise RuntimeError("the body's length is not the one of Content-Length")
        head, self._head = self._head, b""
        self._writer.write(head, body)
        self._sent_bytes += size
        if not more:
            self._complete()

    def _log(self, **ending: str) -> None:
        """`ending`: how the answer broke off, as `code` and `reason`."""
        status = self._status or CLIENT_GONE
        known = CURRENT.get()
        if known is None or self._access_log is None or not self._access_log.takes(status):
            return
        self._access_log.write(
            self._request,
            self._scope,
            dataclasses.replace(known, **ending),
            path_kind="cold",
            status=status,
            size=self._sent_bytes,
            started_at=self._started_at,
        )


def build_scope(request: Request, peers: Mapping[str, Any], state: Mapping[str, Any]) -> Scope:
    """`peers`: `client` and `server`. `state`: what the lifespan left for requests."""
    return {
        **peers,
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.version,
        "scheme": "http",
        "method": request.method.decode("ascii"),
        "root_path": "",
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query_string,
        "headers": request.fields,
        "state": dict(state),
        "extensions": {WHOLE_ANSWER: {}},
    }


def _chunk(body: bytes) -> bytes:
    """RFC 9112 §7.1. An empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
