"""The hot path: a request that was decided a moment ago is answered by two sends.

Before any router or middleware. A few dictionary reads; no thread, no await but the sends, no
query, no look at the disk. Whatever is not plainly a repetition goes the long way, which
decides and remembers (sending.py). Under `gateway serve` the connection itself asks `key_of`
and `repeat` (protocol.py), before there is a scope.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from time import monotonic
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.cors import CorsPolicy
from gateway.decisions import Asked, Decision, DecisionKey, Decisions
from gateway.delivery.memory import send_answer
from gateway.endpoints.sending import ASKED
from gateway.representation import HeaderFields

_WHOLE_SERVER = ((b"allow", b"GET, HEAD, OPTIONS"), (b"cache-control", b"no-store"))

Credential = Callable[[Scope, Mapping[bytes, bytes]], Hashable]


class Front:
    """An ASGI application in front of another, which decides."""

    def __init__(
        self,
        inner: ASGIApp,
        decisions: Decisions,
        credential: Credential,
        open_prefixes: Sequence[str],
        cors: CorsPolicy,
    ) -> None:
        """`open_prefixes`: of paths whose answer depends on no credential of the request."""
        self._inner = inner
        self._decisions = decisions
        self._find = decisions.get
        self._credential = credential
        self._open_prefixes = tuple(quote(prefix).encode() for prefix in open_prefixes)
        self._cors = cors if cors.enabled else None
        self.repeated = {200: 0, 304: 0}
        """Requests answered here, by status."""
        self.decided: Counter[int] = Counter()
        """Requests that went the long way, by status."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["method"] == "GET" and len(headers) == len(scope["headers"]):
            key = self.key_of(scope, headers)
            if key is not None:
                repetition = self.repeat(key)
                if repetition is not None:
                    decision, body = repetition
                    start = {"type": "http.response.start", "status": decision.status}
                    start["headers"] = list(decision.fields)
                    await send(start)
                    await send({"type": "http.response.body", "body": body})
                    return
                extra = () if self._cors is None else self._cors.fields(key[4])
                scope[ASKED] = Asked(key, self._decisions.epoch, extra)
        await self._decide(scope, receive, send, headers)

    def key_of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> DecisionKey | None:
        """All that the answer to a GET depends on; None, where it depends on more.

        `headers`: each field once; with a repeated one it is no plain request.
        """
        # Each part is what the field means here, not its text: other text would be another key.
        known = headers.get(b"if-none-match")
        if (
            b"range" in headers
            or b"if-match" in headers
            or b"if-unmodified-since" in headers
            or (known is None and b"if-modified-since" in headers)
        ):
            return None
        raw_path, root_path = scope.get("raw_path"), scope.get("root_path")
        if not raw_path:
            return None  # ASGI lets a server leave it out
        below = raw_path.removeprefix(quote(root_path).encode()) if root_path else raw_path
        is_open = below.startswith(self._open_prefixes)
        origin = headers.get(b"origin")
        if origin is not None and (self._cors is None or not self._cors.allows(origin)):
            origin = None
        return (
            raw_path,
            None if is_open else self._credential(scope, headers),
            headers.get(b"accept-encoding"),
            known,
            origin,
        )

    def repeat(self, key: DecisionKey) -> tuple[Decision, bytes] | None:
        """The decision and the body to send, which are counted as sent; None: to be decided."""
        decision = self._find(key)
        if decision is None:
            return None
        now = monotonic()
        if now >= decision.until:
            decision.renew(now)
            return None
        variant = decision.variant()
        if variant is None:
            return None
        status = decision.status
        self.repeated[status] += 1
        return decision, (variant.content or b"") if status == 200 else b""

    async def _decide(
        self, scope: Scope, receive: Receive, send: Send, headers: Mapping[bytes, bytes]
    ) -> None:
        """The long way."""
        if scope["path"] == "*":  # OPTIONS of the whole server (RFC 9110 §9.3.7)
            await send_answer(send, 204, _WHOLE_SERVER, b"")
            self.decided[204] += 1
            return
        fields: HeaderFields = ()
        if self._cors is not None:
            preflight = self._cors.preflight(scope["method"], headers)
            if preflight is not None:
                await send_answer(send, preflight.status, preflight.fields, preflight.body)
                return
            fields = self._cors.fields(headers.get(b"origin"))

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.decided[message["status"]] += 1
                message = {**message, "headers": [*message["headers"], *fields]}
            await send(message)

        await self._inner(scope, receive, send_and_count)
