"""A header that names the user, set by a proxy that has authenticated them; believed from the
peers in `identity.proxy.trusted` alone.
"""

from ipaddress import ip_address, ip_network

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import InvalidToken
from gateway.identity import Headers
from gateway.names import UserId, parse_user_id
from gateway.settings import Proxy

UNIX_SOCKET = "unix"
"""Stands for the peers of the Unix socket: they have no address."""


class ProxyIdentity:
    """The user that a trusted peer names."""

    def __init__(self, settings: Proxy) -> None:
        self._header = settings.header.lower().encode()
        self._trusts_socket = UNIX_SOCKET in settings.trusted
        self._networks = [ip_network(text) for text in settings.trusted if text != UNIX_SOCKET]

    def identify(self, _basis: AtHand, scope: Scope, headers: Headers) -> UserId | None:
        if not self.is_trusted(scope):
            return None  # an untrusted peer's header says nothing, not even something wrong
        value = headers.get(self._header)
        if value is None:
            return None
        try:
            return parse_user_id(value.decode("latin-1").strip())
        except ValueError as error:
            raise InvalidToken(reason=str(error)) from None

    def purge_all(self) -> None:
        """Nothing is remembered."""

    def is_trusted(self, scope: Scope) -> bool:
        """Whether the connection comes from a listed address, not what a header claims."""
        client, server = scope.get("client"), scope.get("server")
        # A TCP peer that is gone already has no address either: it is the listening side that
        # says which kind of socket this is.
        if server and server[1] is None:
            return self._trusts_socket
        try:
            address = ip_address(client[0]) if client else None
        except ValueError:
            return False
        # A socket for both families writes an IPv4 peer as ::ffff:192.0.2.1.
        address = getattr(address, "ipv4_mapped", None) or address
        return address is not None and any(address in network for network in self._networks)
