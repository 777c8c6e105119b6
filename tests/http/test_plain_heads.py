"""Plain heads are read as the parser reads them, and nothing else is taken for one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.http import plain_heads
from gateway.http.plain_heads import PlainHeads
from gateway.http.request import Request
from gateway.http.request_reader import MAX_FIELDS, RequestReader

HEAD_BYTES = 4096
BROWSERS = (
    b"GET /api/v1/plugins/Review/dist/remoteEntry.js?v=1&v=2 HTTP/1.1\r\n"
    b"Host: localhost:8000\r\nConnection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"\r\n'
    b"Authorization: Bearer a.b.c\r\nAccept: */*\r\n\r\n"
)


def plain(head: bytes) -> Request | None:
    return PlainHeads(MAX_FIELDS).read(head)


def parsed(head: bytes) -> Request | None:
    """What the parser makes of it; None: nothing, or a refusal."""
    reader = RequestReader(HEAD_BYTES)
    reader.feed(head)
    try:
        request = reader.next_request()
    except RequestError:
        return None
    return None if reader.has_unread else request


def test_the_head_of_a_browser_is_plain() -> None:
    request = plain(BROWSERS)
    assert request is not None
    assert request == parsed(BROWSERS)
    assert request.headers[b"sec-ch-ua"] == b'"Chromium";v="130", "Not?A_Brand";v="99"'
    assert (request.raw_path, request.query_string) == (
        b"/api/v1/plugins/Review/dist/remoteEntry.js",
        b"v=1&v=2",
    )


def with_line(line: bytes) -> bytes:
    return BROWSERS[:-2] + line + b"\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        BROWSERS[:-1],
        BROWSERS + BROWSERS,
        BROWSERS.replace(b"GET", b"HEAD", 1),
        BROWSERS.replace(b"GET", b"get", 1),
        BROWSERS.replace(b"HTTP/1.1", b"HTTP/1.0"),
        BROWSERS.replace(b"HTTP/1.1", b"HTTP/1.2"),
        BROWSERS.replace(b" /api", b" http://x/api"),
        BROWSERS.replace(b" /api", b" /a pi"),
        BROWSERS.replace(b" /api", b" /a#pi"),
        BROWSERS.replace(b" /api", b" /\xc3\xa4"),
        BROWSERS.replace(b"Host: localhost:8000\r\n", b""),
        BROWSERS.replace(b"localhost:8000", b"local/host"),
        with_line(b"Host: localhost:8000"),
        with_line(b"Accept: text/html"),
        with_line(b"X Y: z"),
        with_line(b"X : z"),
        with_line(b" folded"),
        with_line(b"X"),
        with_line(b"Host"),
        with_line(b": z"),
        with_line(b"X:"),
        with_line(b"X:z"),
        with_line(b"X: "),
        with_line(b"X:  z"),
        with_line(b"X: z "),
        with_line(b"X: a\tb"),
        with_line(b"X: a\rb"),
        with_line(b"X: a\nb"),
        with_line(b"X: a\0b"),
        with_line(b"X: \xe4"),
        with_line(b""),
        with_line(b"Connection: close").replace(b"Connection: keep-alive\r\n", b""),
        with_line(b"Connection: Upgrade").replace(b"Connection: keep-alive\r\n", b""),
        with_line(b"Content-Length: 0"),
        with_line(b"content-length: 1"),
        with_line(b"Transfer-Encoding: chunked"),
        with_line(b"Upgrade: h2c"),
        with_line(b"Expect: 100-continue"),
        with_line(b"Proxy-Connection: close"),
        with_line(b"\r\n".join(b"X%d: z" % number for number in range(MAX_FIELDS))),
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(head: bytes) -> None:
    heads = PlainHeads(MAX_FIELDS)
    assert heads.read(BROWSERS) is not None  # its lines are known now
    assert heads.read(head) is None


LINES = st.sampled_from(
    [
        b"Host: x", b"host: x:80", b"Host: a b", b"Accept: y", b"A:b", b"A: b ", b"A:",
        b"Connection: keep-alive", b"connection: Keep-Alive", b"Connection: close",
        b"accept: z", b"A: \xe4", b"A: b\tc", b" x",
        b"Connection: keep-alive, Upgrade", b"Upgrade: h2c", b"Content-Length: 0",
        b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"B: c\nD: e",
        b"Proxy-Connection: close", b"Keep-Alive: timeout=5", b"TE: trailers", b"Trailer: A", b"",
        b"Authorization: Bearer x", b"X-Y_z!#$%&'*+.^`|~: \"(),/:;<=>?@[\\]{}", b"B: c\rD: e",
    ]
) | st.binary(max_size=20)  # fmt: skip
REQUEST_LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"GET /a?b=c&d HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET  / HTTP/1.1",
        b"GET / HTTP/1.0", b"GET http://x/ HTTP/1.1", b"GET /%2e%zz/\"<>[]^`{|}\\ HTTP/1.1",
        b"HEAD / HTTP/1.1", b"GET /a b HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / HTTP/1.12",
    ]
) | st.binary(max_size=20).map(lambda target: b"GET /" + target + b" HTTP/1.1")  # fmt: skip


@given(REQUEST_LINES, st.lists(LINES, max_size=8))
@example(b"GET / HTTP/1.1", [b"Host: x"])
def test_a_plain_head_says_what_the_parser_says(request_line: bytes, lines: list[bytes]) -> None:
    head = b"".join(line + b"\r\n" for line in (request_line, *lines, b""))
    heads = PlainHeads(MAX_FIELDS)
    for before in (None, None, plain(BROWSERS), plain(head)):  # its lines are new once
        request = heads.read(head, before)
        assert request is None or request == parsed(head)


def test_a_request_with_the_fields_of_the_one_before_shares_them() -> None:
    heads = PlainHeads(MAX_FIELDS)
    first = heads.read(BROWSERS)
    other_target = BROWSERS.replace(b"remoteEntry.js?v=1&v=2", b"chunk.js")
    second = heads.read(other_target, first)
    assert first is not None
    assert second is not None
    assert second == parsed(other_target)
    assert second.headers is first.headers
    third = heads.read(BROWSERS.replace(b"a.b.c", b"a.b.d"), second)
    assert third is not None
    assert third.headers[b"authorization"] == b"Bearer a.b.d"


def test_what_is_remembered_is_bounded_and_holds_no_credential(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plain_heads, "_MOST_LINES", 10)
    heads = PlainHeads(MAX_FIELDS)
    secret = b"Cookie: a=b\r\nX-Api-Key: c\r\nReferer: http://x/signed/d"
    long = b"User-Agent: " + b"y" * 300
    for number in range(100):
        head = with_line(b"%b\r\nIf-None-Match: %d\r\n%b" % (secret, number, long))
        assert heads.read(head) == parsed(head)
        assert len(heads.known) <= 10
        names = {line.partition(b":")[0] for line in heads.known}
        assert names <= {b"Host", b"Connection", b"Accept", b"If-None-Match", b"sec-ch-ua"}
