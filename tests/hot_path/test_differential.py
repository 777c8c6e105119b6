"""A request is answered the same on the hot path and on the cold one.

Also the fate of the connection is the same, and so it is however the bytes arrive.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dictionaries import NEW, OLD, named
from tests.support.listeners import (
    CREDENTIALS,
    ENTRY_URL,
    Running,
    three_listeners,
    user_request,
)
from tests.support.site import ADA, BEN, Site
from tests.support.sockets import LAST
from tests.support.urls import MANIFEST, own, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

ORIGIN = "https://app.example"
CREDENTIAL = f"Authorization: {CREDENTIALS[ADA]}"
UPGRADED = own("Review", "dist/upgraded.js")
"""A file of which another version is a dictionary."""
TARGETS = [
    ENTRY_URL, f"{ENTRY_URL}?v=1.0.0", public(f"{ADA}_Review"), MANIFEST, own("Review", "none.js"),
    own("Review", "dist/1.js"), own("Other"), "/-/live", "/nowhere", f"http://y{ENTRY_URL}",
    f"{ENTRY_URL}#fragment", "*", ENTRY_URL.replace("/dist", "/../dist"), f"{ENTRY_URL}%00",
    ENTRY_URL.replace("/dist", "%2fdist"), f"/{ENTRY_URL}", "", own("Review", ""),
    UPGRADED, UPGRADED,
]  # fmt: skip
HOLDING, DCZ = f"Available-Dictionary: {named(NEW)}", "Accept-Encoding: br, dcz"
FIELDS = [
    CREDENTIAL, f"Authorization: {CREDENTIALS[BEN]}", "Authorization: Bearer x", "Authorization:",
    CREDENTIAL.replace("Bearer ", "bearer   "), "Connection: close", "Connection: keep-alive",
    "Connection: Upgrade", "Upgrade: h2c", "Upgrade: websocket", "Host: y", "Content-Length: 0",
    "Content-Length: 4", "Content-Length: x", "Transfer-Encoding: chunked", "Expect: 100-continue",
    "Range: bytes=0-3", "Range: bytes=9999-", "If-None-Match: *", 'If-None-Match: "x"',
    "If-Match: *", 'If-Match: "x"', "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT",
    "Accept-Encoding: gzip", "Accept-Encoding: br;q=0, *", "Accept-Encoding: identity",
    f"Origin: {ORIGIN}", "Origin: https://other.example", "Cookie: a=b", f"X-User-Id: {BEN}",
    HOLDING, HOLDING, f"Available-Dictionary: {named(b'unknown')}", "Available-Dictionary: x",
    DCZ, DCZ, "Accept-Encoding: dcz;q=0", "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Site: cross-site", "A" * 70_000 + ": b", "bad name: x", "no colon",
]  # fmt: skip
CODED = b"\r\ncontent-encoding: dcz\r\n"
BODIES = [b"", b"", b"body", b"4\r\nbody\r\n0\r\n\r\n", b"0\r\nX-User-Id: x\r\n\r\n"]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Mostly plain, and often odd in one thing or two."""
    method = draw(st.sampled_from(["GET"] * 6 + ["HEAD", "OPTIONS", "POST", "get"]))
    version = draw(st.sampled_from(["1.1"] * 8 + ["1.0", "1.2", "2.0"]))
    lines = [f"{method} {draw(st.sampled_from(TARGETS))} HTTP/{version}"]
    lines += draw(st.sampled_from([["Host: x"]] * 8 + [[], ["Host: a b"]]))
    lines += draw(st.sampled_from([[CREDENTIAL]] * 3 + [[]]))
    lines += draw(st.lists(st.sampled_from(FIELDS), max_size=3))
    return "\r\n".join([*lines, "", ""]).encode() + draw(st.sampled_from(BODIES))


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[Running]:
    site.publish("Review", "1.0.0", {"dist/upgraded.js": OLD})
    site.publish("Review", "1.0.1", {"dist/upgraded.js": NEW})
    with three_listeners(
        site, GATEWAY__HTTP__CORS_ORIGINS=ORIGIN, GATEWAY__HTTP__HTTPS="true"
    ) as both:
        asked = user_request(UPGRADED, HOLDING, DCZ)
        eventually(lambda: both.ask("ours", asked, LAST), lambda it: CODED in it)
        yield both


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests(), min_size=1, max_size=3))
def test_the_hot_and_the_cold_path_answer_the_same(running: Running, asked: list[bytes]) -> None:
    sent = b"".join(asked) + LAST
    long = running.ask("long", sent)
    assert running.ask("ours", sent) == long
    assert running.ask("ours", sent) == long  # at once now, where it can be
    if len(sent) < 5_000:
        assert running.ask("ours", *(sent[place : place + 1] for place in range(len(sent)))) == long


def test_answers_at_once_are_among_what_is_compared(running: Running) -> None:
    plain = f"GET {ENTRY_URL} HTTP/1.1\r\nHost: x\r\n{CREDENTIAL}\r\n\r\n".encode()
    running.warm(plain)
    before = running.at_once()
    at_once = running.ask("ours", plain + LAST)
    assert running.at_once() == before + 1
    assert at_once == running.ask("long", plain + LAST)
    assert running.at_once() == before + 1


def test_a_difference_is_among_what_is_answered_at_once(running: Running) -> None:
    asked = user_request(UPGRADED, HOLDING, DCZ)
    before = running.at_once()
    at_once = running.ask("ours", asked, LAST)
    assert CODED in at_once
    assert running.at_once() == before + 1
    assert at_once == running.ask("long", asked, LAST)
