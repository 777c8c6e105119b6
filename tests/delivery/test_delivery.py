"""The contract of delivery: whichever way the bytes leave, the client sees the same.

memory    held by the gateway (the default)
file      `cache.assets.max_bytes = 0`: every file from disk
pathsend  the same under granian, which takes `http.response.pathsend`
accel     `delivery.mode = "accel"` behind a real nginx, which sends the bytes
"""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import brotli
import pytest
import zstandard

from benchmarks.processes import free_port
from gateway import Gateway
from gateway.http.dictionaries import VARY
from tests.conftest import require_program
from tests.support.asgi import Client, body, with_gateway
from tests.support.dictionaries import NEW, OLD, asking, decoded
from tests.support.nginx import nginx_before
from tests.support.server import Answer, Server, clean_environment, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import own, pin_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

SCRIPT = b"/* a script that compresses well */ " * 3000
IMAGE = bytes(range(256)) * 500
BIG = os.urandom(1 << 20)
FROM_DISK = {"GATEWAY__CACHE__ASSETS__MAX_BYTES": "0"}
DECODERS = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstandard.decompress}

_GRANIAN = ("--interface", "asgi", "--factory", "--no-ws", "--host", "127.0.0.1")
_ACCEL_LOCATIONS = """
        etag off;
        location / {{
            proxy_pass http://127.0.0.1:{port};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location /_plugin_files/ {{
            internal;
            alias {plugins}/;
            add_header ETag $upstream_http_etag;
            add_header Content-Encoding $upstream_http_content_encoding;
            add_header Vary $upstream_http_vary;
            add_header Use-As-Dictionary $upstream_http_use_as_dictionary;
            add_header X-Content-Type-Options $upstream_http_x_content_type_options;
        }}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("delivery"))
    files: dict[str, str | bytes] = {
        "dist/remoteEntry.js": SCRIPT, "dist/a.png": IMAGE, "dist/big.wasm": BIG,
        "dist/empty.css": b"", "package.json": "{}", "dist/upgraded.js": NEW,
    }  # fmt: skip
    site.publish("Review", "0.9.0", {"dist/upgraded.js": OLD})
    site.publish("Review", "1.0.0", files)
    site.give(ADA, "Review", "1.0.0")
    return site


@contextmanager
def _memory(site: Site) -> Iterator[Server]:
    with serving(site.environment) as server:
        yield server


@contextmanager
def _file(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **FROM_DISK}) as server:
        yield server


@contextmanager
def _pathsend(site: Site) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "granian", *_GRANIAN, "--port", str(port), "gateway:create_app"],
        env={**clean_environment(), **site.environment, **FROM_DISK},
        stdout=subprocess.DEVNULL,
        text=True,
    )
    server = Server(process, port, [])
    try:
        eventually(lambda: _is_live(server), bool)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


@contextmanager
def _accel(site: Site) -> Iterator[Server]:
    nginx = require_program("nginx")
    with ExitStack() as stack:
        settings = {**site.environment, "GATEWAY__DELIVERY__MODE": "accel"}
        behind = stack.enter_context(serving(settings))
        locations = _ACCEL_LOCATIONS.format(port=behind.port, plugins=site.plugins)
        yield stack.enter_context(nginx_before(behind, nginx, site.folder / "nginx", locations))


def _is_live(server: Server) -> bool:
    try:
        return server.get("/-/live").status == 200
    except OSError:
        return False


MODES = {"memory": _memory, "file": _file, "pathsend": _pathsend, "accel": _accel}


@pytest.fixture(scope="module", params=MODES)
def server(request: pytest.FixtureRequest, site: Site) -> Iterator[Server]:
    with MODES[request.param](site) as running:
        yield running


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request(method, own("Review", path), {**bearer(ADA), **named})


@pytest.mark.parametrize(
    ("path", "content", "content_type"),
    [
        ("dist/remoteEntry.js", SCRIPT, "text/javascript; charset=utf-8"),
        ("dist/a.png", IMAGE, "image/png"),
        ("dist/big.wasm", BIG, "application/wasm"),
        ("dist/empty.css", b"", "text/css; charset=utf-8"),
    ],
)
def test_a_file_is_sent_whole_with_its_fields(
    server: Server, path: str, content: bytes, content_type: str
) -> None:
    answer = ask(server, path)
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"].startswith('"')
    assert "last-modified" in answer.headers


def test_a_head_answers_like_the_get_without_bytes(server: Server) -> None:
    head, get = ask(server, "dist/big.wasm", "HEAD"), ask(server, "dist/big.wasm")
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "cache-control"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(("first", "last"), [(0, 0), (1000, 1999), (900_000, 1_048_575)])
def test_a_range_is_that_slice(server: Server, first: int, last: int) -> None:
    answer = ask(server, "dist/big.wasm", range=f"bytes={first}-{last}")
    assert (answer.status, answer.body) == (206, BIG[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(BIG)}"


def test_several_ranges_come_as_one_body_of_the_stated_length(server: Server) -> None:
    answer = ask(server, "dist/big.wasm", range="bytes=0-9,500000-500009,-5")
    assert answer.status == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges; boundary=")
    assert len(answer.body) == int(answer.headers["content-length"])
    for piece in (BIG[:10], BIG[500_000:500_010], BIG[-5:]):
        assert piece in answer.body


def test_a_range_beyond_the_end_is_416_with_the_size(server: Server) -> None:
    answer = ask(server, "dist/big.wasm", range="bytes=9999999-")
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(BIG)}"


@pytest.mark.parametrize("path", ["dist/remoteEntry.js", "dist/big.wasm", "dist/empty.css"])
def test_who_holds_the_etag_gets_304(server: Server, path: str) -> None:
    etag = ask(server, path).headers["etag"]
    answer = ask(server, path, if_none_match=etag)
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "no-cache"


def test_a_wrong_if_match_is_412(server: Server) -> None:
    assert ask(server, "dist/big.wasm", if_match='"other"').status == 412


def test_a_pinned_file_is_immutable(server: Server) -> None:
    answer = ask(server, f"{pin_of(server, ADA, 'Review')}/dist/remoteEntry.js")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_etags_are_equal_whichever_way_the_bytes_leave(server: Server, site: Site) -> None:
    with serving(site.environment) as other:
        for path in ("dist/remoteEntry.js", "dist/a.png", "dist/big.wasm"):
            assert ask(server, path).headers["etag"] == ask(other, path).headers["etag"]


# The others hold nothing in memory, and only what is held is encoded.
@pytest.mark.parametrize("server", ["memory", "accel"], indirect=True)
@pytest.mark.parametrize("coding", DECODERS)
def test_a_coding_decodes_to_the_file_under_an_etag_of_its_own(server: Server, coding: str) -> None:
    path = "dist/remoteEntry.js"
    first = ask(server, path)
    assert first.status == 200, first
    plain = first.headers["etag"]
    answer = eventually(
        lambda: ask(server, path, accept_encoding=coding),
        lambda answer: answer.headers.get("content-encoding") == coding,
    )
    assert DECODERS[coding](answer.body) == SCRIPT
    assert len(answer.body) < len(SCRIPT) / 10
    assert answer.headers["vary"] == VARY.decode()
    assert answer.headers["etag"] == f'{plain[:-1]}-{coding}"'
    again = ask(server, path, accept_encoding=coding, if_none_match=answer.headers["etag"])
    assert (again.status, again.headers["vary"]) == (304, VARY.decode())
    part = ask(server, path, accept_encoding=coding, range="bytes=2-5")
    assert (part.status, part.body) == (206, answer.body[2:6])
    assert part.headers["content-encoding"] == coding


# The others hold nothing in memory.
@pytest.mark.parametrize("server", ["memory", "accel"], indirect=True)
def test_a_browser_that_holds_another_version_gets_the_difference(server: Server) -> None:
    path = f"{pin_of(server, ADA, 'Review')}/dist/upgraded.js"
    named = {name.replace("-", "_").lower(): value for name, value in asking(OLD).items()}
    answer = eventually(
        lambda: ask(server, path, **named),
        lambda answer: answer.headers.get("content-encoding") == "dcz",
    )
    assert decoded(answer.body, OLD) == NEW
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["vary"] == VARY.decode()
    assert "use-as-dictionary" in answer.headers
    head = ask(server, path, "HEAD", **named)
    again = ask(server, path, **named, if_none_match=answer.headers["etag"])
    assert (head.headers["etag"], again.status) == (answer.headers["etag"], 304)


def test_identity_is_sent_to_who_refuses_all_codings(server: Server) -> None:
    ask(server, "dist/remoteEntry.js", accept_encoding="br")
    answer = ask(server, "dist/remoteEntry.js", accept_encoding="gzip;q=0, br;q=0, zstd;q=0")
    assert "content-encoding" not in answer.headers
    assert answer.body == SCRIPT


def test_a_server_that_can_send_a_file_is_given_its_path(site: Site) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        path = own("Review", "dist/big.wasm")
        extensions: dict[str, object] = {"http.response.pathsend": {}}
        start, sending = await client.request(path, extensions=extensions)
        assert start["status"] == 200
        assert sending["type"] == "http.response.pathsend"
        assert Path(sending["path"]).read_bytes() == BIG
        ranged = await client.request(path, extra=[(b"range", b"bytes=1-2")], extensions=extensions)
        assert body(ranged) == BIG[1:3]  # a path cannot say which part

    with_gateway(site, scenario, **FROM_DISK)


def test_the_proxy_is_told_where_the_file_is_and_never_gets_its_bytes(site: Site) -> None:
    settings = {**site.environment, "GATEWAY__DELIVERY__MODE": "accel"}
    with serving(settings) as server:
        answer = ask(server, "dist/a.png")
    assert answer.body == b""
    assert answer.headers["content-length"] == "0"  # or nginx would close the connection
    assert answer.headers["x-accel-redirect"] == "/_plugin_files/shared/Review/v1.0.0/dist/a.png"


def test_an_empty_prefix_means_x_sendfile_with_the_absolute_path(site: Site) -> None:
    settings = {
        **site.environment,
        "GATEWAY__DELIVERY__MODE": "accel",
        "GATEWAY__DELIVERY__ACCEL_PREFIX": "",
    }
    with serving(settings) as server:
        answer = ask(server, "dist/a.png")
    assert Path(answer.headers["x-sendfile"]).read_bytes() == IMAGE
    assert "x-accel-redirect" not in answer.headers
