"""RFC 9842 over HTTP: who gets a file as the difference from another version, and who must not."""

from collections.abc import Mapping

import brotli
import pytest

from gateway.http.dictionaries import VARY
from tests.endpoints.assets.asking import every_way
from tests.support.dictionaries import (
    CODINGS,
    NEW,
    OLD,
    asking,
    decoded,
    digest_of,
    frame_facts,
    named,
)
from tests.support.mounted import URL_PREFIX, serving_mounted
from tests.support.server import Answer, Server, run_cli, server_of, serving
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import ENTRY, SIGNED_ENVIRONMENT, WAYS, own, pin_of, public
from tests.support.waiting import eventually

ORIGIN = "https://app.example"
TRUSTED = "127.0.0.2"
SAME = OLD.replace(b"g(", b"h(")
"""A file that both versions have."""
UNKNOWN = b"no file of any plugin" * 100
HIDDEN = b"/* a file of another plugin */" * 100
SETTINGS = {
    **SIGNED_ENVIRONMENT,
    "GATEWAY__HTTP__CORS_ORIGINS": ORIGIN,
    "GATEWAY__IDENTITY__PROXY__TRUSTED": TRUSTED,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("differences"))
    site.publish("Review", "1.0.0", {ENTRY: OLD, "dist/a.12345678.js": OLD, "dist/b.js": SAME})
    site.publish("Review", "1.0.1", {ENTRY: NEW, "dist/a.87654321.js": NEW, "dist/b.js": SAME})
    site.publish("Review", "1.0.0", {"dist/tiny.js": b"1", "dist/a.png": OLD})
    site.publish("Review", "1.0.1", {"dist/tiny.js": b"2", "dist/a.png": NEW})
    site.publish("Hidden", "1.0.0", {ENTRY: HIDDEN})
    site.give(ADA, "Review", "1.0.1")
    site.give(BEN, "Hidden", "1.0.0")
    return site


server = server_of(SETTINGS)


def is_difference(answer: Answer) -> bool:
    return answer.headers.get("content-encoding") == "dcz"


def difference(server: Server, url: str, headers: Mapping[str, str]) -> Answer:
    """The answer, as soon as the difference is made."""
    return eventually(lambda: server.get(url, headers), is_difference)


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """A pinned URL of the public route whose difference and codings are made."""
    url = public(f"{ADA}_Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}")
    difference(server, url, asking(OLD))
    return url


def ask(server: Server, url: str, **headers: str) -> Answer:
    """As a browser that holds OLD. `headers` are written with `_` for `-`; empty: without it."""
    fields = {name.replace("_", "-").title(): value for name, value in headers.items()}
    all_fields = {**asking(OLD), **fields}
    return server.get(url, {name: value for name, value in all_fields.items() if value})


@every_way
@pytest.mark.parametrize("is_pinned", [False, True], ids=["unpinned", "pinned"])
def test_a_browser_that_holds_the_last_version_gets_the_difference(
    server: Server, way: str, is_pinned: bool
) -> None:
    pin = f"{pin_of(server, ADA, 'Review')}/" if is_pinned else ""
    url, credential = WAYS[way](ADA, "Review", pin + ENTRY)
    answer = difference(server, url, {**credential, **asking(OLD)})
    assert answer.status == 200
    assert decoded(answer.body, OLD) == NEW
    assert len(answer.body) < 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["etag"] == (
        f'"{digest_of(NEW).hex()[:32]}-dcz-{digest_of(OLD).hex()[:8]}"'
    )
    assert ("use-as-dictionary" in answer.headers) == is_pinned
    assert ("vary", VARY.decode()) in answer.fields


def test_the_body_names_the_dictionary_and_any_client_can_read_it(server: Server, url: str) -> None:
    """RFC 9842 §5, RFC 9659 §3."""
    body = ask(server, url).body
    assert body[:40] == bytes.fromhex("5e2a4d1820000000") + digest_of(OLD)
    facts = frame_facts(body)
    assert facts.content_size == len(NEW)
    assert facts.content_size <= facts.window_size <= 8 * 2**20
    assert facts.has_checksum
    assert facts.dict_id == 0


def test_a_pinned_file_is_a_dictionary_for_its_plugin_and_has_no_id(
    server: Server, url: str
) -> None:
    expected = 'match="../../Review/../{@*/}?dist/remoteEntry.js"'
    assert ask(server, url).headers["use-as-dictionary"] == expected
    assert ask(server, url, available_dictionary="").headers["use-as-dictionary"] == expected
    hashed = url.replace("remoteEntry.js", "a.87654321.js")
    expected = 'match="../../Review/../{@*/}?dist/a.*.js"'
    assert ask(server, hashed).headers["use-as-dictionary"] == expected


def test_a_file_with_another_hash_in_its_name_is_the_dictionary(server: Server, url: str) -> None:
    answer = difference(server, url.replace("remoteEntry.js", "a.87654321.js"), asking(OLD))
    assert decoded(answer.body, OLD) == NEW


def test_a_file_that_did_not_change_costs_some_bytes(server: Server, url: str) -> None:
    answer = difference(server, url.replace("remoteEntry.js", "b.js"), asking(SAME))
    assert decoded(answer.body, SAME) == SAME
    assert len(answer.body) < 80


@pytest.mark.parametrize(
    "headers",
    [
        {"accept_encoding": "identity", "available_dictionary": ""},
        {"accept_encoding": "gzip"},
        {"accept_encoding": "br"},
        {},
    ],
    ids=["identity", "gzip", "br", "dcz"],
)
def test_every_variant_says_what_it_depends_on(
    server: Server, url: str, headers: dict[str, str]
) -> None:
    answer = ask(server, url, **headers)
    unchanged = ask(server, url, **headers, if_none_match=answer.headers["etag"])
    part = ask(server, url, **headers, range="bytes=0-0")
    assert (answer.status, unchanged.status, part.status) == (200, 304, 206)
    for each in (answer, unchanged, part):
        assert ("vary", VARY.decode()) in each.fields


def test_a_head_has_the_fields_of_the_get(server: Server, url: str) -> None:
    answer, head = ask(server, url), server.request("HEAD", url, asking(OLD))
    momentary = ("date", "x-request-id")
    assert is_difference(head)
    assert head.body == b""
    assert [field for field in head.fields if field[0] not in momentary] == [
        field for field in answer.fields if field[0] not in momentary
    ]


def test_a_difference_is_revalidated_by_its_own_etag(server: Server, url: str) -> None:
    answer = ask(server, url)
    etag = answer.headers["etag"]
    unchanged = ask(server, url, if_none_match=etag)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert unchanged.headers["etag"] == etag
    plain = ask(server, url, available_dictionary="")
    assert plain.headers["etag"] != etag
    assert is_difference(ask(server, url, if_none_match=plain.headers["etag"]))
    assert ask(server, url, available_dictionary="", if_none_match=etag).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=0-9"},
        {"range": "bytes=0-9", "if_range": '"other"'},
        {"if_match": "*"},
        {"if_unmodified_since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"if_modified_since": "Fri, 01 Jan 1990 00:00:00 GMT"},
    ],
    ids=", ".join,
)
def test_parts_and_rare_conditions_are_those_of_the_ordinary_variant(
    server: Server, url: str, headers: dict[str, str]
) -> None:
    answer = ask(server, url, **headers)
    assert answer.status in (200, 206)
    assert answer.headers["content-encoding"] == "br"


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("dcz", "dcz"),
        ("br, dcz;q=0.1", "dcz"),
        ("*", "br"),
        ("br, *", "br"),
        ("br, dcz;q=0", "br"),
        ("br, dcb", "br"),
        ("", None),
    ],
)
def test_only_who_names_dcz_gets_a_difference(
    server: Server, url: str, accept_encoding: str, expected: str | None
) -> None:
    answer = ask(server, url, accept_encoding=accept_encoding)
    assert answer.headers.get("content-encoding") == expected


OWN, CROSS = "same-origin", "cross-site"


@pytest.mark.parametrize(
    ("headers", "is_sent"),
    [
        ({"sec_fetch_site": OWN}, True),
        ({"sec_fetch_site": OWN, "sec_fetch_mode": "no-cors"}, True),
        ({"sec_fetch_site": OWN, "origin": "https://evil.example"}, True),
        ({"sec_fetch_site": CROSS, "sec_fetch_mode": "cors", "origin": ORIGIN}, True),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "cors", "origin": ORIGIN}, True),
        # A page that may not read the answer must not learn its length.
        ({"sec_fetch_site": CROSS, "sec_fetch_mode": "no-cors"}, False),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"}, False),
        ({"sec_fetch_site": CROSS, "origin": "https://evil.example"}, False),
        ({"sec_fetch_site": CROSS, "origin": "null"}, False),
        ({"sec_fetch_site": "none"}, False),
        # Values of a repeated field, as a proxy joins them.
        ({"sec_fetch_site": f"{OWN}, {OWN}"}, False),
        ({"sec_fetch_site": f"{CROSS}, {OWN}", "origin": ORIGIN}, False),
        ({"sec_fetch_site": OWN, "sec_fetch_mode": "cors, no-cors"}, False),
    ],
)
def test_only_a_page_that_may_read_the_file_gets_a_difference(
    server: Server, url: str, headers: dict[str, str], is_sent: bool
) -> None:
    assert is_difference(ask(server, url, **headers)) == is_sent


@pytest.mark.parametrize(
    "repeated",
    [
        f"Available-Dictionary: {named(OLD)}",
        f"Available-Dictionary: {named(NEW)}",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: cors",
    ],
)
def test_fields_that_are_repeated_are_answered_plainly(
    server: Server, url: str, repeated: str
) -> None:
    lines = [
        f"GET {url} HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Accept-Encoding: {CODINGS}",
        f"Available-Dictionary: {named(OLD)}",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: cors",
        "Connection: close",
    ]
    once = server.raw("\r\n".join([*lines, "", ""]).encode())
    assert b"\r\ncontent-encoding: dcz\r\n" in once
    twice = server.raw("\r\n".join([*lines, repeated, "", ""]).encode())
    assert twice.startswith(b"HTTP/1.1 200 ")
    assert b"\r\ncontent-encoding: br\r\n" in twice


@pytest.mark.parametrize(
    ("host", "is_sent"),
    [
        ("localhost", True),
        ("LocalHost:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("app.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("192.168.0.1", False),
    ],
)
def test_on_clear_text_only_localhost_gets_a_difference(
    server: Server, url: str, host: str, is_sent: bool
) -> None:
    assert is_difference(ask(server, url, host=host)) == is_sent


@pytest.mark.parametrize(
    ("address", "proto", "is_sent"),
    [
        (TRUSTED, "https", True),
        (TRUSTED, "http", False),
        (TRUSTED, "https, http", False),
        ("127.0.0.3", "https", False),
    ],
)
def test_only_a_trusted_proxy_says_that_the_browser_uses_https(
    server: Server, url: str, address: str, proto: str, is_sent: bool
) -> None:
    fields = {**asking(OLD), "Host": "app.example", "X-Forwarded-Proto": proto}
    assert is_difference(server.get_from(address, url, fields)) == is_sent


@pytest.mark.parametrize("content", [UNKNOWN, HIDDEN], ids=["unknown", "foreign"])
def test_a_dictionary_that_is_no_file_of_the_plugin_is_answered_plainly(
    server: Server, url: str, content: bytes
) -> None:
    """BEN has the plugin of the second one."""
    for _ in range(5):
        answer = server.get(url, asking(content))
        assert answer.headers["content-encoding"] == "br"
        assert brotli.decompress(answer.body) == NEW


def test_a_file_with_another_name_is_no_dictionary(server: Server, url: str) -> None:
    assert server.get(url, asking(SAME)).headers["content-encoding"] == "br"


@pytest.mark.parametrize("path", ["dist/tiny.js", "dist/a.png"])
def test_files_that_no_coding_shrinks_have_no_dictionaries(
    server: Server, url: str, path: str
) -> None:
    answer = ask(server, url.replace(ENTRY, path))
    assert answer.status == 200
    assert not {"use-as-dictionary", "content-encoding"} & set(answer.headers)
    assert "Available-Dictionary" not in answer.headers.get("vary", "")


def test_a_stranger_gets_the_refusal_that_everybody_gets(server: Server) -> None:
    refused = server.get(own("Review"), {**bearer(BEN), **asking(OLD)})
    assert (refused.status, refused.code) == (404, "not_installed")


@pytest.mark.parametrize(
    "setting", ["GATEWAY__HTTP__DICTIONARIES=false", "GATEWAY__DEV__ENABLED=true"]
)
def test_nothing_is_said_of_dictionaries_where_they_are_off(site: Site, setting: str) -> None:
    name, _, value = setting.partition("=")
    with serving({**site.environment, name: value}) as server:
        url = own("Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}")
        for fields in ({}, asking(OLD)):
            answer = server.get(url, {**bearer(ADA), **fields})
            assert answer.status == 200
            assert not is_difference(answer)
            assert "use-as-dictionary" not in answer.headers
            assert answer.headers["vary"] in ("Accept-Encoding", "Origin")


def test_a_setting_says_that_all_browsers_use_https(site: Site) -> None:
    with serving({**site.environment, "GATEWAY__HTTP__HTTPS": "true"}) as server:
        fields = {**bearer(ADA), **asking(OLD), "Host": "app.example"}
        assert decoded(difference(server, own("Review"), fields).body, OLD) == NEW


def test_a_mounted_gateway_sends_differences_too(site: Site) -> None:
    with serving_mounted("with_running", site.environment) as server:
        answer = difference(server, URL_PREFIX + own("Review"), {**bearer(ADA), **asking(OLD)})
        assert decoded(answer.body, OLD) == NEW


def test_after_publishing_the_first_request_gets_the_difference(empty_site: Site) -> None:
    """It was made ahead, and a browser upgrades once."""
    for version, content in (("1.0.0", OLD), ("1.0.1", NEW)):
        folder = empty_site.folder / version
        (folder / "dist").mkdir(parents=True)
        (folder / ENTRY).write_bytes(content)
        (folder / "package.json").write_text("{}")
        names = ("--slug", "Review", "--version", version)
        result = run_cli(empty_site.environment, "publish", str(folder), *names)
        assert result.returncode == 0, result.stderr
        if version == "1.0.0":
            empty_site.give(ADA, "Review", version)
    empty_site.execute("UPDATE plugin SET version = '1.0.1'")
    with serving(empty_site.environment) as server:
        url = own("Review", f"{pin_of(server, ADA, 'Review')}/{ENTRY}")
        first = server.get(url, {**bearer(ADA), **asking(OLD)})
        assert is_difference(first)
        assert decoded(first.body, OLD) == NEW
