"""Cross-origin answers (Fetch standard, "CORS protocol"), as the application's pages need them.

Requests with credentials rule out `*`, so a listed origin is echoed. Errors carry the fields too:
without them a browser shows a JSON 404 as a blocked script.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gateway.http.heads import HeaderFields, field_lines

_METHODS = b"GET, POST, PUT, DELETE, OPTIONS, PATCH"
_HEADERS = (
    b"Accept, Accept-Language, Authorization, Content-Language, Content-Type,"
    b" If-None-Match, Range, X-Requested-With"
)
EXPOSED = b"Cache-Status, Content-Range, ETag, Server-Timing"
_PREFLIGHT_MAX_AGE_S = 600
_REMEMBERED = 256
_LOCALHOST = re.compile(rb"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Preflight:
    """The answer to a preflight request."""

    status: int
    fields: HeaderFields
    body: bytes


class CorsPolicy:
    """Which origins' pages may read answers."""

    def __init__(self, origins: Collection[str], *, any_localhost: bool) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._any_localhost = any_localhost
        self.enabled = bool(self._origins) or any_localhost
        # All origins that are not listed share one entry; in development any port is listed.
        self._sent = lru_cache(_REMEMBERED)(self._build_sent)

    def allows(self, origin: bytes) -> bool:
        return origin in self._origins or (
            self._any_localhost and _LOCALHOST.fullmatch(origin) is not None
        )

    def _allowed_headers(self, headers: Mapping[bytes, bytes]) -> bytes:
        """In development all that the page asks for, as the application does."""
        names = headers.get(b"access-control-request-headers")
        return names if self._any_localhost and names else _HEADERS

    def fields(self, origin: bytes | None) -> HeaderFields:
        """What every answer carries. `Vary: Origin` also where the request has no origin: a cache
        must not give that answer, which lacks the other fields, to a page of a listed origin.
        """
        vary = (b"vary", b"Origin")
        if origin is None or not self.allows(origin):
            return (vary,)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", EXPOSED),
            vary,
        )

    def sent(self, origin: bytes | None) -> tuple[HeaderFields, bytes]:
        """The fields, and their lines as they are sent. Both are empty if CORS is off."""
        if not self.enabled:
            return (), b""
        return self._sent(origin if origin is not None and self.allows(origin) else None)

    def _build_sent(self, origin: bytes | None) -> tuple[HeaderFields, bytes]:
        fields = self.fields(origin)
        return fields, field_lines(fields)

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Preflight | None:
        """The answer to a preflight request; None: this is no preflight request."""
        if method != "OPTIONS" or b"access-control-request-method" not in headers:
            return None
        origin = headers.get(b"origin")
        if origin is None:
            return None
        common = ((b"content-type", b"text/plain; charset=utf-8"), (b"vary", b"Origin"))
        if not self.allows(origin):
            refusal = (*common, (b"cache-control", b"no-store"))
            return Preflight(400, refusal, b"Disallowed CORS origin")
        return Preflight(
            200,
            (
                *common,
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", self._allowed_headers(headers)),
                (b"access-control-max-age", str(_PREFLIGHT_MAX_AGE_S).encode()),
            ),
            b"OK",
        )
