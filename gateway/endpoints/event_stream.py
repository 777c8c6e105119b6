"""Server-sent events (HTML Living Standard §9.2), in streams that always end.

A stream ends when there is no further event, when its client is gone, when its server ends, and
when it is old: credentials are then checked again. A client that reads nothing makes `send` wait,
so nothing piles up for it.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable
from typing import Any, Literal

import anyio
import orjson
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import OriginNotAllowed
from gateway.http.cache_policy import NO_STORE

_FIELDS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", NO_STORE.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),  # nginx passes each event on at once
)
# A client that has closed its connection is known to be gone after two writes: until then, the
# server takes it for one that has only shut its sending side down.
_HEARTBEAT_S = 2.0
_HEARTBEAT = b": still here\n\n"
_LOOK_S = 0.5
_LAST_WORD_S = 1.0

Events = AsyncGenerator[bytes, None]


def encoded_event(name: str, content: Any, event_id: str | None = None) -> bytes:
    """One event with JSON. `event_id`: a browser that connects again names the last it has seen."""
    event = b"event: %b\ndata: %b\n" % (name.encode(), orjson.dumps(content))
    return event + (b"" if event_id is None else b"id: %b\n" % event_id.encode()) + b"\n"


def refuse_foreign_stream(request: Request) -> None:
    """Refuses what a page of another site makes a browser ask for: it could not read the answer,
    but the gateway would work for it. Raises: OriginNotAllowed.
    """
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise OriginNotAllowed("Pages of this origin may not watch anything here")


class StreamEnd:
    """Ends all streams of a worker."""

    def __init__(self) -> None:
        self._is_ordered = asyncio.Event()

    def order(self) -> None:
        """Streams end now, and later ones as they begin. Idempotent."""
        self._is_ordered.set()

    @property
    def is_ordered(self) -> bool:
        return self._is_ordered.is_set()

    async def wait(self) -> None:
        while not (self._is_ordered.is_set() or _uvicorn_is_ending()):
            with anyio.move_on_after(_LOOK_S):
                await self._is_ordered.wait()


def _uvicorn_is_ending() -> bool:
    """Whether the uvicorn that serves an application in which the gateway is mounted has been told
    to end. It waits for all answers, without a limit by default, and tells applications nothing;
    but its signal handler is a method of the server.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True


class EventStream:
    """An answer, as an ASGI application."""

    def __init__(
        self,
        events: Events,
        end: StreamEnd,
        max_age_s: float,
        release: Callable[[], None],
        heartbeat_s: float = _HEARTBEAT_S,
    ) -> None:
        """`release` is called when the stream has ended."""
        self._events = events
        self._end = end
        self._max_age_s = max_age_s
        self._release = release
        self._heartbeat_s = heartbeat_s
        self._sent_since_look = False
        self._reason: Literal["draining", "age"] | None = None
        """Why the stream ended before its events did."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_FIELDS)})
            if scope["method"] == "HEAD":
                await send(_body(b"", more=False))
                return
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when_gone, receive, group.cancel_scope)
                await self._send_events(send)
                await self._send_last(send)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._events.aclose()
            self._release()

    async def _send_events(self, send: Send) -> None:
        with anyio.move_on_after(self._max_age_s) as age:
            async with anyio.create_task_group() as group:
                group.start_soon(self._cancel_at_end, group.cancel_scope)
                group.start_soon(self._send_heartbeats, send)
                async for event in self._events:
                    self._sent_since_look = True
                    await send(_body(event, more=True))
                group.cancel_scope.cancel()
        if age.cancelled_caught:
            self._reason = "age"

    async def _cancel_at_end(self, events: anyio.CancelScope) -> None:
        await self._end.wait()
        self._reason = "draining"
        events.cancel()

    async def _send_heartbeats(self, send: Send) -> None:
        while True:
            self._sent_since_look = False
            await anyio.sleep(self._heartbeat_s)
            if not self._sent_since_look:
                await send(_body(_HEARTBEAT, more=True))

    async def _send_last(self, send: Send) -> None:
        """Not to a client that does not read: its answer breaks off."""
        last = encoded_event("end", {"reason": self._reason}) if self._reason else b""
        with anyio.move_on_after(_LAST_WORD_S):
            await send(_body(last, more=False))


def _body(content: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def _cancel_when_gone(receive: Receive, stream: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.cancel()
