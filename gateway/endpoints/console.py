"""`/-/console`: the page of administrators, and `/-/console/events`: what it shows, live."""

import time

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.caching.turns import next_turn
from gateway.endpoints.console_page import console_page
from gateway.endpoints.event_stream import (
    Events,
    EventStream,
    StreamEnd,
    encoded_event,
    refuse_foreign_stream,
)
from gateway.endpoints.queries import Admission
from gateway.errors import TooManyStreams
from gateway.http.cache_policy import NO_STORE
from gateway.identity.callers import Callers
from gateway.overview.overview import Overview

STREAMS = 16
"""How many a worker has open at most."""
HISTORY_S = 600.0
"""How far the samples go back."""
MAX_AGE_S = 300.0
"""Then the browser connects again, and its credential is checked again."""
_STATE_S = 1.0
_RETRY = b"retry: 2000\n\n"


class Console:
    """The routes of the console."""

    def __init__(self, overview: Overview, callers: Callers, end: StreamEnd) -> None:
        self._overview = overview
        self._callers = callers
        self._end = end
        self._admission = Admission(STREAMS, TooManyStreams)
        self._state = b""
        """The event, for all streams: it is made once a second however many there are."""
        self._state_made_at = 0.0
        self._page = console_page()
        self.routes = [
            Route("/-/console", self._show_page),
            Route("/-/console/events", self._stream),
        ]

    async def _show_page(self, request: Request) -> Response:
        await self._callers.require_administrator(request.scope, challenge_browser=True)
        headers = {
            "Cache-Control": NO_STORE,
            "Content-Security-Policy": self._page.policy,
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(self._page.html, headers=headers)

    async def _stream(self, request: Request) -> EventStream:
        refuse_foreign_stream(request)
        await self._callers.require_administrator(request.scope)
        seen_s = _seen(request.headers.get("last-event-id"))
        self._admission.take()
        return EventStream(self._events(seen_s), self._end, MAX_AGE_S, self._admission.release)

    async def _events(self, seen_s: float | None) -> Events:
        """`seen_s`: the time of the newest sample that the client has."""
        yield _RETRY
        latest_s = 0.0 if seen_s is None else seen_s
        if seen_s is None:
            samples = list(self._overview.samples(0.0))
            latest_s = samples[-1]["time"] if samples else 0.0
            history = {"interval_s": self._overview.interval_s, "samples": samples}
            yield encoded_event("history", history, str(latest_s))
        while True:
            for sample in self._overview.samples(latest_s):
                latest_s = sample["time"]
                yield encoded_event("sample", sample, str(latest_s))
            yield self._state_event()
            await next_turn(_STATE_S)

    def _state_event(self) -> bytes:
        if time.monotonic() - self._state_made_at > _STATE_S / 2:
            self._state = encoded_event("state", self._overview.state())
            self._state_made_at = time.monotonic()
        return self._state


def _seen(last_event_id: str | None) -> float | None:
    """The time of a sample, that of another worker too; None: the client has none of those that
    there are.
    """
    now_s = time.time()
    try:
        seen_s = float(last_event_id or "")
    except ValueError:
        return None
    return seen_s if now_s - HISTORY_S < seen_s <= now_s else None
