"""Who asks. An open set: one way of knowing the user, one file.

A source returns the user, or None if the request carries no credential of its kind. It raises
InvalidToken if the request carries one that proves nothing: a bad credential is refused, and no
weaker source is asked after it. chain.py makes the configured sources and asks them in order.
"""

from collections.abc import Mapping
from typing import Protocol

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.names import UserId

Headers = Mapping[bytes, bytes]
"""Header fields by name in lower case; a repeated field's values are joined by ", " (RFC 9110
§5.3). No user id and no token has such a separator, so a repeated credential proves nothing."""


class IdentitySource(Protocol):
    """One way of knowing the user."""

    def identify(self, basis: AtHand, scope: Scope, headers: Headers) -> UserId | None:
        """`scope`: an ASGI scope, or a part with its `client`, `server` and `query_string`.

        Raises: InvalidToken; Pending, if keys must be waited for; SourceUnavailable.
        """

    def purge_all(self) -> None:
        """Forgets what was learned from credentials, if anything was."""


def joined_headers(scope: Scope) -> dict[bytes, bytes]:
    """The header fields of an ASGI scope, repeated ones joined (RFC 9110 §5.3)."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) == len(scope["headers"]):
        return headers
    joined: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined
