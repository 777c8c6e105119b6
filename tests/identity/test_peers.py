"""Who counts as this machine, as a trusted proxy, as a peer of the Unix socket: one rule."""

from collections.abc import Mapping

import pytest
from starlette.types import Receive, Scope, Send

from gateway import Gateway
from gateway.caching.basis import AT_HAND
from gateway.identity.dev import DevIdentity
from gateway.identity.peers import TrustedPeers, is_loopback
from gateway.identity.proxy import ProxyIdentity
from gateway.settings import ProxySettings
from tests.support.asgi import Client, status, with_gateway
from tests.support.site import ADA, Site
from tests.support.urls import ENTRY_URL

TCP = ("127.0.0.1", 8000)
"""The address that listens."""
SOCKET = ("/run/gateway.sock", None)


def scope_of(host: object, server: object = TCP) -> Scope:
    return {"client": (host, 1) if host is not None else None, "server": server}


@pytest.mark.parametrize(
    ("host", "server", "expected"),
    [
        ("127.0.0.1", TCP, True),
        ("127.8.9.10", TCP, True),
        ("::1", TCP, True),
        ("::ffff:127.0.0.1", TCP, True),  # a socket for both families writes IPv4 peers like this
        ("::ffff:7f08:90a", TCP, True),
        ("::ffff:192.0.2.1", TCP, False),
        ("::ffff:0.0.0.1", TCP, False),  # the low bits of ::1
        ("::127.0.0.1", TCP, False),  # RFC 4291 §2.5.5.1, deprecated: not an IPv4 peer
        ("64:ff9b::7f00:1", TCP, False),  # RFC 6052: the translator's peer
        ("2002:7f00:1::", TCP, False),  # RFC 3056
        ("fe80::1", TCP, False),
        ("192.0.2.1", TCP, False),
        ("localhost", TCP, False),  # not an address
        ("", TCP, False),
        (None, TCP, False),  # a TCP peer that went away
        (None, None, False),
        (None, SOCKET, False),  # has no address
        ("127.0.0.1", SOCKET, False),  # whatever a server writes there
    ],
)
def test_loopback(host: object, server: object, expected: bool) -> None:
    assert is_loopback(scope_of(host, server)) is expected


@pytest.mark.parametrize(
    ("trusted", "host", "server", "expected"),
    [
        (["192.0.2.0/24"], "192.0.2.9", TCP, True),
        (["192.0.2.0/24"], "::ffff:192.0.2.9", TCP, True),
        (["192.0.2.0/24"], "::ffff:192.0.3.9", TCP, False),
        (["192.0.2.0/24"], "2001:db8::1", TCP, False),
        (["2001:db8::/32"], "2001:db8::1", TCP, True),
        # Exactly as its IPv4 address, which no IPv6 network holds.
        (["::/0"], "::ffff:192.0.2.9", TCP, False),
        (["::/0"], "192.0.2.9", TCP, False),
        (["0.0.0.0/0"], None, TCP, False),
        (["0.0.0.0/0", "::/0"], "", SOCKET, False),
        (["unix"], "", SOCKET, True),
        (["unix"], None, SOCKET, True),
        (["unix"], "127.0.0.1", TCP, False),
        (["unix", "0.0.0.0/0"], None, TCP, False),  # a TCP peer that went away
        (["unix", "0.0.0.0/0"], "testclient", ("testserver", 80), False),
        (["unix"], None, None, False),
        ([], "127.0.0.1", TCP, False),
    ],
)
def test_trusted_peers(trusted: list[str], host: object, server: object, expected: bool) -> None:
    assert (scope_of(host, server) in TrustedPeers(trusted)) is expected


@pytest.mark.parametrize(
    ("host", "expected"), [("::ffff:127.0.0.1", ADA), ("::ffff:192.0.2.1", None)]
)
def test_an_identity_that_believes_loopback_believes_a_dual_stack_peer(
    host: str, expected: str | None
) -> None:
    scope = {**scope_of(host), "query_string": b""}
    headers = {b"x-dev-user": ADA.encode(), b"x-user-id": ADA.encode()}
    for identity in (DevIdentity(), ProxyIdentity(ProxySettings(trusted=["127.0.0.1"]))):
        assert identity.identify(AT_HAND, scope, headers) == expected


@pytest.mark.parametrize(
    ("path", "extra", "refused"),
    [("/-/metrics", {}, 401), ("/-/authorize", {b"x-original-uri": ENTRY_URL.encode()}, 403)],
)
def test_an_endpoint_for_this_machine_answers_a_dual_stack_peer(
    site: Site, path: str, extra: Mapping[bytes, bytes], refused: int
) -> None:
    async def scenario(gateway: Gateway, _client: Client) -> None:
        async def answer(host: str) -> int:
            async def from_host(scope: Scope, receive: Receive, send: Send) -> None:
                await gateway({**scope, "client": (host, 1)}, receive, send)

            user = ADA if extra else None
            return status(await Client(from_host).request(path, user, extra=list(extra.items())))

        assert await answer("::ffff:127.0.0.1") == await answer("127.0.0.1") == 200
        assert await answer("::ffff:192.0.2.1") == await answer("192.0.2.1") == refused

    with_gateway(site, scenario, GATEWAY__IDENTITY__PROXY__TRUSTED="10.0.0.0/8")
