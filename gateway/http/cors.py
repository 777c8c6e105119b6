"""Cross-origin answers (Fetch standard, "CORS protocol"), as the application's pages need them.

Credentialed requests rule out `*`: the origin is echoed if it is listed. Errors carry the
fields too, for a browser shows a JSON 404 without them as a blocked script.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gateway.http.heads import head_of
from gateway.http.representation import HeaderFields

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
        # Of origins that are not listed there is one answer; in development any port is listed.
        self._sent = lru_cache(_REMEMBERED)(self._build_sent)

    def allows(self, origin: bytes) -> bool:
        return origin in self._origins or (
            self._any_localhost and _LOCALHOST.fullmatch(origin) is not None
        )

    def _allowed_headers(self, headers: Mapping[bytes, bytes]) -> bytes:
        """In development whatever is asked for, as the application does."""
        asked = headers.get(b"access-control-request-headers")
        return asked if self._any_localhost and asked else _HEADERS

    def fields(self, origin: bytes | None) -> HeaderFields:
        """What every answer carries. `Vary: Origin` also where no origin was sent, for a
        stored answer without these fields must not be given to a page of a listed origin.
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
        """The same, and as they are sent; nothing where CORS is off."""
        if not self.enabled:
            return (), b""
        return self._sent(origin if origin is not None and self.allows(origin) else None)

    def _build_sent(self, origin: bytes | None) -> tuple[HeaderFields, bytes]:
        fields = self.fields(origin)
        return fields, head_of(fields)

    def preflight(self, method: str, headers: Mapping[bytes, bytes]) -> Preflight | None:
        """The answer to a preflight request; None where the request is none."""
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
