"""The hot path: a request that was decided a moment ago is answered by two sends.

Before any router or middleware. A few dictionary reads; no thread, no await but the sends, no
query, no look at the disk. Whatever is not plainly a repetition goes the long way, which
decides and remembers (sending.py).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.cors import CorsPolicy
from gateway.decisions import Decisions
from gateway.delivery.memory import send_answer
from gateway.endpoints.sending import ASKED
from gateway.representation import HeaderFields

Credential = Callable[[Scope, Mapping[bytes, bytes]], Hashable]


class Front:
    """An ASGI application in front of another, which decides."""

    def __init__(
        self, inner: ASGIApp, decisions: Decisions, credential: Credential, cors: CorsPolicy
    ) -> None:
        self._inner = inner
        self._decisions = decisions
        self._find = decisions.get
        self._credential = credential
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
        if self._cors is not None:
            preflight = self._cors.preflight(scope["method"], headers)
            if preflight is not None:
                await send_answer(send, preflight.status, preflight.fields, preflight.body)
                return
            send = _adding(self._cors.fields(headers.get(b"origin")), send)
        repetition = self._repetition(scope, headers)
        if repetition is None:
            await self._inner(scope, receive, self._counting(send))
            return
        status, fields, body = repetition
        await send({"type": "http.response.start", "status": status, "headers": list(fields)})
        await send({"type": "http.response.body", "body": body})

    def _counting(self, send: Send) -> Send:
        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.decided[message["status"]] += 1
            await send(message)

        return send_and_count

    def _repetition(
        self, scope: Scope, headers: Mapping[bytes, bytes]
    ) -> tuple[int, HeaderFields, bytes] | None:
        """The answer of a decision that still holds; None where one has to be made."""
        method = scope["method"]
        if (method != "GET" and method != "HEAD") or len(headers) != len(scope["headers"]):  # noqa: PLR1714 (a set costs more)
            return None  # a repeated field is missing from the dictionary
        key = (
            scope.get("raw_path", b""),
            self._credential(scope, headers),
            headers.get(b"accept-encoding"),
        )
        decision = self._find(key)
        if decision is not None and decision.until > monotonic():
            variant = decision.variant()
            if (
                variant is not None
                and variant.content is not None
                and b"range" not in headers
                and b"if-match" not in headers
                and b"if-unmodified-since" not in headers
            ):
                known = headers.get(b"if-none-match")
                if known == decision.etag:
                    self.repeated[304] += 1
                    return 304, decision.not_modified, b""
                # A list, a weak tag, a date: rare enough for the long way.
                if known is None and b"if-modified-since" not in headers:
                    self.repeated[200] += 1
                    return 200, decision.whole, variant.content if method == "GET" else b""
        scope[ASKED] = (key, self._decisions.epoch)
        return None


def _adding(fields: tuple[tuple[bytes, bytes], ...], send: Send) -> Send:
    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *fields]}
        await send(message)

    return send_with_fields
