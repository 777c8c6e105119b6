"""Who asks. An open set: one way of knowing the user, one file.

chain.py makes the configured sources and asks them in order.
"""

from typing import Protocol

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.http.heads import Headers
from gateway.names import UserId


class IdentitySource(Protocol):
    """One way of knowing the user."""

    def identify(self, basis: AtHand, scope: Scope, headers: Headers) -> UserId | None:
        """The user; None if the request carries no credential of this kind.

        `scope`: an ASGI scope, or a part with its `client`, `server` and `query_string`.

        Raises: InvalidToken, for a credential that proves nothing: no weaker source is asked after
            it; Pending, if keys must be waited for; SourceUnavailable.
        """

    def purge_all(self) -> None:
        """Forgets what was learned from credentials, if anything was."""
        return
