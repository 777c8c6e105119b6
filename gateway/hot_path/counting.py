"""Counts an answer on its way out, whatever application makes it."""

from collections.abc import Iterable
from time import perf_counter

from starlette.routing import Route
from starlette.types import Message, Scope, Send

from gateway.http.heads import Field
from gateway.metrics.catalogue import RouteClass
from gateway.metrics.requests import RequestCounts
from gateway.overview.recent import RecentRequests
from gateway.tracing.current_request import CURRENT


class RouteClasses:
    """The class of each route, by the endpoint that Starlette's router writes into the scope."""

    def __init__(self, endpoints: Iterable[tuple[object, RouteClass]]) -> None:
        # By identity: the endpoint of an application around this one may have no hash.
        self._classes = {id(endpoint): (endpoint, route) for endpoint, route in endpoints}

    @classmethod
    def of(cls, groups: Iterable[tuple[RouteClass, Iterable[Route]]]) -> "RouteClasses":
        return cls((route.endpoint, group) for group, routes in groups for route in routes)

    def find(self, scope: Scope) -> RouteClass:
        """OTHER, if no route of ours took the request."""
        _, route_class = self._classes.get(id(scope.get("endpoint")), (None, RouteClass.OTHER))
        return route_class


class CountingSend:
    """`send` of one request on the cold path, from the moment at which it is made."""

    def __init__(
        self,
        scope: Scope,
        send: Send,
        counts: RequestCounts,
        classes: RouteClasses,
        recent: RecentRequests,
    ) -> None:
        self._scope = scope
        self._send = send
        self._counts = counts
        self._classes = classes
        self._recent = recent
        self._started_at = perf_counter()
        self._route_class = RouteClass.OTHER
        self._fields: Iterable[Field] = ()

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.count_start(message["status"])
            self._fields = message.get("headers", ())
        elif kind == "http.response.body":
            self.count_bytes(len(message.get("body", b"")))
        elif kind == "http.response.pathsend":  # the server sends the whole file
            self.count_bytes(int(dict(self._fields)[b"content-length"]))
        await self._send(message)

    def count_start(self, status: int) -> None:
        """The first byte of the answer is about to leave."""
        self._route_class = self._classes.find(self._scope)
        duration_s = perf_counter() - self._started_at
        self._counts.count_cold(self._route_class, status, duration_s)
        raw_path = self._scope.get("raw_path") or self._scope["path"].encode()
        if self._route_class is not RouteClass.OPERATIONS:  # nobody's page waits for these
            self._recent.note_answered(raw_path, status, duration_s)
        request = CURRENT.get()
        if request is not None and request.code is not None:
            self._counts.count_refusal(request.code)
            self._recent.note_refused(request.code, raw_path)

    def count_bytes(self, size: int) -> None:
        if self._scope["method"] != "HEAD":  # the server drops the body
            self._counts.count_bytes(self._route_class, size)
