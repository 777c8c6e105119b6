"""One origin: real nginx and Caddy, a gateway, and an application that has the rest of the host."""

import json
import os
import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import require_program
from tests.support.application import ANSWERED_BY, accept_for, requests_of, serving_application
from tests.support.certificates import self_signed
from tests.support.commands import line_of, run
from tests.support.proxies import DELIVERY, proxy_before
from tests.support.server import Answer, Server, serving
from tests.support.site import ADA, USERS_CHANGE, Site, bearer
from tests.support.urls import (
    API,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    pin_of,
    public,
    signed,
)

PLUGINS = f"{API}/plugins"
ORIGIN = "https://app.example"
ENVIRONMENT = {**SIGNED_ENVIRONMENT, "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN}
PROXIES = [f"{proxy} {mode}" for proxy in ("nginx", "caddy") for mode in DELIVERY]
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
"""The example of RFC 6455 §1.3."""

CHANGES = [
    ("POST", f"{PLUGINS}/Review/install"),
    ("POST", f"{PLUGINS}/Review/rollback"),
    ("PUT", f"{PLUGINS}/Review/update"),
    ("DELETE", f"{PLUGINS}/Nothing/uninstall"),
    ("PATCH", f"{PLUGINS}/Review"),
]
READ = [
    MANIFEST,
    f"{MANIFEST}?v=1",
    f"{MANIFEST}/designer",
    f"{PLUGINS}/by-slug/Review",
    f"{PLUGINS}/{ADA}_Review/info",
    f"{PLUGINS}/{ADA}_Review/modules",
    f"{PLUGINS}/{ADA}_Review/modules/Main",
    f"{PLUGINS}/Review/status",
    own("Review"),
    own("Review", "dist/REMOTE.JS"),
    public(f"{ADA}_Review"),
    public(f"{ADA}_Review", "page.html"),
    public("Review", "..%2f..%2f..%2fetc/passwd"),
    signed("nothing", "Review"),
    "/-/live",
    "/-/ready",
    "/-/console",
    "/-/cache",
]
GATEWAY = [
    *((method, path) for path in READ for method in ("GET", "HEAD")),
    ("POST", "/-/cache/purge"),
    ("GET", f"{API}/public/plugins/x/../../../secret.js"),
    ("GET", f"{API}/x/..%2F..%2f{API}/public/plugins/x/a.js"),
    ("DELETE", f"{PLUGINS}/x/../Review/uninstall"),
]
"""Requests that the gateway answers, whatever it answers."""
APPLICATION = [
    ("GET", "/"),
    ("GET", "/index.html?next=/a/../b"),
    ("GET", "/assets/app.js"),
    ("POST", f"{API}/auth/login"),
    ("OPTIONS", f"{API}/auth/login"),
    # Its plugin manager.
    ("GET", f"{PLUGINS}/updates/available"),
    ("GET", f"{PLUGINS}/available"),
    ("GET", f"{PLUGINS}/manager"),
    ("GET", f"{PLUGINS}/categories"),
    ("GET", f"{PLUGINS}/tags"),
    ("GET", PLUGINS),
    ("GET", f"{PLUGINS}/"),
    ("POST", f"{API}/public/plugins"),
    ("POST", f"{PLUGINS}/install-from-url"),
    ("POST", f"{PLUGINS}/refresh-cache"),
    ("POST", f"{PLUGINS}/Review/update"),
    ("GET", f"{PLUGINS}/Review/update/available"),
    ("DELETE", f"{PLUGINS}/{ADA}_Review"),
    ("PUT", f"{PLUGINS}/{ADA}_Review/modules/Main"),
    # What the gateway answers with 405.
    ("POST", MANIFEST),
    ("POST", own("Review")),
    ("PUT", public(f"{ADA}_Review")),
    ("OPTIONS", own("Review")),
]
CLOSED = ["/-/metrics", "/-/authorize", "/-/../-/metrics", "/%2d/authorize", "/x/../-/metrics"]


class Setting:
    """An application, gateways, and proxies in front of them, started when they are needed."""

    def __init__(self, site: Site, stack: ExitStack, application: Server) -> None:
        self._site = site
        self._stack = stack
        self.application = application
        self._gateways: dict[str, Server] = {}
        self._proxies: dict[tuple[str, bool], Server] = {}

    def proxy(self, name: str, *, changes: bool = False) -> Server:
        if (name, changes) not in self._proxies:
            proxy, mode = name.split()
            program = require_program(proxy)
            delivery = {"GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
            environment = {**self._site.environment, **ENVIRONMENT, **delivery}
            if changes:
                environment.update(USERS_CHANGE)
            gateway = self._stack.enter_context(serving(environment))
            folder = self._site.folder / f"{proxy}-{mode}-{changes}"
            url = ("--application", f"http://127.0.0.1:{self.application.port}")
            started = proxy_before(gateway, environment, program, proxy, mode, folder, *url)
            self._proxies[name, changes] = self._stack.enter_context(started)
        return self._proxies[name, changes]


@pytest.fixture(scope="module")
def setting(site: Site) -> Iterator[Setting]:
    with ExitStack() as stack:
        yield Setting(site, stack, stack.enter_context(serving_application()))


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, setting: Setting) -> Server:
    return setting.proxy(request.param)


@pytest.fixture(params=["nginx proxy", "caddy proxy"])
def simple_front(request: pytest.FixtureRequest, setting: Setting) -> Server:
    return setting.proxy(request.param)


@pytest.fixture(params=["nginx proxy", "nginx authorize", "caddy proxy"])
def changing_front(request: pytest.FixtureRequest, setting: Setting) -> Server:
    return setting.proxy(request.param, changes=True)


def is_from_application(answer: Answer) -> bool:
    return answer.headers.get(ANSWERED_BY) == "application"


# Who answers


def test_the_gateway_answers_what_is_its_own(front: Server) -> None:
    for method, path in GATEWAY:
        answer = front.request(method, path, bearer(ADA))
        assert not is_from_application(answer), (method, path)
        assert answer.status < 500, (method, path)
    assert front.get(own("Review"), bearer(ADA)).body.startswith(b"/* Review 1.0.0 */")
    assert front.get(public(f"{ADA}_Review")).body.startswith(b"/* Review 1.0.0 */")
    token = capability(ADA, "Review")
    assert front.get(signed(token, "Review")).body.startswith(b"/* Review 1.0.0 */")
    for url in (own, public):
        path = f"{pin_of(front, ADA, 'Review')}/dist/1.js"
        for _ in range(2):  # the first answer may be the gateway's, the second one the proxy's
            assert front.get(url("Review", path), bearer(ADA)).status == 200


def test_the_application_answers_everything_else(front: Server) -> None:
    for method, path in APPLICATION:
        answer = front.request(method, path, bearer(ADA), b"a body" if method == "POST" else b"")
        assert is_from_application(answer), (method, path, answer.status)
        if method != "HEAD":
            assert answer.json["method"] == method
            assert answer.json["target"] == path
            assert answer.json["body"] == ("a body" if method == "POST" else "")


def test_changes_are_the_applications_while_the_gateway_takes_none(front: Server) -> None:
    for method, path in CHANGES:
        assert is_from_application(front.request(method, path, bearer(ADA))), (method, path)


def test_changes_are_the_gateways_if_it_takes_them(changing_front: Server) -> None:
    for method, path in CHANGES:
        answer = changing_front.request(method, path, body=b"{}")
        assert answer.status == 401, (method, path)
        assert answer.code == "not_authenticated"
    for method, path in APPLICATION:
        assert is_from_application(changing_front.request(method, path)), (method, path)


def test_what_the_gateway_tells_this_machine_alone_is_closed(front: Server) -> None:
    for path in CLOSED:
        answer = front.get(path, {"X-Original-URI": own("Review")})
        assert answer.status in (400, 404), path
        assert b"gateway_" not in answer.body


def test_a_preflight_goes_to_whoever_answers_the_request(front: Server) -> None:
    def answerer(method: str, path: str) -> str:
        fields = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
        answer = front.request("OPTIONS", path, fields)
        if is_from_application(answer):
            return "application"
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        return "gateway"

    assert answerer("GET", MANIFEST) == "gateway"
    assert answerer("GET", own("Review")) == "gateway"
    assert answerer("POST", f"{PLUGINS}/Review/update") == "application"
    assert answerer("PUT", f"{PLUGINS}/Review/update") == "application"
    assert answerer("GET /-/", "/") == "application"


# What the application is told


def test_the_application_hears_who_asks_and_nothing_that_a_client_invents(front: Server) -> None:
    invented = {
        "X-User-Id": "someone",
        "X-Dev-User": "someone",
        "Forwarded": "for=10.0.0.1",
        "X-Forwarded-For": "10.0.0.1",
        "X-Accel-Redirect": "/x",
        "X-Request-ID": "of-a-client",
        "X-Kept": "yes",
    }
    fields = front.get("/", {**invented, "Host": "app.example"}).json["fields"]
    assert fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["x-forwarded-proto"] == "http"
    assert fields["host"] == "app.example"
    assert fields["x-kept"] == "yes"
    assert re.fullmatch(r"[0-9a-f]{32}|[0-9a-f-]{36}", fields["x-request-id"])
    assert not {"x-user-id", "x-dev-user", "forwarded", "x-accel-redirect"} & set(fields)


def test_large_bodies_reach_the_application(simple_front: Server) -> None:
    """nginx by itself takes no more than 1 MiB."""
    body = b"x" * (3 << 20)
    for _ in range(2):
        answer = simple_front.request("POST", f"{API}/documents", body=body)
        assert len(answer.json["body"]) == len(body)


# Websockets


def handshake(
    port: int, *fields: bytes, target: bytes = b"/ws", body: bytes = b""
) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    lines = [b"GET %b HTTP/1.1" % target, b"Host: x", *fields, b"", b""]
    connection.sendall(b"\r\n".join(lines) + body)
    return connection


def head_of(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (chunk := connection.recv(1)):
        received += chunk
    return received


UPGRADE = (b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket")
WEBSOCKET = (*UPGRADE, b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13")


def test_websockets_reach_the_application(front: Server) -> None:
    with handshake(front.port, *WEBSOCKET) as connection:
        head = head_of(connection)
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert accept_for(KEY) in head
        mask = b"mask"
        for text in (b"hello", b"", b"x" * 125):
            masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
            connection.sendall(struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + masked)
            answer = b""
            while len(answer) < len(text) + 2:
                answer += connection.recv(4096)
            assert answer == struct.pack("!BB", 0x81, len(text)) + text


NO_HANDSHAKES = {
    "no key": (*UPGRADE, b"Sec-WebSocket-Version: 13"),
    "a short key": (*UPGRADE, b"Sec-WebSocket-Key: x"),
    "not of the connection": (b"Upgrade: websocket", b"Sec-WebSocket-Key: " + KEY),
    "another protocol": (b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    "a length": (*WEBSOCKET, b"Content-Length: 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_HANDSHAKES)
def test_nothing_but_a_handshake_upgrades(simple_front: Server, name: str) -> None:
    with handshake(simple_front.port, *NO_HANDSHAKES[name], target=b"/other") as connection:
        head = head_of(connection)
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        content = b""
        while len(content) < length:
            content += connection.recv(65536)
        assert "upgrade" not in json.loads(content)["fields"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
@pytest.mark.parametrize("target", [b"/other", b"/ws", own("Review").encode()])
def test_no_body_becomes_a_request(
    front: Server, setting: Setting, target: bytes, upgrade: bytes, chunked: bool
) -> None:
    """The application takes the body of a request with Upgrade for a request."""
    smuggled = b"\r\n" * 50 + b"DELETE /smuggled HTTP/1.1\r\nHost: x\r\nX-Swallowed: "
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(smuggled)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled) if chunked else smuggled
    fields = (b"Connection: Upgrade", b"Upgrade: " + upgrade, *WEBSOCKET[2:], framing)
    for number in range(10):
        with handshake(front.port, *fields, target=target, body=body) as connection:
            head_of(connection)
        victim = front.get(f"/victim/{number}")
        assert (victim.status, victim.json["target"]) == (200, f"/victim/{number}")
    assert not [line for line in requests_of(setting.application) if "smuggled" in line]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed one for app.example, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"), "app.example")


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_the_proxy_speaks_tls_with_the_given_certificate(
    proxy: str, site: Site, setting: Setting, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    program, (chain, key) = require_program(proxy), certificate
    context = ssl.create_default_context(cafile=chain)
    arguments = ("--tls", str(chain), str(key), "--server-name", "app.example",
                 "--application", f"http://127.0.0.1:{setting.application.port}")  # fmt: skip
    environment = {**site.environment, **ENVIRONMENT}
    with (
        serving(environment) as gateway,
        proxy_before(
            gateway, environment, program, proxy, "proxy", tmp_path / "proxy", *arguments
        ) as front,
        socket.create_connection(("127.0.0.1", front.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="app.example") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert json.loads(received.partition(b"\r\n\r\n")[2])["fields"]["x-forwarded-proto"] == "https"


def test_nginx_sends_clients_of_port_80_to_https(certificate: tuple[Path, Path]) -> None:
    tls = ("--tls", *map(str, certificate))
    named = run({}, "proxy-config", "nginx", *tls, "--server-name", "app.example").stdout
    assert "listen 443 ssl http2;" in named
    assert "return 301 https://app.example$request_uri;" in named
    assert "return 301" not in run({}, "proxy-config", "nginx", *tls, "--listen", "8443").stdout


def test_caddy_gets_a_certificate_by_itself_for_a_real_name(tmp_path: Path) -> None:
    config = tmp_path / "Caddyfile"
    options = ("--application", "http://127.0.0.1:8005", "--server-name", "app.example")
    config.write_text(run({}, "proxy-config", "caddy", *options).stdout)
    adapted = subprocess.run(
        [require_program("caddy"), "adapt", "--adapter", "caddyfile", "--config", str(config)],
        check=True,
        capture_output=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    (server,) = json.loads(adapted.stdout)["apps"]["http"]["servers"].values()
    assert server["listen"] == [":443"]
    assert server["routes"][0]["match"] == [{"host": ["app.example"]}]


# The command


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8005",
        "https://app.example",
        "http://app.example/api",
        "http://a b",
        "http://x;y",
        "http://x:0",
        "http://x:65536",
    ],
)
def test_an_application_is_an_http_url_without_a_path(url: str) -> None:
    result = run({}, "proxy-config", "nginx", "--application", url)
    assert result.exit_code == 2
    assert repr(url) in result.stderr


def test_a_url_of_the_application_without_a_port_means_port_80() -> None:
    text = run({}, "proxy-config", "nginx", "--application", "http://app.internal/").stdout
    assert "server app.internal:80;" in text


def test_the_gateways_address_is_an_option() -> None:
    def upstream(*options: str) -> str:
        text = run({}, "proxy-config", "nginx", *options).stdout
        return text.partition("upstream plugin_gateway {")[2].split(";")[0].split()[1]

    assert upstream() == "127.0.0.1:8000"
    assert upstream("--port", "8010") == "127.0.0.1:8010"
    assert upstream("--upstream", "node-1:8010") == "node-1:8010"
    assert upstream("--upstream", "[::1]:8010") == "[::1]:8010"
    assert upstream("--upstream", "/run/gateway.sock") == '"unix:/run/gateway.sock"'
    both = run({}, "proxy-config", "nginx", "--upstream", "a:1", "--port", "2")
    assert both.exit_code == 2


def test_without_an_application_the_gateway_has_the_whole_host() -> None:
    for proxy in ("nginx", "caddy"):
        assert "application:" not in run({}, "proxy-config", proxy).stdout
        assert "answerer" not in run({}, "proxy-config", proxy).stdout


# Vite


NOT_BY_VITE = {
    f"{PLUGINS}/{ADA}_Review/modules/Main",  # the application changes modules
    own("Review", "dist/REMOTE.JS"),
    signed("nothing", "Review"),  # off
}


def vite_answerer(text: str, url: str) -> str:
    """The port that Vite's own rule chooses: the first entry that matches, by Node."""
    script = """
        const entries = eval("({" + process.argv[1] + "})"), url = process.argv[2];
        const matches = (key) => key[0] === "^" ? new RegExp(key).test(url) : url.startsWith(key);
        const key = Object.keys(entries).find(matches);
        console.log(key === undefined ? "vite" : new URL(entries[key].target).port);
    """
    node = require_program("node")
    command = [node, "-e", script, text, url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_vite_sends_each_its_own() -> None:
    text = run(
        {}, "proxy-config", "vite", "--application", "http://127.0.0.1:8005", "--port", "8010"
    ).stdout
    for path in READ:
        if path not in NOT_BY_VITE:
            assert vite_answerer(text, path) == "8010", path
    for _, path in APPLICATION:
        if path.startswith(f"{PLUGINS}/") and path not in (MANIFEST, own("Review")):
            assert vite_answerer(text, path) == "8005", path
    assert vite_answerer(text, "/src/main.tsx") == "vite"
    assert vite_answerer(text, "/-/metrics") == "vite"


def test_vite_needs_an_application_and_a_port() -> None:
    assert "--application" in line_of(run({}, "proxy-config", "vite"))
    named = ("--application", "http://127.0.0.1:8005", "--server-name", "app.example")
    assert "--server-name" in line_of(run({}, "proxy-config", "vite", *named))
    options = ("--application", "http://127.0.0.1:8005", "--upstream", "/run/gateway.sock")
    assert "--upstream" in line_of(run({}, "proxy-config", "vite", *options))
