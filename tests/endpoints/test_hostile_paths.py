"""Paths that lie, over raw sockets: nothing outside the version's folder ever leaves.

Clients normalise `..` before they send it, so every request here is written byte by byte.
A file with CANARY in it lies wherever a lying path could lead.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer, token
from tests.support.urls import API, ENTRY, SIGNED_ENVIRONMENT, capability, own, pin_of

CANARY = b"CANARY"
ENTRY_BYTES = b"/* Review 1.0 */ window.Review = {};"

# Each would be a step upwards, a hiding place or a nuisance, in some decoder's eyes.
SEGMENTS = [
    b"..",
    b".",
    b"%2e%2e",
    b"%2E%2e",
    b".%2e",
    b"%2e",
    b"%252e%252e",
    b"..%2f..",
    b"..%2f..%2f..",
    b"..%252f..",
    b"%2f",
    b"..%5c..",
    b"..\\..",
    b"\\",
    b"..;",
    b"..;a=b",
    b"...",
    b".. ",
    b"..%20",
    b"..%00",
    b"%00",
    b"\x00",
    b"..%00.js",
    b"%0a",
    b"%0d%0aX-Injected:%20yes",
    b"%7f",
    b"",
    b"~",
    b"C:",
    b"C:%5cWindows",
    b"%c0%ae%c0%ae",  # overlong "..": RFC 3629 §3 forbids decoding it
    b"%e0%80%ae%e0%80%ae",
    b"..%c0%af..",  # overlong "/"
    b"%c1%9c",  # overlong "\"
    b"%ff%fe",
    b"%ed%a0%80",  # a surrogate
    b"\xff\xfe",
    b"\xc3\xa9",
    b"%u002e%u002e",
    b"%",
    b"%2",
    b"%zz",
    b"%ef%bc%8e%ef%bc%8e",  # full-width dots: NFKC makes ".." of them
    b"%e2%80%ae",
    b"a" * 256,
    b"a" * 9000,
    b"%2e" * 3000,
    b"../" * 2000,
    b"*",
    b"nul.js",
]

# Where a lying segment can stand in a path to a file.
POSITIONS = {
    "before the entry": b"%(plugin)s/%(bad)s/dist/remoteEntry.js",
    "inside": b"%(plugin)s/dist/%(bad)s/remoteEntry.js",
    "twice inside": b"%(plugin)s/dist/%(bad)s/%(bad)s/canary.js",
    "thrice inside": b"%(plugin)s/%(bad)s/%(bad)s/%(bad)s/canary.js",
    "up to the neighbour": b"%(plugin)s/%(bad)s/v1.0.1/dist/remoteEntry.js",
    "up to the plugin": b"%(plugin)s/dist/%(bad)s/%(bad)s/Review-secret/canary.js",
    "at the end": b"%(plugin)s/dist/%(bad)s",
    "a suffix after it": b"%(plugin)s/dist/%(bad)s.js",
    "a prefix of the name": b"%(plugin)s/dist/%(bad)scanary.js",
    "as the plugin": b"%(bad)s/dist/remoteEntry.js",
    "after the plugin's name": b"%(plugin)s%(bad)s/dist/remoteEntry.js",
    "below the plugin": b"%(plugin)s/%(bad)s/%(bad)s/v1.0.1/dist/remoteEntry.js",
    "as the pin": b"%(plugin)s/@%(bad)s/dist/remoteEntry.js",
    "as the pin's version": b"%(plugin)s/@%(bad)s~0123456789abcdef/dist/remoteEntry.js",
    "as the pin's build": b"%(plugin)s/@1.0~%(bad)s/dist/remoteEntry.js",
    "behind a true pin": b"%(plugin)s/%(pin)s/%(bad)s/canary.js",
    "behind a true pin, inside": b"%(plugin)s/%(pin)s/dist/%(bad)s/%(bad)s/canary.js",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    version = site.publish("Review", "1.0")
    secret = site.publish("Review-secret", "1.0")
    for folder in (
        site.folder,
        site.plugins,
        site.plugins / "cache",
        site.plugins / "shared",
        version.parent,
        site.publish("Review", "1.0.1"),
        secret.parent,
        secret,
    ):
        (folder / "canary.js").write_bytes(CANARY)
    (site.version_folder("Review", "1.0.1") / ENTRY).write_bytes(CANARY)
    (version / "..canary.js").write_bytes(CANARY)
    _lay_links(site)
    site.give(ADA, "Review", "1.0")
    site.write_installations(
        BEN, {"Review": {"installation_metadata": {"installed_by": CANARY.decode()}}}
    )
    site.add_row(BEN, "Review", "1.0.1")
    return site


def _lay_links(site: Site) -> None:
    """Things with an allowed name that are no regular file inside the folder."""
    folder = site.version_folder("Review", "1.0")
    (folder / "dist/absolute.js").symlink_to(site.folder / "canary.js")
    (folder / "dist/relative.js").symlink_to("../../../canary.js")
    (folder / "dist/neighbour.js").symlink_to("../../v1.0.1/canary.js")
    (folder / "dist/loop.js").symlink_to("loop.js")
    (folder / "dist/nowhere.js").symlink_to("nowhere-else.js")
    (folder / "out").symlink_to(site.folder)
    (folder / "up").symlink_to("..")
    (folder / "dist/round").symlink_to("round")
    (folder / "dist/folder.js").mkdir()
    os.mkfifo(folder / "dist/pipe.js")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        here = os.open(folder / "dist", os.O_RDONLY)
        try:  # the name of a socket is short; a path relative to a descriptor always is
            listener.bind(f"/proc/self/fd/{here}/socket.js")
        finally:
            os.close(here)


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    with serving({**site.environment, **SIGNED_ENVIRONMENT}) as running:
        yield running
        assert running.process.poll() is None
        assert "Traceback" not in "".join(running.output)


@pytest.fixture(scope="module")
def pin(server: Server) -> bytes:
    return pin_of(server, ADA, "Review").encode()


@pytest.fixture(scope="module")
def prefixes() -> dict[str, tuple[bytes, bytes]]:
    """What stands before `{plugin}` on each route, and the plugin's name there."""
    api = API.encode()
    return {
        "own": (api + b"/plugins/", b"Review"),
        "public": (api + b"/public/plugins/", f"{ADA}_Review".encode()),
        "signed": (
            api + b"/signed/" + capability(ADA, "Review").encode() + b"/plugins/",
            b"Review",
        ),
    }


every_route = pytest.mark.parametrize("route", ["own", "public", "signed"])
every_segment = pytest.mark.parametrize(
    "bad", SEGMENTS, ids=[ascii(segment[:24]) for segment in SEGMENTS]
)


def ask_raw(server: Server, target: bytes) -> bytes:
    """The answer to a GET of exactly that request target, with Ada's credential."""
    return server.raw(
        b"GET " + target + b" HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
        b"Authorization: Bearer " + token(ADA).encode() + b"\r\n\r\n"
    )


def status_of(answer: bytes) -> int:
    version, status, _ = answer.split(b" ", 2)
    assert version == b"HTTP/1.1"
    return int(status)


def assert_refused(server: Server, target: bytes) -> None:
    answer = ask_raw(server, target)
    assert 400 <= status_of(answer) < 500, target[:200]
    assert CANARY not in answer
    assert b"x-injected" not in answer.lower().partition(b"\r\n\r\n")[0]


@every_route
@every_segment
def test_a_lying_segment_is_refused_wherever_it_stands(
    server: Server, prefixes: dict[str, tuple[bytes, bytes]], pin: bytes, route: str, bad: bytes
) -> None:
    prefix, plugin = prefixes[route]
    for template in POSITIONS.values():
        path = template % {b"plugin": plugin, b"bad": bad, b"pin": pin}
        if names_the_entry(path, plugin, pin):
            continue
        assert_refused(server, prefix + path)


def names_the_entry(path: bytes, plugin: bytes, pin: bytes) -> bool:
    """Whether the template came out as an honest path, as it does for the empty segment."""
    return path.replace(pin + b"/", b"") == plugin + b"/" + ENTRY.encode()


@every_segment
def test_a_lying_segment_is_refused_in_a_signed_token(server: Server, bad: bytes) -> None:
    honest = capability(ADA, "Review").encode()
    payload, _, mac = honest.partition(b".")
    for forged in (bad, honest + bad, bad + honest, payload + b"." + bad, bad + b"." + mac):
        if forged != honest:
            path = API.encode() + b"/signed/" + forged + b"/plugins/Review/" + ENTRY.encode()
            assert_refused(server, path)


@every_segment
def test_a_lying_segment_before_the_route_reaches_nothing(server: Server, bad: bytes) -> None:
    end = b"Review/" + ENTRY.encode()
    honest = own("Review").encode()
    for path in (
        b"/" + bad + honest,
        b"/api/" + bad + b"/v1/plugins/" + end,
        b"/api/v1/" + bad + b"/plugins/" + end,
        b"/api/v1/plugins/" + bad + b"/plugins/" + end,
        b"/api/v1" + bad + b"/plugins/" + end,
    ):
        if path not in (honest, b"/" + honest):
            assert_refused(server, path)


@pytest.mark.parametrize(
    "name",
    ["absolute.js", "relative.js", "neighbour.js", "loop.js", "nowhere.js", "pipe.js",
     "socket.js", "folder.js", "round/canary.js", "../out/canary.js"],
)  # fmt: skip
@every_route
def test_what_is_no_regular_file_of_the_folder_is_not_found(
    server: Server, prefixes: dict[str, tuple[bytes, bytes]], route: str, name: str
) -> None:
    prefix, plugin = prefixes[route]
    answer = ask_raw(server, prefix + plugin + b"/dist/" + name.encode())
    assert status_of(answer) == 404
    assert b"asset_not_found" in answer
    assert CANARY not in answer


@pytest.mark.parametrize("path", ["out/canary.js", "up/canary.js", "up/v1.0.1/dist/remoteEntry.js"])
@every_route
def test_a_linked_folder_is_not_entered(
    server: Server,
    prefixes: dict[str, tuple[bytes, bytes]],
    pin: bytes,
    route: str,
    path: str,
) -> None:
    prefix, plugin = prefixes[route]
    for start in (b"/", b"/" + pin + b"/"):
        answer = ask_raw(server, prefix + plugin + start + path.encode())
        assert status_of(answer) == 404
        assert CANARY not in answer


@every_route
def test_a_version_does_not_open_another_whose_name_it_begins(
    server: Server, prefixes: dict[str, tuple[bytes, bytes]], route: str
) -> None:
    """v1.0 against v1.0.1, and Review against Review-secret."""
    prefix, plugin = prefixes[route]
    for path in (
        plugin + b".1/" + ENTRY.encode(),
        plugin + b"/.1/" + ENTRY.encode(),
        plugin + b"-secret/" + ENTRY.encode(),
        plugin + b"/../v1.0.1/" + ENTRY.encode(),
        plugin + b"/..%2fv1.0.1/" + ENTRY.encode(),
        plugin + b"/../../Review-secret/v1.0/canary.js",
    ):
        assert_refused(server, prefix + path)


@pytest.mark.parametrize(
    "path",
    [b"//dist/remoteEntry.js", b"/dist//remoteEntry.js", b"/dist/remoteEntry.js/",
     b"/dist/remoteEntry.js/.", b"/dist/remoteEntry.js/..", b"/dist/remoteEntry.js%00",
     b"/dist/remoteEntry.js%00.js", b"/dist/remoteEntry.js%20", b"/dist/remoteEntry.js.",
     b"/dist/remoteEntry.js::$DATA", b"/dist/remoteEntry.js;.js", b"/dist%2fremoteEntry.js",
     b"/dist%5cremoteEntry.js", b"/dist\\remoteEntry.js", b"/./dist/remoteEntry.js",
     b"/dist/../dist/remoteEntry.js", b"/dist/remoteEntry%2ejs/", b"%2fdist/remoteEntry.js",
     b"/DIST/remoteEntry.js", b"/dist/remoteentry.js", b"/..canary.js"],
)  # fmt: skip
@every_route
def test_a_file_has_exactly_one_path(
    server: Server, prefixes: dict[str, tuple[bytes, bytes]], route: str, path: bytes
) -> None:
    """A proxy's rule for one spelling must not be avoided by another."""
    prefix, plugin = prefixes[route]
    assert_refused(server, prefix + plugin + path)


@pytest.mark.parametrize("origin", [b"http://gateway", b"http://gateway:80", b"https://other"])
def test_the_absolute_form_is_taken_as_its_path(server: Server, origin: bytes) -> None:
    """RFC 9112 §3.2.2: a server must accept it; its path is judged as any other."""
    honest = own("Review").encode()
    answer = ask_raw(server, origin + honest)
    assert (status_of(answer), answer.endswith(ENTRY_BYTES)) == (200, True)
    for bad in (b"..", b"%2e%2e", b"..%2f"):
        path = honest.replace(b"dist/", bad + b"/v1.0.1/dist/")
        assert_refused(server, origin + path)


@pytest.mark.parametrize(
    "target",
    [b"*", b"file:///etc/passwd", b"gateway:80", b"..", b"/..", b"/../../etc/passwd.js", b"?", b"#",
     b"//etc/passwd.js", b"/%2fetc%2fpasswd.js", b"http://", b"http:/api/v1/plugins/x/y.js"],
)  # fmt: skip
def test_other_request_targets_are_refused(server: Server, target: bytes) -> None:
    assert_refused(server, target)


@every_segment
def test_json_routes_take_a_lying_name_for_an_unknown_one(server: Server, bad: bytes) -> None:
    for template in (b"%s/info", b"%s/modules", b"%s/modules/x", b"by-slug/%s", b"x/modules/%s"):
        assert_refused(server, b"/api/v1/plugins/" + template % bad)
    answer = ask_raw(server, b"/api/v1/plugins/" + bad + b"/status")
    assert status_of(answer) < 500
    assert CANARY not in answer
    assert b'"exists":true' not in answer


@pytest.mark.parametrize("slug", ["..", "../..", "../users", ".", "", "/", "..\\.."])
def test_a_signed_url_of_a_climbing_slug_cannot_be_made_to_work(server: Server, slug: str) -> None:
    forged = capability(ADA, slug)
    for plugin in ("..", "%2e%2e", "Review", slug or "x"):
        assert_refused(server, f"{API}/signed/{forged}/plugins/{plugin}/canary.js".encode())


def test_after_all_of_it_the_server_still_serves(server: Server) -> None:
    assert server.process.poll() is None
    for path in (own("Review"), own("Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}")):
        answer = server.get(path, bearer(ADA))
        assert (answer.status, answer.body) == (200, ENTRY_BYTES)
    assert server.get("/-/ready").status == 200
