"""Who asks. An open set: one way of knowing the user, one file.

A source returns the user; None, where the request carries no credential of its kind; or it
raises InvalidToken, where it carries one that proves nothing: a bad credential is refused,
never passed over to a weaker source.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import NotAuthenticated
from gateway.names import UserId

Headers = Mapping[bytes, bytes]
"""Header fields by name in lower case; a repeated field's values are joined by ", " (RFC 9110
§5.3). No user id and no token has such a separator, so a repeated credential proves nothing."""


class IdentitySource(Protocol):
    """One way of knowing the user."""

    def identify(self, basis: AtHand, scope: Scope, headers: Headers) -> UserId | None:
        """`scope`: `client`, `server` and `query_string` of ASGI's scope are there.

        Raises: InvalidToken; Pending, if keys must be waited for; SourceUnavailable.
        """

    def purge_all(self) -> None:
        """Forgets what was learned from credentials, if anything is remembered."""


class IdentityChain:
    """The configured sources, asked in order."""

    def __init__(self, sources: Sequence[IdentitySource]) -> None:
        self._sources = tuple(sources)

    def identify(self, basis: AtHand, scope: Scope, headers: Headers) -> UserId:
        """Raises: NotAuthenticated, InvalidToken, SourceUnavailable, Pending."""
        for source in self._sources:
            user = source.identify(basis, scope, headers)
            if user is not None:
                return user
        raise NotAuthenticated

    def purge_all(self) -> None:
        for source in self._sources:
            source.purge_all()


def joined_headers(scope: Scope) -> dict[bytes, bytes]:
    """The header fields of an ASGI scope, repeated ones joined (RFC 9110 §5.3)."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) == len(scope["headers"]):
        return headers
    joined: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined
