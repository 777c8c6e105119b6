"""Cross-origin answers (Fetch standard, "CORS protocol"), as the application's pages need them.

Requests with credentials rule out `*`, so a listed origin is echoed. Errors carry the fields too:
without them a browser shows a JSON 404 as a blocked script.
"""

import re
from collections.abc import Collection
from functools import lru_cache

from gateway.http.cache_policy import NO_STORE
from gateway.http.heads import Head, HeaderFields, Headers, field_lines

_METHODS = b"GET, POST, PUT, DELETE, OPTIONS, PATCH"
_HEADERS = (
    b"Accept, Accept-Language, Authorization, Content-Language, Content-Type,"
    b" If-None-Match, Range, X-Requested-With"
)
EXPOSED = b"Cache-Status, Content-Range, ETag, Server-Timing, X-Request-ID"
_PREFLIGHT_MAX_AGE_S = b"600"
_REMEMBERED = 256
_LOCALHOST = re.compile(rb"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")


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

    def sent(self, origin: bytes | None) -> tuple[HeaderFields, bytes]:
        """The fields of every answer, and their lines as they are sent; both empty if CORS is off.

        `Vary: Origin` stands also in the answer to a request without an origin: a cache must not
        give that answer to a page of a listed origin.
        """
        if not self.enabled:
            return (), b""
        return self._sent(origin if origin is not None and self.allows(origin) else None)

    @staticmethod
    def _build_sent(origin: bytes | None) -> tuple[HeaderFields, bytes]:
        """`origin`: an allowed one; None: the request has none."""
        fields: HeaderFields = ((b"vary", b"Origin"),)
        if origin is not None:
            fields = (
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", EXPOSED),
                *fields,
            )
        return fields, field_lines(fields)

    def preflight(self, method: str, headers: Headers) -> tuple[Head, bytes] | None:
        """The answer to a preflight request, with its body; None: this is no preflight request."""
        origin = headers.get(b"origin")
        is_preflight = method == "OPTIONS" and b"access-control-request-method" in headers
        if origin is None or not is_preflight or not self.enabled:
            return None
        common = ((b"content-type", b"text/plain; charset=utf-8"), (b"vary", b"Origin"))
        if not self.allows(origin):
            refusal = (*common, (b"cache-control", NO_STORE.encode()))
            return Head.of(400, refusal), b"Disallowed CORS origin"
        # In development a page may send any field that it asks for, as in the application.
        names = headers.get(b"access-control-request-headers") if self._any_localhost else None
        fields = (
            *common,
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", names or _HEADERS),
            (b"access-control-max-age", _PREFLIGHT_MAX_AGE_S),
        )
        return Head.of(200, fields), b"OK"


NO_ORIGINS = CorsPolicy((), any_localhost=False)
"""Only pages of the gateway's own origin may read answers."""
