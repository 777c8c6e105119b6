"""Real nginx and Caddy with the printed configurations: all that holds of the gateway holds there.

Each mode of each proxy is started once, before a gateway in the delivery mode that it wants.
"""

import gzip
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.http.media_types import SANDBOX
from tests.conftest import require_program
from tests.endpoints.test_hostile_paths import POSITIONS, SEGMENTS, names_the_entry
from tests.serving.test_matrix import ALLOWED, MARK, PUBLISHED, USERS, assert_serves_only, lay_out
from tests.support.commands import line_of, run
from tests.support.nginx import DEBIAN_HTTP
from tests.support.proxies import DELIVERY, printed, proxy_before
from tests.support.server import Answer, Server, serving
from tests.support.site import ADA, BEN, Site, bearer, token
from tests.support.urls import (
    API,
    ENTRY,
    MANIFEST,
    SIGNED_ENVIRONMENT,
    SIGNED_SECRET,
    WAYS,
    integrity_of,
    own,
    pin_of,
    public,
)
from tests.support.waiting import eventually

CANARY = b"CANARY"
SCRIPT = b"/* a script that compresses well */ " * 3000
BIG = random.Random(5).randbytes(3 << 20)
ORIGIN = "https://app.example"
AUTHORIZE_TTL_S = 1
ENVIRONMENT = {
    **SIGNED_ENVIRONMENT,
    "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN,
    "GATEWAY__DELIVERY__AUTHORIZE_TTL": str(AUTHORIZE_TTL_S),
    "GATEWAY__OBSERVABILITY__ACCESS_LOG": "0.000001",  # refusals
}
PROXIES = [f"{proxy} {mode}" for proxy in ("nginx", "caddy") for mode in DELIVERY]
SENDING_ITSELF = [name for name in PROXIES if not name.endswith("proxy")]
ODD_NAMES = [
    "a?b.js",
    "a:b.js",
    "a*b.js",
    'a"b.js',
    "a|b.js",
    "a<b>.js",
    "a%3Fb.js",
    "a?.js?v=1.js",
]
LEAVING = {name: f"Leaving{number}" for number, name in enumerate(PROXIES)}
"""A plugin for each proxy, to be taken away."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = lay_out(Site(tmp_path_factory.mktemp("site")))
    files: dict[str, str | bytes] = {
        ENTRY: SCRIPT,
        "dist/big.wasm": BIG,
        "dist/module.mjs": b"export {}",
        **{f"dist/{name}": f"/* {name} */".encode() for name in ODD_NAMES},
        "dist/Upper.JS": b"/* upper */",
        "dist/a.js/inner.js": b"/* in a folder that is named like a file */",
        "modules/x.js": b"/* hidden behind a JSON route */",
        "package.json": b"{}",
        "assets/logo.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
        "page.html": CANARY,
        "lifecycle_manager.py": CANARY,
    }
    for name in ("Files", "Rebuilt", *LEAVING.values()):
        site.publish(name, "1.0.0", files)
        site.give(ADA, name, "1.0.0")
    site.record("Files", "1.0.0")
    (site.version_folder("Files", "1.0.0") / "dist/link.js").symlink_to("../page.html")
    pinned = site.plugins / "cache" / "pinned"
    (pinned / "Review").mkdir(parents=True)
    for folder in (site.folder, site.plugins, site.plugins / "cache", site.plugins / "shared",
                   site.plugins / "shared/Review", pinned, pinned / "Review"):  # fmt: skip
        (folder / "canary.js").write_bytes(CANARY)
    return site


class Running:
    """Proxies and the gateways behind them, started when they are first asked for."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self._site = site
        self._stack = stack
        self._gateways: dict[str, Server] = {}
        self._proxies: dict[str, Server] = {}

    def gateway(self, mode: str) -> Server:
        if mode not in self._gateways:
            delivery = {"GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
            environment = {**self._site.environment, **ENVIRONMENT, **delivery}
            self._gateways[mode] = self._stack.enter_context(serving(environment))
        return self._gateways[mode]

    def proxy(self, name: str) -> Server:
        if name not in self._proxies:
            proxy, mode = name.split()
            program = require_program(proxy)
            started = proxy_before(
                self.gateway(mode),
                {**self._site.environment, **ENVIRONMENT},
                program,
                proxy,
                mode,
                self._site.folder / name.replace(" ", "-"),
            )
            self._proxies[name] = self._stack.enter_context(started)
        return self._proxies[name]


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(site, stack)


@pytest.fixture(scope="module", params=PROXIES)
def server(request: pytest.FixtureRequest, running: Running) -> Server:
    return running.proxy(request.param)


only_sending = pytest.mark.parametrize("server", SENDING_ITSELF, indirect=True)


def tree_of(server: Server, site: Site, slug: str, pin: str) -> Path:
    """Its folder, once the gateway has made it, as it does when it is asked."""
    folder = site.plugins / "cache" / "pinned" / slug / pin
    eventually(
        lambda: server.get(public(slug, f"{pin}/{ENTRY}")).status == 200 and folder.is_dir(), bool
    )
    return folder


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request(method, path, {**bearer(ADA), **named})


# Who gets what


def test_every_user_gets_of_every_plugin_what_the_gateway_gives_him(server: Server) -> None:
    for user in USERS.values():
        for slug in PUBLISHED:
            for way in WAYS.values():
                url, headers = way(user, slug, ENTRY)
                # Twice: the first answer may come from the gateway, the second from the proxy.
                for _ in range(2):
                    answer = server.get(url, headers)
                    assert_serves_only(answer, slug, ALLOWED[user].get(slug))


def test_without_or_with_a_wrong_credential_nobody_gets_anything(
    server: Server, running: Running
) -> None:
    assert ask(server, own("Review")).status == 200
    for headers in ({}, {"Authorization": "Bearer x"}, bearer(ADA, secret="other" * 8)):
        for path in (own("Review"), own("Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}")):
            answer = server.get(path, headers)
            expected = running.gateway("proxy").get(path, headers)
            assert (answer.status, answer.body) == (expected.status, expected.body)
            assert answer.status == 401
            assert len([name for name, _ in answer.fields if name == "www-authenticate"]) == 1


def test_what_clients_say_of_themselves_changes_nothing(server: Server) -> None:
    said = {
        "X-User-Id": BEN,
        "X-Dev-User": BEN,
        "X-Plugin-Root": "Review/v1.0.1",
        "X-Plugin-Tree": "Review/v1.0.1",
        "X-Accel-Redirect": "/_plugin_files/shared/Review/v1.0.1/dist/remoteEntry.js",
        "X-Accel-Expires": "100",
        "X-Original-URI": own("Review"),
        "X-Original-URL": own("Review"),
        "X-Rewrite-URL": own("Review"),
        "X-Forwarded-Uri": own("Review"),
        "X-Forwarded-For": "127.0.0.1",
        "X-Sendfile": "/etc/passwd",
    }
    for name, value in said.items():
        assert_serves_only(
            server.get(own("Review"), {**bearer(ADA), name: value}), "Review", "1.0.0"
        )
        assert server.get(own("Review"), {name: value}).status == 401
        assert server.get(own("Review2"), {**bearer(ADA), name: value}).status == 404
    assert_serves_only(server.get(own("Review"), {**bearer(ADA), **said}), "Review", "1.0.0")
    assert server.get(own("Eyes"), {**bearer(BEN), **said}).status == 404


@pytest.mark.parametrize("path", [own("Review", "dist/missing.js"), f"{API}/nowhere"])
def test_the_proxy_gives_each_request_an_id_that_the_gateway_logs(
    server: Server, path: str
) -> None:
    ids = []
    for _ in range(2):
        answer = ask(
            server, path, X_Request_ID="of-a-client", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"
        )
        assert answer.status == 404
        ids += [value for name, value in answer.fields if name == "x-request-id"]
    assert len(set(ids)) == 2
    for one in ids:
        assert re.fullmatch(r"[0-9a-f]{32}|[0-9a-f-]{36}", one)
        assert one != "a" * 32
        eventually(lambda: "".join(server.output), lambda said: f"[{one}]" in said)  # noqa: B023


def test_internal_places_are_not_reached_from_outside(server: Server, site: Site) -> None:
    pin = pin_of(server, ADA, "Files")
    for path in (
        "/_plugin_files/shared/Review/v1.0.1/dist/remoteEntry.js",
        f"/Files/{pin}/{ENTRY}",
        "/-/permission",
        "/-/authorize",
        "/%2d/authorize",
        "/-%2fauthorize",
        "//-/authorize",
        "/x/../-/authorize",
        "/-/metrics",
        "/-/../-/metrics",
        "/%2D/metrics",
    ):
        answer = ask(server, path, x_original_uri=own("Review"))
        assert answer.status in (400, 403, 404), path
        assert "x-plugin-root" not in answer.headers
        assert MARK not in answer.body
    assert server.get("/-/ready").status == 200


def test_who_loses_a_plugin_is_out_within_the_bound(
    server: Server, site: Site, request: pytest.FixtureRequest
) -> None:
    slug = LEAVING[request.node.callspec.params["server"]]
    url = own(slug)
    if request.node.callspec.params["server"] in SENDING_ITSELF:
        tree_of(server, site, slug, pin_of(server, ADA, slug))
    for _ in range(3):
        assert ask(server, url).status == 200
    site.execute("UPDATE plugin SET enabled = 0 WHERE plugin_slug = ?", slug)
    # 250 ms to notice; the permission; a second of nginx's clock.
    eventually(lambda: ask(server, url).status, lambda status: status == 404, AUTHORIZE_TTL_S + 2)
    assert ask(server, url).code == "plugin_disabled"


@pytest.mark.parametrize("server", ["nginx authorize"], indirect=True)
def test_a_permission_is_asked_for_once_and_remembered(
    server: Server, running: Running, site: Site
) -> None:
    def asked_so_far() -> int:
        counters = running.gateway("authorize").get("/-/metrics").body.decode()
        lines = [
            line for line in counters.splitlines() if line.startswith("gateway_requests_total")
        ]
        return sum(int(float(line.split()[-1])) for line in lines)

    tree_of(server, site, "Files", pin_of(server, ADA, "Files"))
    one = bearer(ADA)  # another one each time would be another credential
    eventually(lambda: server.get(own("Files"), one).headers["etag"], lambda etag: len(etag) < 30)
    before = asked_so_far()
    for number in range(200):
        path = (ENTRY, "dist/module.mjs", "package.json")[number % 3]
        assert server.get(own("Files", path), one).status == 200
    # The machine may be slow: a permission lasts a second.
    assert asked_so_far() - before < 50


# Paths


@pytest.mark.parametrize("route", ["own", "public"])
def test_lying_paths_are_refused(
    server: Server, site: Site, route: str, request: pytest.FixtureRequest
) -> None:
    pin = pin_of(server, ADA, "Review")
    if request.node.callspec.params["server"] in SENDING_ITSELF:
        tree_of(server, site, "Review", pin)
    prefix, plugin = {
        "own": (f"{API}/plugins/".encode(), b"Review"),
        "public": (f"{API}/public/plugins/".encode(), f"{ADA}_Review".encode()),
    }[route]
    for bad in SEGMENTS:
        for template in POSITIONS.values():
            path = template % {b"plugin": plugin, b"bad": bad, b"pin": pin.encode()}
            if not names_the_entry(path, plugin, pin.encode()):
                assert_refused(server, prefix + path)


def assert_refused(server: Server, target: bytes) -> None:
    answer = server.raw(
        b"GET " + target + b" HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
        b"Authorization: Bearer " + TOKEN + b"\r\n\r\n"
    )
    assert 400 <= int(answer.split(b" ", 2)[1]) < 500, (target[:200], answer[:300])
    assert CANARY not in answer
    assert MARK not in answer


TOKEN = token(ADA).encode()


@pytest.mark.parametrize(
    "path",
    ["page.html", "lifecycle_manager.py", "dist/link.js", "dist/remoteEntry.js.gz",
     "dist/nothing.js", "dist/remoteEntry.js.br", "dist/a.js", "dist/a.js/", "dist", "",
     "./package.json", ".hidden.js", "modules/x.js", "dist/../package.json", "dist//big.wasm",
     "dist/remoteEntry.js/"],
)  # fmt: skip
def test_what_the_gateway_refuses_is_refused_in_its_words(
    server: Server, running: Running, path: str
) -> None:
    pin = pin_of(server, ADA, "Files")
    for url in (own("Files", path), public(f"{ADA}_Files", path), own("Files", f"{pin}/{path}"),
                public("Files", f"{pin}/{path}")):  # fmt: skip
        expected = running.gateway("proxy").get(url, bearer(ADA))
        answer = ask(server, url)
        assert answer.body == expected.body, url
        assert answer.status == expected.status
        assert answer.headers["cache-control"] == expected.headers["cache-control"]


# Files


@pytest.fixture
def files(server: Server, site: Site, request: pytest.FixtureRequest) -> dict[str, str]:
    """URLs of the plugin `Files`, sent by the proxy itself where it ever does."""
    pin = pin_of(server, ADA, "Files")
    if request.node.callspec.params["server"] in SENDING_ITSELF:
        tree_of(server, site, "Files", pin)
    return {
        "own": own("Files", "{}"),
        "own pinned": own("Files", pin + "/{}"),
        "public pinned": public(f"{ADA}_Files", pin + "/{}"),
    }


@pytest.mark.parametrize(
    ("path", "content_type"),
    [(ENTRY, "text/javascript; charset=utf-8"), ("dist/big.wasm", "application/wasm"),
     ("dist/module.mjs", "text/javascript; charset=utf-8"), ("package.json", "application/json"),
     ("dist/Upper.JS", "text/javascript; charset=utf-8"),
     ("dist/a.js/inner.js", "text/javascript; charset=utf-8")],
)  # fmt: skip
def test_a_file_comes_whole_with_its_fields(
    server: Server, site: Site, files: dict[str, str], path: str, content_type: str
) -> None:
    content = (site.version_folder("Files", "1.0.0") / path).read_bytes()
    cache_control = {
        "own": "no-cache",
        "own pinned": "private, max-age=31536000, immutable",
        "public pinned": "public, max-age=31536000, immutable",
    }
    for name, url in files.items():
        answer = ask(server, f"{url.format(path)}?v=1.0.0", origin=ORIGIN)
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["content-type"] == content_type
        assert answer.headers["cache-control"] == cache_control[name]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["etag"].startswith('"')
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in vary_of(answer)
        for private in ("x-plugin-root", "x-plugin-tree", "x-accel-redirect"):
            assert private not in answer.headers
        head = ask(server, url.format(path), "HEAD")
        assert (head.status, head.body) == (200, b"")


def test_the_integrity_of_a_pin_is_asked_of_the_gateway(
    server: Server, files: dict[str, str]
) -> None:
    for name in ("own pinned", "public pinned"):
        answer = ask(server, files[name].format("?integrity"), origin=ORIGIN)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert "immutable" in answer.headers["cache-control"]
        for path in (ENTRY, "dist/big.wasm"):
            content = ask(server, files[name].format(path)).body
            assert answer.json["files"][path] == integrity_of(content)


def vary_of(answer: Answer) -> str:
    return ", ".join(value for name, value in answer.fields if name == "vary")


def test_another_origin_is_not_allowed_to_read(server: Server, files: dict[str, str]) -> None:
    for url in files.values():
        answer = ask(server, url.format(ENTRY), origin="https://other.example")
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in vary_of(answer)


def test_a_preflight_is_answered_by_the_gateway(server: Server, files: dict[str, str]) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    for url in files.values():
        answer = server.request("OPTIONS", url.format(ENTRY), asked)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        posted = server.request("POST", url.format(ENTRY), bearer(ADA), b"x")
        assert (posted.status, posted.code) == (405, "method_not_allowed")
        assert posted.headers["allow"] == "GET, HEAD, OPTIONS"


def test_an_encoding_decodes_to_the_file_under_an_etag_of_its_own(
    server: Server, files: dict[str, str]
) -> None:
    for url in files.values():
        plain = ask(server, url.format(ENTRY))
        answer = eventually(
            lambda url=url: ask(server, url.format(ENTRY), accept_encoding="gzip"),  # type: ignore[misc]
            lambda answer: answer.headers.get("content-encoding") == "gzip",
        )
        assert gzip.decompress(answer.body) == plain.body == SCRIPT
        assert answer.headers["etag"] != plain.headers["etag"]
        for one in (answer, plain):
            assert "Accept-Encoding" in vary_of(one)


def test_who_holds_the_etag_gets_304(server: Server, files: dict[str, str]) -> None:
    for url in files.values():
        for path, coding in ((ENTRY, "gzip"), (ENTRY, "identity"), ("dist/big.wasm", "identity")):
            first = ask(server, url.format(path), accept_encoding=coding)
            headers = {"accept_encoding": coding, "if_none_match": first.headers["etag"]}
            answer = ask(server, url.format(path), **headers)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["cache-control"] == first.headers["cache-control"]
            assert ask(server, url.format(path), if_none_match='"x"').status == 200


def test_a_document_that_may_hold_scripts_is_sandboxed(
    server: Server, files: dict[str, str]
) -> None:
    for url in files.values():
        svg = url.format("assets/logo.svg")
        first = ask(server, svg)
        assert (first.status, first.headers["content-type"]) == (200, "image/svg+xml")
        for answer in (
            first,
            ask(server, svg, "HEAD"),
            ask(server, svg, if_none_match=first.headers["etag"]),
            ask(server, svg, range="bytes=0-9"),
        ):
            policies = [value for name, value in answer.fields if name == "content-security-policy"]
            assert policies == [SANDBOX], answer
        assert "content-security-policy" not in ask(server, url.format(ENTRY)).headers


def test_ranges_are_slices_of_a_big_file(server: Server, files: dict[str, str]) -> None:
    for url in files.values():
        big = url.format("dist/big.wasm")
        for first, last in ((0, 0), (1_000_000, 1_999_999), (len(BIG) - 1, len(BIG) - 1)):
            answer = ask(server, big, range=f"bytes={first}-{last}")
            assert (answer.status, answer.body) == (206, BIG[first : last + 1])
            assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(BIG)}"
        etag = ask(server, big, "HEAD").headers["etag"]
        assert ask(server, big, range="bytes=0-9", if_range='"x"').body == BIG
        assert ask(server, big, range="bytes=0-9", if_range=etag).status in (200, 206)
        beyond = ask(server, big, range="bytes=99999999-")
        assert [value for name, value in beyond.fields if name == "cache-control"] == ["no-store"]
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(BIG)}")
        assert ask(server, big, if_match='"x"').status == 412


# Pinned


@only_sending
def test_pinned_files_are_sent_while_the_gateway_is_away(
    site: Site, server: Server, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pin = pin_of(server, ADA, "Files")
    tree_of(server, site, "Files", pin)
    proxy, mode = request.node.callspec.params["server"].split()
    delivery = {"GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
    with ExitStack() as stack:
        behind = stack.enter_context(serving({**site.environment, **ENVIRONMENT, **delivery}))
        front = stack.enter_context(
            proxy_before(behind, {**site.environment, **ENVIRONMENT}, require_program(proxy),
                         proxy, mode, tmp_path / "proxy")
        )  # fmt: skip
        behind.stop()
        for plugin in ("Files", f"{ADA}_Files", f"{BEN}_Files"):
            answer = front.get(public(plugin, f"{pin}/{ENTRY}"))
            assert (answer.status, answer.body) == (200, SCRIPT)
        # Caddy goes on trying for five seconds. 503: it has noticed that the gateway is away.
        missing: tuple[str, dict[str, str]] = (public("Files", f"{pin}/dist/nothing.js"), {})
        private = (own("Files", f"{pin}/{ENTRY}"), bearer(ADA))
        with ThreadPoolExecutor() as threads:
            answers = threads.map(lambda asked: front.get(*asked), (missing, private))
        assert {answer.status for answer in answers} <= {502, 503}


def test_a_build_that_was_replaced_in_place_is_410_and_never_other_bytes(
    server: Server, site: Site
) -> None:
    entry = site.version_folder("Rebuilt", "1.0.0") / ENTRY
    pin = pin_of(server, ADA, "Rebuilt")
    before = entry.read_bytes()
    urls = (public("Rebuilt", f"{pin}/{ENTRY}"), own("Rebuilt", f"{pin}/{ENTRY}"))
    for url in urls:
        assert ask(server, url).body == before
    entry.write_bytes(b"/* built again */" + os.urandom(8).hex().encode())
    eventually(lambda: pin_of(server, ADA, "Rebuilt"), lambda now: now != pin)
    for url in urls:
        answer = eventually(
            lambda url=url: ask(server, url),  # type: ignore[misc]
            lambda answer: answer.status != 200 or answer.body != before,
        )
        assert (answer.status, answer.code) == (410, "version_retired")
    fresh = pin_of(server, ADA, "Rebuilt")
    assert ask(server, public("Rebuilt", f"{fresh}/{ENTRY}")).body == entry.read_bytes()


def test_the_cache_folder_may_be_deleted_at_any_time(
    server: Server, site: Site, files: dict[str, str]
) -> None:
    shutil.rmtree(site.plugins / "cache" / "pinned", ignore_errors=True)
    for url in files.values():
        assert ask(server, url.format(ENTRY)).body == SCRIPT
    assert server.get(MANIFEST, bearer(ADA)).status == 200


# Configurations

SETTINGS = {
    "defaults": {},
    "all": {
        "GATEWAY__HTTP__API_PREFIX": "/plugins.v2/api",
        "GATEWAY__HTTP__CORS_ORIGINS": "https://a.example,http://b.example:8080",
        "GATEWAY__HTTP__ALLOWED_SUFFIXES": "js,css,gz",
        "GATEWAY__HTTP__UNPINNED_MAX_AGE": "60",
        "GATEWAY__IDENTITY__SIGNED__SECRET": SIGNED_SECRET,
        "GATEWAY__IDENTITY__CHAIN": "proxy,jwt",
        "GATEWAY__IDENTITY__PROXY__HEADER": "X-Remote",
        "GATEWAY__SERVER__HOST": "::",
        "GATEWAY__STORAGE__ROOT": "a folder/plugins",
    },
    "little": {
        "GATEWAY__ACCESS__PUBLIC": "false",
        "GATEWAY__SERVER__UDS": "gateway.sock",
        "GATEWAY__HTTP__API_PREFIX": "",
    },
    "pictures alone": {"GATEWAY__HTTP__ALLOWED_SUFFIXES": "png"},
}


@pytest.mark.parametrize("mode", DELIVERY)
@pytest.mark.parametrize("settings", SETTINGS)
def test_nginx_takes_the_configuration(tmp_path: Path, settings: str, mode: str) -> None:
    nginx = require_program("nginx")
    folder = ("--permissions-folder", str(tmp_path / "permissions"))
    config = tmp_path / "nginx.conf"
    config.write_text(printed(SETTINGS[settings], "nginx", mode, "--listen", "8081", *folder))
    tested = subprocess.run(
        [nginx, "-t", "-c", config, "-p", tmp_path, "-g", f"pid {tmp_path}/pid;", "-e", "stderr"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stderr


@pytest.mark.parametrize("mode", DELIVERY)
@pytest.mark.parametrize("options", [(), ("--application", "http://127.0.0.1:8005")])
def test_what_is_for_conf_d_fits_the_nginx_conf_of_debian(
    tmp_path: Path, mode: str, options: tuple[str, ...]
) -> None:
    nginx = require_program("nginx")
    folder = ("--permissions-folder", str(tmp_path / "permissions"))
    site = printed({}, "nginx", mode, "--site", "--listen", "8081", *folder, *options)
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid; events {{}} http {{ {DEBIAN_HTTP} {site} }}")
    tested = subprocess.run(
        [nginx, "-t", "-c", config, "-p", tmp_path, "-e", "stderr"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


@pytest.mark.parametrize("mode", DELIVERY)
@pytest.mark.parametrize("settings", SETTINGS)
def test_caddy_takes_the_configuration(tmp_path: Path, settings: str, mode: str) -> None:
    caddy = require_program("caddy")
    config = tmp_path / "Caddyfile"
    config.write_text(printed(SETTINGS[settings], "caddy", mode, "--server-name", "a.example"))
    tested = subprocess.run(
        [caddy, "adapt", "--validate", "--adapter", "caddyfile", "--config", config],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stderr


def test_without_a_public_route_no_pin_is_a_permission() -> None:
    for proxy in ("nginx", "caddy"):
        text = printed({"GATEWAY__ACCESS__PUBLIC": "false"}, proxy, "authorize")
        assert "public" not in text.replace('"public, max-age', "")


@pytest.mark.parametrize(
    ("settings", "mode", "part"),
    [
        ({"GATEWAY__DELIVERY__MODE": "accel"}, "proxy", "delivery.mode"),
        ({"GATEWAY__DELIVERY__ACCEL_PREFIX": ""}, "accel", "delivery.accel_prefix"),
        ({"GATEWAY__IDENTITY__CHAIN": "dev"}, "proxy", "identity.chain"),
        ({"GATEWAY__SERVER__PORT": "0"}, "proxy", "server.port"),
        ({"GATEWAY__STORAGE__ROOT": "plugins$uri"}, "accel", "storage.root"),
        ({"GATEWAY__HTTP__API_PREFIX": "/a b"}, "proxy", "http.api_prefix"),
    ],
)
def test_what_cannot_be_configured_is_one_line(
    settings: dict[str, str], mode: str, part: str
) -> None:
    for proxy in ("nginx", "caddy"):
        assert part in line_of(run(settings, "proxy-config", proxy, "--mode", mode))


@pytest.mark.parametrize("option", [("--listen", "80; include x"), ("--server-name", "a b"),
                                    ("--listen", "99999"), ("--listen", "[::1]:0"),
                                    ("--upstream", "127.0.0.1:65536"),
                                    ("--permissions-folder", "relative")])  # fmt: skip
def test_an_option_that_is_no_word_is_refused(option: tuple[str, str]) -> None:
    result = run({}, "proxy-config", "nginx", *option)
    assert result.exit_code == 2
    assert repr(option[1]) in result.stderr


def test_a_mode_that_the_gateway_is_not_in_is_warned_of() -> None:
    result = run({}, "proxy-config", "nginx", "--mode", "authorize")
    assert result.exit_code == 0
    assert result.stderr == (
        'Warning: delivery.mode is "direct": this configuration wants "authorize"\n'
    )


def test_the_mode_follows_from_the_settings() -> None:
    for delivery, mode in (("direct", "proxy"), ("accel", "accel"), ("authorize", "authorize")):
        result = run({"GATEWAY__DELIVERY__MODE": delivery}, "proxy-config", "nginx")
        assert f'mode "{mode}"' in result.stdout


# Caddy 2.6 does not decode the path that X-Accel-Redirect names: there a space is a 404 too.
@pytest.mark.parametrize(
    "server", [name for name in PROXIES if name != "caddy accel"], indirect=True
)
def test_a_file_whose_name_only_windows_refuses_is_served(server: Server) -> None:
    pin = pin_of(server, ADA, "Files")
    for name in ODD_NAMES:
        path = "dist/" + quote(name)
        for url, headers in (
            (own("Files", path), bearer(ADA)),
            (own("Files", f"{pin}/{path}"), bearer(ADA)),
            (public(f"{ADA}_Files", path), {}),
            (public("Files", f"{pin}/{path}"), {}),
        ):
            answer = server.get(url, headers)
            assert (answer.status, answer.body) == (200, f"/* {name} */".encode()), url
