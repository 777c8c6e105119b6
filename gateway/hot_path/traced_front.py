"""A front that traces the requests of the cold path. The hot path has no spans."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gateway.hot_path.front import WHOLE_ANSWER, Front
from gateway.http.heads import joined_headers
from gateway.identity.peers import TrustedPeers
from gateway.metrics.texts import mask_credentials
from gateway.tracing import RequestSpan, RequestTracer
from gateway.tracing.current_request import CURRENT

# Probes and scrapes come all day, and a console's stream of events lasts for hours.
_UNTRACED = "/-/"
_TRACED = "/-/authorize"
_TRACE_CONTEXT = ("traceparent", "tracestate")
# A user, in the id of a row of theirs.
_USER = re.compile(r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


class RequestTraces:
    """Which requests are traced, and what their spans tell."""

    def __init__(
        self, tracer: RequestTracer, trusted: TrustedPeers, routes: Iterable[Route]
    ) -> None:
        """`trusted`: who may say which trace a request belongs to."""
        self.tracer = tracer
        self._trusted = trusted
        # By identity, as in RouteClasses.
        self._templates = {id(route.endpoint): (route.endpoint, route) for route in routes}

    def takes(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return path == _TRACED or not path.startswith(_UNTRACED)

    def context_of(self, scope: Scope) -> Mapping[str, str]:
        """The fields of W3C Trace Context, if a trusted peer sent them."""
        headers = joined_headers(scope)
        fields = {name: headers.get(name.encode()) for name in _TRACE_CONTEXT}
        if fields["traceparent"] is None or scope not in self._trusted:
            return {}
        return {name: value.decode("latin-1") for name, value in fields.items() if value}

    def template_of(self, scope: Scope) -> str | None:
        """The path of the route that took the request, with names in braces."""
        _, route = self._templates.get(id(scope.get("endpoint")), (None, None))
        return None if route is None else scope.get("root_path", "") + route.path_format


class TracedFront(Front):
    """Opens a span for each request that `answer_cold` answers."""

    def __init__(self, traces: RequestTraces, *front: Any) -> None:
        """`front`: the arguments of `Front`."""
        super().__init__(*front)
        self._traces = traces

    async def answer_cold(self, scope: Scope, receive: Receive, send: Send) -> None:
        traces = self._traces
        if not traces.takes(scope):
            await super().answer_cold(scope, receive, send)
            return
        method, context = scope["method"], traces.context_of(scope)
        with traces.tracer.request(method, masked_path(scope), scope["scheme"], context) as span:
            if span is None:
                await super().answer_cold(scope, receive, send)
                return
            watched = _Watched(send)
            try:
                await super().answer_cold(scope, receive, watched)
            finally:
                _describe(span, method, traces.template_of(scope), watched.status)


def _describe(span: RequestSpan, method: str, template: str | None, status: int) -> None:
    request = CURRENT.get()  # the front has set it
    if request is not None:
        span.note(request_id=request.id)
    span.answer(method, template, status, request.code if request is not None else None)


class _Watched:
    """`send`, and the status of what was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """0: nothing was sent."""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == WHOLE_ANSWER:
            self.status = message["answer"].head.status
        await self._send(message)


def masked_path(scope: Scope) -> str:
    """The path as it was sent, without tokens and ids of users."""
    raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return _USER.sub("***", mask_credentials(raw_path.decode("latin-1")))
