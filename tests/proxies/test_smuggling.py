"""Behind a proxy that forwards `Upgrade` and bodies, nobody's bytes become another's request."""

import socket
from collections.abc import Iterator

import pytest

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.proxies import caddy_with
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import API, MANIFEST, own

TRIES = 30
CREDENTIAL = f"Authorization: {bearer(BEN)['Authorization']}"


@pytest.fixture(scope="module")
def behind(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Caddy that is configured as many are: `reverse_proxy`, and nothing about `Upgrade`."""
    program, port = require_program("caddy"), free_port()
    with serving(site.environment) as gateway:
        config = tmp_path_factory.mktemp("caddy") / "Caddyfile"
        config.write_text(
            "{\n    admin off\n    auto_https off\n}\n"
            f"http://:{port} {{\n    reverse_proxy 127.0.0.1:{gateway.port}\n}}\n"
        )
        with caddy_with(program, config, port) as process:
            yield Server(process, port, gateway.output)


def attack(proxy: Server, smuggled: bytes, upgrade: str, *, chunked: bool) -> None:
    """Sends `smuggled` as the body of a request to upgrade, and waits for its answer."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(smuggled)}"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled) if chunked else smuggled
    lines = [f"GET {own('Review')} HTTP/1.1", "Host: x", CREDENTIAL, "Connection: Upgrade",
             f"Upgrade: {upgrade}", framing, "", ""]  # fmt: skip
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        connection.recv(65536)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_the_next_request_through_the_proxy_is_its_senders_own(
    behind: Server, upgrade: str, chunked: bool
) -> None:
    """The smuggled request would swallow the head of the one that the proxy sends next."""
    lines = (f"DELETE {API}/plugins/Review/uninstall HTTP/1.1", "Host: x", "X-Swallowed: ")
    # A parser skips empty lines: wherever the proxy cuts the body, a request comes next.
    smuggled = b"\r\n" * 5_000 + "\r\n".join(lines).encode()
    for _ in range(TRIES):
        attack(behind, smuggled, upgrade, chunked=chunked)
        answer = behind.get(own("Review"), bearer(ADA))
        assert (answer.status, answer.body) == (200, b"/* Review 1.0.0 */ window.Review = {};")
    assert "Review" in behind.get(MANIFEST, bearer(ADA)).json
