"""Which requests may be answered with a difference from a dictionary (RFC 9842 §8, §9.3).

The length of a difference says how much of the file is in the dictionary. So nobody may see it who
may not see the content: no one who listens on the line, and no page that embeds the file but may
not read it.
"""

import re

from starlette.types import Scope

from gateway.http.conditional import is_plain
from gateway.http.cors import CorsPolicy
from gateway.http.dictionaries import (
    AVAILABLE_DICTIONARY,
    accepts_dcz,
    parse_available_dictionary,
)
from gateway.http.heads import Headers
from gateway.identity.peers import TrustedPeers

# To these a browser speaks in a secure context also without TLS (W3C Secure Contexts §3.1).
_LOCALHOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_FETCH_FIELDS = (b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"sec-fetch-user")


class DictionaryRequests:
    """Reads from a request which dictionary its client may be answered with."""

    def __init__(self, cors: CorsPolicy, trusted: TrustedPeers, *, https_alone: bool) -> None:
        """`trusted`: proxies whose X-Forwarded-Proto is believed. `https_alone`: whether browsers
        reach the gateway in no other way.
        """
        self._cors = cors
        self._trusted = trusted
        self._https_alone = https_alone

    def dictionary_of(self, scope: Scope, headers: Headers) -> bytes | None:
        """The digest of the dictionary; None: the client gets the variant that anybody gets."""
        field = headers.get(AVAILABLE_DICTIONARY)
        digest = None if field is None else parse_available_dictionary(field)
        if (
            digest is None
            or not is_plain(headers)
            or not accepts_dcz(headers.get(b"accept-encoding", b""))
            or not self._is_readable(headers)
            or not self._is_secure(scope, headers)
        ):
            return None
        return digest

    def _is_readable(self, headers: Headers) -> bool:
        """Whether the page that asks may read the answer (§9.3.2). A field that was repeated says
        nothing: its values are joined by a comma.
        """
        if any(b"," in headers.get(name, b"") for name in _FETCH_FIELDS):
            return False
        site = headers.get(b"sec-fetch-site")
        if site is None or site == b"same-origin":
            return True
        origin = headers.get(b"origin")
        return origin is not None and self._cors.allows(origin)

    def _is_secure(self, scope: Scope, headers: Headers) -> bool:
        """Whether nobody else sees the length of the answer."""
        if self._https_alone or scope.get("scheme") == "https":
            return True
        if headers.get(b"x-forwarded-proto") == b"https" and scope in self._trusted:
            return True
        return _LOCALHOST.fullmatch(headers.get(b"host", b"")) is not None
