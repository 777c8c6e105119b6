"""Who is at the other end of a connection: this machine, a trusted proxy, the Unix socket.

The one place that reads the peer of an ASGI scope. It decides on the connection alone, never on
what a header claims. An IPv4-mapped address (`::ffff:192.0.2.1`, how a socket for both families
writes an IPv4 peer) counts exactly as its IPv4 address, and no other IPv6 address counts as IPv4.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import Scope

# Each request of a proxy asks; to parse an address takes 2 µs.
_REMEMBERED = 1024

UNIX_SOCKET = "unix"
"""Stands in a list of trusted addresses for peers of the Unix socket, which have no address."""


class TrustedPeers:
    """The peers in a list of addresses, networks and `UNIX_SOCKET`."""

    def __init__(self, trusted: Iterable[str]) -> None:
        """Raises: ValueError."""
        texts = frozenset(trusted)
        self._trusts_socket = UNIX_SOCKET in texts
        self._networks = [ip_network(text) for text in texts - {UNIX_SOCKET}]
        self._holds = lru_cache(_REMEMBERED)(self._networks_hold)

    def __contains__(self, scope: Scope) -> bool:
        server, client = scope.get("server"), scope.get("client")
        if server is not None and server[1] is None:  # as in `is_on_socket`, without the call
            return self._trusts_socket
        return client is not None and self._holds(client[0])

    def _networks_hold(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


def is_on_socket(scope: Scope) -> bool:
    """Whether the peer is connected to our Unix socket.

    The listening side says which kind of socket this is: a TCP peer that is gone already has no
    address either.
    """
    server = scope.get("server")
    return server is not None and server[1] is None


def is_loopback(scope: Scope) -> bool:
    """Whether the peer has a loopback address. Peers of the Unix socket have no address."""
    client = scope.get("client")
    address = _address(client[0]) if client and not is_on_socket(scope) else None
    return address is not None and address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """None: the server does not know the address, or gives something else, such as a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
