"""The ASGI application in front of all others: it answers at once what is in memory."""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from typing import ClassVar, NamedTuple, Protocol
from urllib.parse import quote

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.caching.basis import AT_HAND, AtHand, Basis, LoggedAtHand, Pending
from gateway.caching.turns import Turns
from gateway.errors import RequestError, SourceUnavailable
from gateway.hot_path.counting import CountingSend, RouteClasses
from gateway.http.answers import answer_options, error_answer, internal_error, send_answer
from gateway.http.conditional import is_plain
from gateway.http.cors import NO_ORIGINS, CorsPolicy
from gateway.http.heads import Head, HeaderFields, Headers, joined_headers
from gateway.http.request_id import REQUEST_ID, TRACEPARENT, RequestIds, id_field
from gateway.metrics.catalogue import RouteClass
from gateway.metrics.requests import RequestCounts
from gateway.overview.recent import RecentRequests
from gateway.tracing.current_request import CURRENT, CurrentRequest

logger = logging.getLogger(__name__)

_OPERATIONS = "/-/"
_FOR_PAGES = ("/-/live", "/-/ready", "/-/dev/events", "/-/dev/explain")
_quoted = lru_cache(16)(lambda root_path: quote(root_path).encode())


class HotRoute(Protocol):
    """A route that can answer from memory, and that is found without a router."""

    route_class: ClassVar[RouteClass]

    def takes(self, below: bytes) -> bool:
        """Whether the path is this route's. `below`: the path as received, without the prefix."""

    def answer_from_memory(
        self, basis: AtHand, scope: Scope, headers: Headers, below: bytes
    ) -> tuple[Head, bytes] | None:
        """The answer to a plain GET, with its body; None: the bytes are not in memory.

        Raises: Pending, RequestError.
        """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application. Raises: RequestError, before anything is sent."""


class Answer(NamedTuple):
    """An answer that is ready to be sent."""

    head: Head
    body: bytes
    own_fields: HeaderFields
    """Those that depend on the request: for CORS, and its id."""
    own_lines: bytes
    """The same as they are sent."""


_OwnFields = tuple[HeaderFields, bytes]
"""`own_fields` and `own_lines` of an answer."""

BUG = "gateway.bug"
"""The key in a scope for an error of ours on the hot path. The cold path logs it: there the request
has an id."""
WHOLE_ANSWER = "gateway.answer"
"""An extension of ASGI: a server that has it takes one message of this type, whose `answer` is an
`Answer`, in the place of the usual two."""


class AnswersHot(Protocol):
    """What a connection asks before it calls the application (protocol.py)."""

    counts: RequestCounts
    request_ids: RequestIds

    def answer_hot(
        self, scope: Scope, headers: Headers, logged: CurrentRequest | None = None
    ) -> Answer | None:
        """See `Front`."""


class Front:
    """Answers from memory what it can. `inner`, an ASGI application, answers the rest."""

    def __init__(
        self,
        inner: ASGIApp,
        exact: Mapping[bytes, HotRoute],
        prefixes: Sequence[tuple[bytes, HotRoute]],
        cors: CorsPolicy,
        counts: RequestCounts,
        classes: RouteClasses,
        recent: RecentRequests,
        request_ids: RequestIds,
        turns: Turns,
    ) -> None:
        """`exact`, `prefixes`: routes by whole paths, and by how paths begin; both as received.
        `classes`: of the routes of `inner`.
        """
        self._inner = inner
        # Answers a bug of ours with a 500, and raises the error again for the server's log.
        self._guarded = ServerErrorMiddleware(self._route_later, internal_error)
        self._exact = exact
        self._prefixes = tuple(prefixes)
        self._cors = cors
        self.counts = counts
        self._classes = classes
        self._recent = recent
        self._count_hot = {
            route: counts.hot_counter(route.route_class)
            for route in (*exact.values(), *(route for _, route in prefixes))
        }
        self.request_ids = request_ids
        self._turns = turns

    def answer_hot(
        self, scope: Scope, headers: Headers, logged: CurrentRequest | None = None
    ) -> Answer | None:
        """The answer to a GET that repeats no field, counted as sent; None: take the cold path.

        `scope`: only `raw_path`, `query_string`, `client` and `server` are needed.
        `logged` learns who asks, and the answer carries its id. Without it, only an id that a
        trusted peer gave: to make one for each answer would cost more than it is worth.
        """
        started_at = perf_counter()
        if self._turns.is_resting or not is_plain(headers):
            return None
        route, below = self._route_of(scope)
        if route is None:
            return None
        try:
            basis = AT_HAND if logged is None else LoggedAtHand(logged)
            ready = route.answer_from_memory(basis, scope, headers, below)
        except (Pending, RequestError):
            return None
        except Exception as error:  # raised here, it would close the connection unanswered
            scope[BUG] = error
            return None
        if ready is None:
            return None
        head, body = ready
        self._count_hot[route](head.status, len(body), perf_counter() - started_at)
        own = self._cors.sent(headers.get(b"origin"))
        if logged is not None or REQUEST_ID in headers or TRACEPARENT in headers:
            given = self.request_ids.given(scope, headers) if logged is None else logged.id.encode()
            own = _with_id(own, given)
        return Answer(head, body, *own)

    def _route_of(self, scope: Scope) -> tuple[HotRoute | None, bytes]:
        """The route that takes the path, and the rest of the path below the route's prefix."""
        path = scope.get("raw_path")
        if not path:
            return None, b""  # ASGI lets a server leave it out
        if root_path := scope.get("root_path"):
            path = path.removeprefix(_quoted(root_path))
        route = self._exact.get(path)
        if route is not None:
            return route, b""
        for prefix, route in self._prefixes:
            if path.startswith(prefix):
                below = path[len(prefix) :]
                return (route, below) if route.takes(below) else (None, b"")
        return None, b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["method"] == "GET" and len(headers) == len(scope["headers"]):
            answer = self.answer_hot(scope, headers)
            if answer is not None:
                await _send(scope, send, answer)
                return
        await self.answer_cold(scope, receive, send)

    async def answer_cold(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The cold path, as an ASGI application for requests."""
        async with self._turns.asking():
            await self._answer_cold(scope, receive, send)

    async def _answer_cold(self, scope: Scope, receive: Receive, send: Send) -> None:
        counting = CountingSend(scope, send, self.counts, self._classes, self._recent)
        headers = joined_headers(scope)
        request_id = self._named(scope, headers)
        cors = self._cors_of(scope)
        own = _with_id(cors.sent(headers.get(b"origin")), request_id)
        send_with_fields = self._with_fields(counting, own[0])
        if scope["path"] == "*":  # the server as a whole
            await answer_options(send_with_fields)
            return
        preflight = cors.preflight(scope["method"], headers)
        if preflight is not None:
            head, body = preflight
            fields = (*head.fields, id_field(request_id))
            await send_answer(counting, head.status, fields, body)
            return
        try:
            answer = await self._answer_when_loaded(scope, headers, own)
        except SourceUnavailable as error:
            await error_answer(error)(scope, receive, send_with_fields)
            return
        if answer is None:
            await self._guarded(scope, receive, send_with_fields)
        else:
            counting.count_start(answer.head.status)
            counting.count_bytes(len(answer.body))
            await _send(scope, send, answer)

    def _cors_of(self, scope: Scope) -> CorsPolicy:
        """No page of another origin reads what administrators may read, listed or not."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        is_open = not path.startswith(_OPERATIONS) or path in _FOR_PAGES
        return self._cors if is_open else NO_ORIGINS

    def _named(self, scope: Scope, headers: Headers) -> bytes:
        """The id of the request, which log lines show from now on."""
        request_id = self.request_ids.of(scope, headers)
        CURRENT.set(CurrentRequest(request_id.decode()))
        if (bug := scope.pop(BUG, None)) is not None:
            path = scope["raw_path"].decode("latin-1")
            logger.error("not answered at once: %s", path, exc_info=bug)
        return request_id

    @staticmethod
    def _with_fields(send: Send, fields: HeaderFields) -> Send:
        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *fields]}
            await send(message)

        return send_with_fields

    async def _answer_when_loaded(
        self, scope: Scope, headers: Headers, own: _OwnFields
    ) -> Answer | None:
        """Waits until all is loaded that a plain GET needs. None: the route must answer.

        Raises: SourceUnavailable.
        """
        if scope["method"] != "GET" or not is_plain(headers):
            return None
        route, below = self._route_of(scope)
        if route is None:
            return None
        scope["endpoint"] = route  # as Starlette's router does
        try:
            ready = await Basis().settled(route.answer_from_memory, scope, headers, below)
        except SourceUnavailable:
            raise
        except RequestError:  # the route decides which error this caller sees
            return None
        except Exception:  # a bug of ours: the route meets it again, and answers it
            logger.exception("not answered from memory: %s", scope["raw_path"].decode("latin-1"))
            return None
        return None if ready is None else Answer(*ready, *own)

    async def _route_later(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["method"] in ("GET", "HEAD")
        route, _ = self._route_of(scope) if is_read else (None, b"")
        if route is None:
            await self._inner(scope, receive, send)
            return
        scope["endpoint"] = route
        try:
            await route(scope, receive, send)
        except RequestError as error:
            await error_answer(error)(scope, receive, send)


def _with_id(own: _OwnFields, request_id: bytes | None) -> _OwnFields:
    if request_id is None:
        return own
    fields, lines = own
    own_lines = b"".join((lines, b"x-request-id: ", request_id, b"\r\n"))
    return (*fields, (REQUEST_ID, request_id)), own_lines


async def _send(scope: Scope, send: Send, answer: Answer) -> None:
    if WHOLE_ANSWER in scope.get("extensions", ()):
        await send({"type": WHOLE_ANSWER, "answer": answer})
        return
    head = answer.head
    await send_answer(send, head.status, head.fields + answer.own_fields, answer.body)
