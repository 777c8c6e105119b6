"""Who may read `/-/metrics`: the peers of `observability.metrics_allow`, and administrators."""

from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from gateway import Gateway
from tests.support.asgi import Client, status, with_gateway
from tests.support.commands import refuse_to_serve
from tests.support.server import Server, server_of, serving, serving_on_socket
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import own

ALLOW = "GATEWAY__OBSERVABILITY__METRICS_ALLOW"
METRICS = "/-/metrics"
TCP = ("127.0.0.1", 8000)
SOCKET = ("/run/gateway.sock", None)
LOOPBACK = "127.0.0.0/8,::1"
"""The default."""

administered = server_of({"GATEWAY__IDENTITY__ADMIN_USERS": ADA, ALLOW: ""})


@pytest.mark.parametrize(
    ("allow", "host", "listener", "expected"),
    [
        (None, "127.0.0.1", TCP, 200),
        (None, "127.0.0.2", TCP, 200),
        (None, "::1", TCP, 200),
        (None, "::ffff:127.0.0.1", TCP, 200),
        (None, "::ffff:10.0.0.1", TCP, 401),
        (None, "10.0.0.1", TCP, 401),
        (None, "", SOCKET, 401),
        (None, None, TCP, 401),
        ("10.0.0.0/8", "10.9.8.7", TCP, 200),
        ("10.0.0.0/8", "::ffff:10.9.8.7", TCP, 200),
        ("10.0.0.0/8", "127.0.0.1", TCP, 401),  # a list of its own, not an addition
        ("10.0.0.0/8", "11.0.0.1", TCP, 401),
        ("2001:db8::/32", "2001:db8::7", TCP, 200),
        ("unix", "", SOCKET, 200),
        ("unix", "127.0.0.1", TCP, 401),
        ("", "127.0.0.1", TCP, 401),
    ],
)
def test_a_peer_may_scrape_if_it_is_in_the_list(
    site: Site, allow: str | None, host: str | None, listener: object, expected: int
) -> None:
    async def scenario(gateway: Gateway, _client: Client) -> None:
        async def from_peer(scope: Scope, receive: Receive, send: Send) -> None:
            client = None if host is None else (host, 1)
            await gateway({**scope, "client": client, "server": listener}, receive, send)

        assert status(await Client(from_peer).request(METRICS, None)) == expected

    with_gateway(site, scenario, **({} if allow is None else {ALLOW: allow}))


@pytest.mark.slow
def test_who_may_scrape_may_not_name_users(site: Site) -> None:
    chain = {"GATEWAY__IDENTITY__CHAIN": "proxy", "GATEWAY__IDENTITY__PROXY__TRUSTED": "127.0.0.3"}
    with serving({**site.environment, **chain, ALLOW: "127.0.0.2"}) as server:
        named = {"X-User-Id": ADA}
        assert server.get_from("127.0.0.2", METRICS).status == 200
        assert server.get_from("127.0.0.2", own("Review"), named).status == 401
        assert server.get_from("127.0.0.3", own("Review"), named).status == 200
        assert server.get_from("127.0.0.3", METRICS).status == 401
        assert server.get_from("127.0.0.3", METRICS, named).status == 403


@pytest.mark.slow
def test_what_a_client_claims_does_not_let_it_scrape(site: Site) -> None:
    with serving({**site.environment, ALLOW: "127.0.0.2"}) as server:
        for name in ("X-Forwarded-For", "X-Real-IP", "X-Client-IP"):
            assert server.get(METRICS, {name: "127.0.0.2"}).status == 401
        assert server.get(METRICS, {"Forwarded": "for=127.0.0.2"}).status == 401


@pytest.mark.slow
@pytest.mark.parametrize(("allow", "expected"), [(LOOPBACK, 401), (f"{LOOPBACK},unix", 200)])
def test_the_unix_socket_is_a_peer_of_its_own(
    site: Site, tmp_path: Path, allow: str, expected: int
) -> None:
    socket = tmp_path / "gateway.sock"
    with serving_on_socket({**site.environment, ALLOW: allow}, socket) as server:
        assert server.get(METRICS).status == expected


@pytest.mark.slow
def test_administrators_may_scrape_from_anywhere(administered: Server) -> None:
    assert administered.get(METRICS, bearer(ADA)).status == 200
    assert administered.get(METRICS, bearer(BEN)).status == 403
    assert administered.get(METRICS).status == 401


@pytest.mark.parametrize("peers", ["prometheus.example", "10.0.0.1/8", "10.0.0.0/33", "socket"])
def test_a_peer_that_is_no_address_stops_the_start(site: Site, peers: str) -> None:
    line = refuse_to_serve({**site.environment, ALLOW: peers}, "serve", "--port", "0")
    assert "metrics_allow" in line
    assert peers in line
