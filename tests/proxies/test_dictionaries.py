"""Differences that real nginx and Caddy send by themselves from pinned trees (RFC 9842)."""

import base64
import gzip
import hashlib
import http.client
import os
import random
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import zstandard

from benchmarks.processes import free_port
from gateway.http.dictionaries import stem, use_as_dictionary
from gateway.names import AssetPath, Slug
from tests.conftest import require_program
from tests.support.certificates import self_signed
from tests.support.nginx import nginx_with
from tests.support.proxies import DELIVERY, printed, proxy_before
from tests.support.server import Answer, Server, serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import (
    ENTRY,
    SIGNED_ENVIRONMENT,
    capability,
    own,
    pin_of,
    public,
    signed,
)
from tests.support.waiting import eventually

ORIGIN = "https://app.example"
ENVIRONMENT = {**SIGNED_ENVIRONMENT, "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN}
PROXIES = [f"{proxy} {mode}" for proxy in ("nginx", "caddy") for mode in ("accel", "authorize")]
OLD = b"".join(b"const value%d = %d;\n" % (number, number) for number in range(3000))
NEW = OLD + b"console.log('new');\n"
DIGEST = hashlib.sha256(OLD).digest()
DICTIONARY = base64.b64encode(DIGEST).decode()
UNKNOWN = base64.b64encode(hashlib.sha256(b"unknown").digest()).decode()
BROWSER = "gzip, deflate, br, zstd, dcb, dcz"
VARY = {"accept-encoding", "available-dictionary", "sec-fetch-site", "origin"}
TWICE = "dist/a.4f2a9c1b.b.73d05e86.js"
NAMES = [
    ENTRY,
    "package.json",
    "dist/123.4f2a9c1b.js",
    "dist/src_App_js.4f2a9c1b73d05e86.chunk.js",
    "dist/4f2a9c1b.js",
    "dist/4f2a9c1b-more.js",
    "dist/abcdefab12.js",
    "dist/main-4f2a9c1b.css",
    "dist/123.4f2a9c1b.js.map",
    "dist/logo_4f2a9c1b.svg",
    "assets/index-BfNk3a_x.js",
    "assets/index-BfNk3a_x.js.map",
    "assets/__federation_expose_App-DcX-1-_k.js",
    "assets/__federation_expose_App--cX-1-_k.js",
    "assets/my-widget-C4fQ9aZz.css",
    "out/chunk-6QJ2WVXN.js",
    "dist/my-elements.js",
    "dist/deadbeef.js",
    "dist/deadbeef.4f2a9c1b.js",
    "dist/4f2a9c1.js",
    "dist/x4f2a9c1b.js",
    "dist/4f2a9c1bX.js",
    "dist/index-BfNk3a_xy.js",
    "dist/vendors-node_modules_react-dom_index_js.js",
    "dist/a-b-c.css",
    "4f2a9c1b/remoteEntry.js",
    "a/b/c/d/e/f/g/h/deep.4f2a9c1b.js",
    "a/b/c/d/e/f/g/h/i/deeper.js",
    "dist/a+b.js",
    "dist/a@b,c;d=e!f&g'h.js",
    "dist/(a)*b:c.js",
    "dist/logo.png",
    "dist/font.ttf",
]
_PIECES = ["4f2a9c1b", "deadbeef", "0123456789abcdef", "1234567", "BfNk3a_x", "abc-DEFG", "main",
           "a", "X", "-", "-", "_", ".", ".", "~", "@"]  # fmt: skip


def made_names() -> list[str]:
    """Names with pieces of hashes in all places. A proxy sees the first hash of a name alone."""
    choose = random.Random(11)
    names: set[str] = set()
    while len(names) < 150:
        pieces = "".join(choose.choices(_PIECES, k=choose.randrange(1, 7)))
        name = f"made/n{pieces}" + choose.choice([".js", ".js.map", ".css"])
        if ".." not in name and stem(AssetPath(name)).count("*") <= 1:
            names.add(name)
    return sorted(names)


def difference(content: bytes, dictionary: bytes) -> bytes:
    """A body in the coding dcz (RFC 9842 §5)."""
    data = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    frame = zstandard.ZstdCompressor(dict_data=data, write_checksum=True).compress(content)
    return b"\x5e\x2a\x4d\x18\x20\x00\x00\x00" + hashlib.sha256(dictionary).digest() + frame


def restored(body: bytes, dictionary: bytes) -> bytes:
    assert body[:8] == b"\x5e\x2a\x4d\x18\x20\x00\x00\x00"
    assert body[8:40] == hashlib.sha256(dictionary).digest()
    data = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdDecompressor(dict_data=data).decompress(body[40:])


def keep_difference(tree: Path, path: str, content: bytes, dictionary: bytes) -> None:
    """Writes a difference to where the gateway keeps them."""
    name = base64.b64encode(hashlib.sha256(dictionary).digest()).decode()
    file = tree / f"{path}.dcz" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(difference(content, dictionary))
    seconds = int.from_bytes(hashlib.sha256(file.read_bytes()).digest()[:4], "big") >> 2
    os.utime(file, (seconds, seconds))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    files = {name: b"/* %s */" % name.encode() * 50 for name in (*NAMES, *made_names())}
    site.publish("Files", "0.9.0", {ENTRY: OLD})
    site.publish("Files", "1.0.0", {**files, TWICE: OLD, ENTRY: NEW})
    site.give(ADA, "Files", "1.0.0")
    # A gateway that starts adds the differences that trees lack; after that, every ten seconds.
    with serving({**site.environment, "GATEWAY__DELIVERY__MODE": DELIVERY["accel"]}) as gateway:
        eventually(tree_of(site, pin_of(gateway, ADA, "Files")).is_dir, bool)
    return site


def tree_of(site: Site, pin: str) -> Path:
    return site.plugins / "cache/pinned/Files" / pin


class Running:
    """Proxies and the gateways behind them, started when they are first asked for."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self._site = site
        self._stack = stack
        self._proxies: dict[tuple[str, ...], Server] = {}

    def proxy(self, name: str, *arguments: str) -> Server:
        key = (name, *arguments)
        if key not in self._proxies:
            proxy, mode = name.split()
            environment = {**self._site.environment, **ENVIRONMENT}
            delivery = {"GATEWAY__DELIVERY__MODE": DELIVERY[mode]}
            behind = self._stack.enter_context(serving({**environment, **delivery}))
            folder = self._site.folder / f"proxy{len(self._proxies)}"
            started = proxy_before(
                behind, environment, require_program(proxy), proxy, mode, folder, *arguments
            )
            tree_in(self._site, behind)
            self._proxies[key] = self._stack.enter_context(started)
        return self._proxies[key]


def tree_in(site: Site, gateway: Server) -> Path:
    """The tree of the plugin's build, once the gateway has added a difference to it."""
    pin = pin_of(gateway, ADA, "Files")
    tree = tree_of(site, pin)
    kept = tree / f"{ENTRY}.dcz" / DICTIONARY
    url = public("Files", f"{pin}/{ENTRY}")
    eventually(lambda: (gateway.get(url), kept.is_file())[1], bool, 30)
    return tree


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[Running]:
    with ExitStack() as stack:
        yield Running(site, stack)


@pytest.fixture(scope="module", params=PROXIES)
def server(request: pytest.FixtureRequest, running: Running) -> Server:
    return running.proxy(request.param)


@pytest.fixture
def pinned(server: Server) -> str:
    """The pinned URL of the public route, without the path of the file."""
    return public(f"{ADA}_Files", pin_of(server, ADA, "Files") + "/{}")


Fields = Sequence[tuple[str, str]]


def ask(server: Server, path: str, fields: Fields, method: str = "GET") -> Answer:
    """Fields of the same name are sent as they are given."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    request = f"{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
    with closing(server.connection()) as connection:
        connection.connect()
        connection.sock.sendall(request.encode())
        with closing(http.client.HTTPResponse(connection.sock, method=method)) as response:
            response.begin()
            pairs = [(name.lower(), value) for name, value in response.getheaders()]
            return Answer(response.status, pairs, response.read())


def browser(changed: Mapping[str, str | None] | None = None) -> list[tuple[str, str]]:
    """What a browser sends that has the dictionary, with changes. None: the field is left out."""
    fields: dict[str, str | None] = {
        "Host": "localhost:8080",
        "Accept-Encoding": BROWSER,
        "Available-Dictionary": f":{DICTIONARY}:",
        "Sec-Fetch-Site": "same-origin",
        **(changed or {}),
    }
    return [(name, value) for name, value in fields.items() if value is not None]


def is_from_proxy(answer: Answer) -> bool:
    """A proxy makes the ETag from time and size; the gateway's has 32 digits."""
    return len(answer.headers["etag"]) < 30


def content_of(answer: Answer) -> bytes:
    coding = answer.headers.get("content-encoding", "")
    decoders: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "dcz": partial(restored, dictionary=OLD),
        "gzip": gzip.decompress,
        "zstd": zstandard.ZstdDecompressor().decompress,
    }
    return decoders[coding](answer.body)


# Who gets a difference

WITH_DIFFERENCE: dict[str, dict[str, str | None]] = {
    "as a browser asks": {},
    "a client that is no browser": {"Sec-Fetch-Site": None},
    "an origin that CORS allows": {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    "localhost": {"Host": "localhost"},
    "a host in capitals": {"Host": "LOCALHOST:1"},
    "127.0.0.1": {"Host": "127.0.0.1:8080"},
    "::1": {"Host": "[::1]:8080"},
    "::1 without a port": {"Host": "[::1]"},
    "dcz alone": {"Accept-Encoding": "dcz"},
    "no spaces": {"Accept-Encoding": "gzip,dcz,br"},
    "another member with a weight": {"Accept-Encoding": "br;q=0.5 , dcz"},
}
WITHOUT: dict[str, dict[str, str | None]] = {
    "another site": {"Sec-Fetch-Site": "cross-site"},
    "the same site": {"Sec-Fetch-Site": "same-site"},
    "typed in": {"Sec-Fetch-Site": "none"},
    "another origin": {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"},
    "an origin with more": {"Sec-Fetch-Site": "cross-site", "Origin": f"{ORIGIN}.evil"},
    "two sites": {"Sec-Fetch-Site": "same-origin, cross-site"},
    "clear text": {"Host": "plugins.example"},
    "a word of the client": {"Host": "plugins.example", "X-Forwarded-Proto": "https"},
    "like localhost": {"Host": "localhost.example"},
    "any coding": {"Accept-Encoding": "*"},
    "any coding beside others": {"Accept-Encoding": "gzip, *"},
    "refused": {"Accept-Encoding": "gzip, dcz;q=0"},
    "refused after all": {"Accept-Encoding": "dcz, gzip, dcz ; q=0"},
    "a weight": {"Accept-Encoding": "gzip, dcz;q=0.5"},
    "another name": {"Accept-Encoding": "gzip, dczx, xdcz"},
    "dcb alone": {"Accept-Encoding": "gzip, dcb"},
    "no codings": {"Accept-Encoding": ""},
    "no field": {"Accept-Encoding": None},
    "no dictionary": {"Available-Dictionary": None},
    "an empty field": {"Available-Dictionary": ""},
    "no colons": {"Available-Dictionary": DICTIONARY},
    "a parameter": {"Available-Dictionary": f":{DICTIONARY}:;a=1"},
    "two in one field": {"Available-Dictionary": f":{DICTIONARY}:, :{DICTIONARY}:"},
    "another alphabet": {"Available-Dictionary": ":" + "-_" * 21 + "A=:"},
    "another spelling": {"Available-Dictionary": ":" + "A" * 42 + "B=:"},
    "too short": {"Available-Dictionary": f":{DICTIONARY[4:]}:"},
    "a path": {"Available-Dictionary": f":../{ENTRY.rpartition('/')[2]}:"},
    "a long path": {"Available-Dictionary": f":{'../' * 14}A=:"},
}


@pytest.mark.parametrize("case", WITH_DIFFERENCE)
def test_who_holds_the_dictionary_gets_the_difference(
    server: Server, pinned: str, case: str
) -> None:
    fields = browser(WITH_DIFFERENCE[case])
    for method in ("GET", "HEAD"):
        answer = ask(server, pinned.format(ENTRY), fields, method)
        assert (answer.status, answer.headers["content-encoding"]) == (200, "dcz")
        assert is_from_proxy(answer)
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if method == "GET":
            assert content_of(answer) == NEW
            assert len(answer.body) == int(answer.headers["content-length"]) < 200


@pytest.mark.parametrize("case", WITHOUT)
def test_everybody_else_gets_an_ordinary_answer(server: Server, pinned: str, case: str) -> None:
    answer = ask(server, pinned.format(ENTRY), browser(WITHOUT[case]))
    assert answer.status == 200
    assert answer.headers.get("content-encoding") != "dcz"
    assert is_from_proxy(answer)


@pytest.mark.parametrize("name", ["Available-Dictionary", "Sec-Fetch-Site"])
def test_fields_that_are_repeated_are_answered_plainly(
    server: Server, pinned: str, name: str, request: pytest.FixtureRequest
) -> None:
    other = {"Available-Dictionary": f":{UNKNOWN}:", "Sec-Fetch-Site": "cross-site"}[name]
    first = ask(server, pinned.format(ENTRY), [*browser(), (name, other)])
    second = ask(server, pinned.format(ENTRY), [*browser({name: other}), *browser()])
    sees_the_first_alone = request.node.callspec.params["server"].startswith(
        "nginx"
    ) and nginx_version() < (1, 23)
    if sees_the_first_alone:
        assert content_of(first) == NEW
    else:
        assert first.headers.get("content-encoding") != "dcz"
    assert second.headers.get("content-encoding") != "dcz"


def nginx_version() -> tuple[int, ...]:
    said = subprocess.run(
        [require_program("nginx"), "-v"], capture_output=True, text=True, check=True
    )
    (found,) = re.findall(r"nginx/(\d+)\.(\d+)", said.stderr)
    return tuple(map(int, found))


def test_a_range_is_one_of_the_file_itself(server: Server, pinned: str) -> None:
    fields = browser({"Range": "bytes=0-9", "Accept-Encoding": "dcz"})
    answer = ask(server, pinned.format(ENTRY), fields)
    assert (answer.status, answer.body) == (206, NEW[:10])
    assert "content-encoding" not in answer.headers


def test_a_difference_that_is_not_kept_is_asked_of_the_gateway_until_it_is(
    server: Server, site: Site, pinned: str
) -> None:
    """So the gateway learns which one is wanted, and the proxy sends it as soon as it is kept."""
    other = OLD + str(server.port).encode()  # nobody has asked for it
    field = {
        "Available-Dictionary": f":{base64.b64encode(hashlib.sha256(other).digest()).decode()}:"
    }
    answer = ask(server, pinned.format(ENTRY), browser(field))
    assert answer.status == 200
    assert not is_from_proxy(answer)
    keep_difference(site.plugins / "cache/pinned/Files" / pin_of(server, ADA, "Files"),
                    ENTRY, NEW, other)  # fmt: skip
    answer = eventually(lambda: ask(server, pinned.format(ENTRY), browser(field)), is_from_proxy, 5)
    assert answer.headers["content-encoding"] == "dcz"
    assert restored(answer.body, other) == NEW


def test_folders_of_differences_have_no_urls(server: Server, pinned: str) -> None:
    for path in (f"{ENTRY}.dcz", f"{ENTRY}.dcz/", f"{ENTRY}.dcz/{DICTIONARY}"):
        answer = ask(server, pinned.format(path), browser())
        assert answer.code in ("type_not_allowed", "not_found"), path


# Routes with a permission


@pytest.mark.parametrize("server", ["nginx authorize", "caddy authorize"], indirect=True)
def test_with_a_permission_alone_a_guarded_difference_is_sent(server: Server) -> None:
    pin = pin_of(server, ADA, "Files")
    credential, token = bearer(ADA)["Authorization"], capability(ADA, "Files")
    for url, allowed, cache_control in (
        (own("Files", f"{pin}/{ENTRY}"), credential, "private, max-age=31536000, immutable"),
        (own("Files"), credential, "no-cache"),
        (public(f"{ADA}_Files"), None, "no-cache"),
        (signed(token, "Files"), None, "no-cache"),
        (signed(token, "Files", f"{pin}/{ENTRY}"), None, "public, max-age=31536000, immutable"),
    ):
        answer = ask(server, url, browser({"Authorization": allowed}))
        assert (answer.status, answer.headers.get("content-encoding")) == (200, "dcz"), url
        assert content_of(answer) == NEW
        assert answer.headers["cache-control"] == cache_control
        assert ("use-as-dictionary" in answer.headers) is ("/@" in url)
        if allowed:
            refused = ask(server, url, browser({"Authorization": "Bearer x"}))
            assert (refused.status, refused.code) == (401, "invalid_token")
            assert ask(server, url, browser()).status == 401


# What caches must know


def test_every_variant_says_what_it_depends_on(server: Server, pinned: str) -> None:
    urls = [(pinned.format(ENTRY), {}), (own("Files"), bearer(ADA))]
    for url, credential in urls:
        etags = set()
        for changed in ({}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "zstd"},
                        {"Accept-Encoding": None}, {"Sec-Fetch-Site": "cross-site"},
                        {"Available-Dictionary": None}, {"Host": "plugins.example"}):  # fmt: skip
            fields = browser({**credential, **changed})
            answer = ask(server, url, fields)
            assert vary_of(answer) == VARY, changed
            assert content_of(answer) == NEW
            again = ask(server, url, [*fields, ("If-None-Match", answer.headers["etag"])])
            assert (again.status, again.body) == (304, b"")
            assert vary_of(again) == VARY, changed
            assert again.headers["etag"] == answer.headers["etag"]
            etags.add((answer.headers.get("content-encoding"), answer.headers["etag"]))
        assert len({etag for _, etag in etags}) == len({coding for coding, _ in etags})


def vary_of(answer: Answer) -> set[str]:
    fields = ",".join(value for name, value in answer.fields if name == "vary")
    return {member.strip().lower() for member in fields.split(",")}


def test_a_pinned_file_names_itself_a_dictionary_as_the_gateway_does(
    server: Server, pinned: str
) -> None:
    sent_by_proxy = 0
    names = (*NAMES, *made_names())
    assert sum("*" in stem(AssetPath(name)) for name in names) > 30
    for name in names:
        answer = ask(server, pinned.format(name), browser({"Available-Dictionary": None}))
        assert answer.status == 200, name
        expected = use_as_dictionary(Slug("Files"), AssetPath(name)) or b""
        if name.endswith(".png"):
            expected = b""
        assert answer.headers.get("use-as-dictionary", "") == expected.decode(), name
        sent_by_proxy += is_from_proxy(answer)
    assert sent_by_proxy > len(names) * 0.7


def test_of_several_hashes_in_a_name_the_first_is_a_star(server: Server, pinned: str) -> None:
    answer = ask(server, pinned.format(TWICE), browser({"Available-Dictionary": None}))
    assert is_from_proxy(answer)
    pattern = 'match="../../Files/../{@*/}?dist/a.*.b.73d05e86.js"'
    assert answer.headers["use-as-dictionary"] == pattern


def test_what_must_be_asked_for_again_is_no_dictionary(server: Server) -> None:
    for url in (own("Files"), public(f"{ADA}_Files")):
        answer = ask(server, url, browser(bearer(ADA)))
        assert answer.status == 200
        assert "use-as-dictionary" not in answer.headers


# Surroundings


@pytest.mark.parametrize("name", PROXIES)
def test_over_tls_every_host_gets_differences(
    running: Running, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chain, key = self_signed(tmp_path_factory.mktemp("certificate"), "localhost")
    server = (
        running.proxy(name, "--tls", str(chain), str(key), "--server-name", "localhost")
        if name.startswith("caddy")
        else running.proxy(name, "--tls", str(chain), str(key))
    )
    host = "localhost" if name.startswith("caddy") else "plugins.example"
    context = ssl.create_default_context(cafile=str(chain))
    pin = pin_of(running.proxy(name), ADA, "Files")
    with closing(
        http.client.HTTPSConnection("localhost", server.port, timeout=10, context=context)
    ) as connection:
        fields = dict(browser({"Host": host}))
        connection.request("GET", public("Files", f"{pin}/{ENTRY}"), headers=fields)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "dcz")
        assert restored(answer.read(), OLD) == NEW


def test_nginx_that_compresses_everything_does_not_compress_a_difference(
    running: Running, site: Site, tmp_path: Path
) -> None:
    nginx, port = require_program("nginx"), free_port()
    environment = {**site.environment, **ENVIRONMENT}
    options = ("--site", "--listen", f"127.0.0.1:{port}", "--upstream", "127.0.0.1:9")
    text = printed(environment, "nginx", "accel", *options)
    everything = "gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; "
    pin = pin_of(running.proxy("nginx accel"), ADA, "Files")
    with nginx_with(nginx, tmp_path / "nginx", everything + text, port) as process:
        front = Server(process, port, [])
        answer = ask(front, public("Files", f"{pin}/{ENTRY}"), browser())
    codings = [value for name, value in answer.fields if name == "content-encoding"]
    assert codings == ["dcz"]
    assert content_of(answer) == NEW


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_behind_another_proxy_that_speaks_https_a_setting_says_so(
    site: Site, running: Running, proxy: str, tmp_path: Path
) -> None:
    environment = {**site.environment, **ENVIRONMENT, "GATEWAY__HTTP__HTTPS": "true"}
    behind, program = running.proxy(f"{proxy} accel"), require_program(proxy)
    pin = pin_of(behind, ADA, "Files")
    with proxy_before(behind, environment, program, proxy, "accel", tmp_path / "x") as front:
        fields = browser({"Host": "plugins.example"})
        answer = ask(front, public("Files", f"{pin}/{ENTRY}"), fields)
    assert is_from_proxy(answer)
    assert content_of(answer) == NEW
    assert answer.headers["content-encoding"] == "dcz"


@pytest.mark.parametrize("mode", DELIVERY)
@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_without_dictionaries_nothing_of_them_is_printed(proxy: str, mode: str) -> None:
    text = printed({"GATEWAY__HTTP__DICTIONARIES": "false"}, proxy, mode).lower()
    for word in ("dictionar", "dcz", "sec-fetch", "difference"):
        assert word not in text
