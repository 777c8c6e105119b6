"""The writing side of a connection: answers as bytes, and whether the client takes them."""

import asyncio
from collections.abc import Iterable

from uvicorn.server import ServerState

from gateway.hot_path.deadlines import StallWatch
from gateway.hot_path.front import Answer
from gateway.http.heads import STATUS_LINES, Field, field_lines

CLOSE = (b"connection", b"close")
_END = b"\r\n"
_CLOSING_END = b"connection: close\r\n\r\n"
# Above this, copying the body costs more than the system call that it saves.
_MAX_COPIED_BYTES = 32 * 1024


class ServerFields:
    """The fields that uvicorn adds to each answer: Date, and `Connection: close` when it ends.

    One object for all connections of a worker.
    """

    def __init__(self) -> None:
        self._fields: list[Field] | None = None
        self._lines: tuple[bytes, bool] = (b"", False)

    def lines(self, state: ServerState) -> tuple[bytes, bool]:
        """The fields as they are sent; whether they end the connection."""
        fields = state.default_headers
        if fields is not self._fields:  # uvicorn makes a new list for each Date
            self._fields = fields
            self._lines = field_lines(fields), CLOSE in fields
        return self._lines


class TransportWriter:
    """Writes whole answers, and pieces of them, to one client."""

    def __init__(
        self,
        transport: asyncio.Transport,
        server_state: ServerState,
        server_fields: ServerFields,
        stall: StallWatch,
    ) -> None:
        self._write = transport.write
        self._state = server_state
        self._server_fields = server_fields
        self._stall = stall
        self._writable = asyncio.Event()
        self._writable.set()
        self.is_paused = False
        """The client does not take what was written: nothing more should be written."""

    def pause(self) -> None:
        self.is_paused = True
        self._writable.clear()
        self._stall.watch()

    def resume(self) -> None:
        self.is_paused = False
        self._writable.set()

    def close(self) -> None:
        """Nothing waits for the client any more."""
        self._stall.close()
        self._writable.set()

    async def drained(self) -> None:
        """Returns when the client has taken enough of what was written, or is gone."""
        if self.is_paused:
            await self._writable.wait()

    def server_fields(self) -> Iterable[Field]:
        return self._state.default_headers

    def write_answer(self, answer: Answer, *, keeps_alive: bool) -> bool:
        """Returns whether the connection stays open afterwards."""
        head = answer.head
        server_lines, ends = self._server_fields.lines(self._state)
        end = _END if keeps_alive or ends else _CLOSING_END
        status_line = STATUS_LINES[head.status]
        lines = b"".join((status_line, server_lines, head.lines, answer.own_lines, end))
        self.write(lines, answer.body)
        return keeps_alive and not ends

    def write_last(self, status: int, fields: Iterable[Field], body: bytes) -> None:
        """An answer after which the connection is closed."""
        fields = [*self._state.default_headers, *fields]
        if CLOSE not in fields:
            fields.append(CLOSE)
        self.write(STATUS_LINES[status] + field_lines(fields) + _END, body)

    def write(self, head: bytes, body: bytes) -> None:
        """Either may be empty."""
        self._stall.written_bytes += len(head) + len(body)
        if len(body) <= _MAX_COPIED_BYTES:
            if joined := head + body:
                self._write(joined)
            return
        # Two writes: one vectored write of both takes 37 µs for 128 KiB on loopback, two take 26.
        if head:
            self._write(head)
        self._write(body)
