"""Who asks. An open set: one way of knowing the user, one file.

A source returns the user; None, where the request carries no credential of its kind; or it
raises InvalidToken, where it carries one that proves nothing: a bad credential is refused,
never passed over to a weaker source.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

from starlette.types import Scope

from gateway.basis import Basis
from gateway.errors import NotAuthenticated
from gateway.names import UserId


class IdentitySource(Protocol):
    """One way of knowing the user."""

    async def identify(self, scope: Scope, basis: Basis) -> UserId | None:
        """Raises: InvalidToken; SourceUnavailable, if keys cannot be had."""

    def credential(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Hashable:
        """All of a request that `identify` looks at: equal credentials, equal users."""

    def purge_all(self) -> None:
        """Forgets what was learned from credentials, if anything is remembered."""


class IdentityChain:
    """The configured sources, asked in order."""

    def __init__(self, sources: Sequence[IdentitySource]) -> None:
        self._sources = tuple(sources)
        # Decided once: a chain of one, the usual case, costs no tuple on the hot path.
        self.credential = sources[0].credential if len(sources) == 1 else self._credential_of_all

    def _credential_of_all(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Hashable:
        return tuple(source.credential(scope, headers) for source in self._sources)

    async def identify(self, scope: Scope, basis: Basis) -> UserId:
        """Raises: NotAuthenticated, InvalidToken, SourceUnavailable."""
        for source in self._sources:
            user = await source.identify(scope, basis)
            if user is not None:
                return user
        raise NotAuthenticated

    def purge_all(self) -> None:
        for source in self._sources:
            source.purge_all()


def single_header(scope: Scope, name: bytes) -> bytes | None:
    """The field's value; None where it is absent.

    Raises: ValueError, if it is repeated: which of two names the user is anyone's guess.
    """
    found: bytes | None = None
    for key, value in scope["headers"]:
        if key == name:
            if found is not None:
                raise ValueError(f"repeated header {name.decode()}")
            found = value
    return found
