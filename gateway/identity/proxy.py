"""A header that names the user, set by a proxy that has authenticated them; believed from the
peers in `identity.proxy.trusted` alone.
"""

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import InvalidToken
from gateway.http.heads import Headers
from gateway.identity import IdentitySource
from gateway.identity.peers import TrustedPeers
from gateway.names import UserId, parse_user_id
from gateway.settings import ProxySettings


class ProxyIdentity(IdentitySource):
    """The user that a trusted peer names."""

    def __init__(self, settings: ProxySettings) -> None:
        self._header = settings.header.lower().encode()
        self._trusted = TrustedPeers(settings.trusted)

    def identify(self, _basis: AtHand, scope: Scope, headers: Headers) -> UserId | None:
        if scope not in self._trusted:
            return None  # an untrusted peer's header says nothing, not even something wrong
        value = headers.get(self._header)
        if value is None:
            return None
        try:
            return parse_user_id(value.decode("latin-1").strip())
        except ValueError as error:
            raise InvalidToken(reason=str(error)) from None
