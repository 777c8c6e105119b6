"""Requests are cut out of bytes as RFC 9112 says; what can be read in two ways is refused."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RequestError
from gateway.http.plain_heads import PlainHeads
from gateway.http.request import Request
from gateway.http.request_reader import MAX_BODY_BYTES, MAX_FIELDS, Phase, RequestReader

HEAD_BYTES = 4096
GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: x\r\n"
OLD_POST = POST.replace(b"1.1", b"1.0")
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"

Read = tuple[list[Request], RequestError | None]


def read(*pieces: bytes) -> Read:
    """The requests of one connection, and the refusal that ended it.

    The parser alone says the same as it does with `PlainHeads` before it.
    """
    requests, refusal = read_by(RequestReader(HEAD_BYTES, PlainHeads(MAX_FIELDS)), *pieces)
    parsed, parsers_refusal = read_by(RequestReader(HEAD_BYTES), *pieces)
    assert requests == parsed
    assert type(refusal) is type(parsers_refusal)
    return requests, refusal


def read_by(reader: RequestReader, *pieces: bytes) -> Read:
    requests: list[Request] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (request := reader.next_request()) is not None:
                requests.append(request)
                if not request.keeps_alive:
                    return requests, None
    except RequestError as refusal:
        return requests, refusal
    return requests, None


def one(*pieces: bytes) -> Request:
    requests, refusal = read(*pieces)
    assert refusal is None
    (request,) = requests
    return request


def status(*pieces: bytes) -> int:
    """Of the refusal of the first request."""
    requests, refusal = read(*pieces)
    assert requests == []
    assert refusal is not None
    return refusal.status


def test_a_request_has_its_parts() -> None:
    request = one(GET)
    assert (request.method, request.raw_path, request.query_string) == (b"GET", b"/a", b"b=c")
    assert request.fields == [(b"host", b"x"), (b"accept", b"y")]
    assert request.headers == {b"host": b"x", b"accept": b"y"}
    assert (request.version, request.keeps_alive, request.has_body) == ("1.1", True, False)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (POST + b"Content-Length: 5\r\n\r\nabcde", b"abcde"),
        (POST + b"Content-Length: 4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
        (POST + b"Content-Length: 0\r\n\r\n", b""),
        (POST + CHUNKED + b"\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (POST + CHUNKED + b"\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (POST + CHUNKED + b"\r\n2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (POST + CHUNKED + b"\r\n0\r\nTrailer: y\r\n\r\n", b""),
    ],
)
def test_a_body_ends_where_its_framing_says(sent: bytes, body: bytes) -> None:
    requests, refusal = read(sent + GET)
    assert refusal is None
    assert [request.body for request in requests] == [body, b""]
    assert requests[1] == one(GET)


def test_a_trailer_is_no_header_of_any_request() -> None:
    """RFC 9110 §6.5.1: a trailer field must not be taken for a header field."""
    sent = POST + CHUNKED + b"\r\n1\r\nx\r\n0\r\nX-User-Id: ada\r\nHost: z\r\n\r\n" + GET
    first, second = read(sent)[0]
    assert first.fields == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]
    assert second.fields == [(b"host", b"x"), (b"accept", b"y")]


@pytest.mark.parametrize("framing", [b"Content-Length: 41\r\n", CHUNKED])
def test_a_body_behind_upgrade_is_refused_and_nothing_is_read_after_it(framing: bytes) -> None:
    requests, refusal = read(POST + UPGRADE + framing + b"\r\n" + GET)
    assert requests == []
    assert refusal is not None
    assert refusal.status == 400


def test_a_request_to_upgrade_is_the_last_one() -> None:
    assert one(b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n" + GET).keeps_alive is False
    assert one(POST + UPGRADE + b"Content-Length: 0\r\n\r\n" + GET).keeps_alive is False


def test_upgrade_that_connection_does_not_name_says_nothing() -> None:
    """RFC 9110 §7.8: it is for the next hop alone, if `Connection` names it."""
    request = one(POST + b"Upgrade: h2c\r\nContent-Length: 2\r\n\r\nab")
    assert (request.keeps_alive, request.body) == (True, b"ab")


@pytest.mark.parametrize(
    ("version", "read_as", "keeps_alive"),
    [("1.1", "1.1", True), ("1.2", "1.1", True), ("1.9", "1.1", True), ("1.0", "1.0", False)],
)
def test_a_later_minor_version_is_read_as_1_1(
    version: str, read_as: str, keeps_alive: bool
) -> None:
    """RFC 9110 §2.5"""
    request = one(f"GET / HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode())
    assert (request.version, request.keeps_alive) == (read_as, keeps_alive)


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", b"/", b"", b"x"),
        (b"//a/../%2e?", b"//a/../%2e", b"", b"x"),
        (b"/a?b?c=/d", b"/a", b"b?c=/d", b"x"),
        (b"http://y:80/a?b", b"/a", b"b", b"y:80"),
        (b"HTTP://y", b"/", b"", b"y"),
        (b"http://y?b", b"/", b"b", b"y"),
    ],
)
def test_a_target_names_path_query_and_perhaps_the_host(
    target: bytes, path: bytes, query: bytes, host: bytes
) -> None:
    """RFC 9112 §3.2.2: the authority of an absolute target replaces the field Host."""
    request = one(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
    assert (request.raw_path, request.query_string) == (path, query)
    assert request.headers[b"host"] == host
    assert dict(request.fields)[b"host"] == host


def test_options_of_the_whole_server() -> None:
    assert one(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").raw_path == b"*"


@pytest.mark.parametrize("host", ["x", "x:80", "a-b_c.d", "127.0.0.1:8000", "[::1]:80", "", ":80"])
def test_a_host_that_rfc_3986_allows_is_taken(host: str) -> None:
    assert one(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).raw_path == b"/"


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        # RFC 9112 §3.2, Host
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: u@x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x:8o\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x, y\r\nHost: x\r\n\r\n"),
        # §2.3, version
        (400, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/3\r\nHost: x\r\n\r\n"),
        (400, b"GET /\r\n\r\n"),
        (400, b"PRI * HTTP/2.0\r\n\r\n"),
        # §3.2, target
        (400, b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://x/a#b HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET http://u@x/a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"CONNECT http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        # §2.2, §5: lines
        (400, b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"\x16\x03\x01"),  # TLS
        (400, b" GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
        (400, b"GET / HTTP/1.1\nHost: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n"),
        (400, b"NOTHING / HTTP/1.1\r\nHost: x\r\n\r\n"),
        # §6, bodies
        (400, POST + b"Content-Length: 1\r\n" + CHUNKED + b"\r\n"),
        (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        (400, POST + b"Content-Length: 1, 1\r\n\r\na"),
        (400, POST + b"Content-Length: +1\r\n\r\na"),
        (400, POST + b"Content-Length: -1\r\n\r\na"),
        (400, POST + b"Content-Length: 0x1\r\n\r\na"),
        (400, POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (400, OLD_POST + CHUNKED + b"\r\n0\r\n\r\n"),
        (400, POST + CHUNKED + b"\r\n1\nx\r\n0\r\n\r\n"),
        (400, POST + CHUNKED + b"\r\nx\r\n\r\n"),
        (400, POST + CHUNKED + b"\r\n1\r\nxyz\r\n0\r\n\r\n"),
    ],
)  # fmt: skip
def test_what_is_not_plainly_a_request_is_refused(expected: int, sent: bytes) -> None:
    assert status(sent) == expected


@pytest.mark.parametrize(
    ("expected", "sent"),
    [
        (431, POST + b"A: " + bytes(HEAD_BYTES)),
        (431, POST + b"A: " + b"a" * HEAD_BYTES + b"\r\n\r\n"),
        (431, b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (431, POST + b"A: b\r\n" * 100 + b"\r\n"),
        (413, POST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)),
        (413, POST + CHUNKED + b"\r\n" + (b"1000\r\n" + bytes(4094) + b"\r\n\r\n") * 5),
        (413, POST + CHUNKED + b"\r\n0\r\n" + b"A: b\r\n" * HEAD_BYTES),
        (413, POST + CHUNKED + b"\r\n1;" + b"a" * HEAD_BYTES),
    ],
)
def test_what_is_too_large_is_refused_while_it_comes(expected: int, sent: bytes) -> None:
    assert status(*(sent[start : start + 100] for start in range(0, len(sent), 100))) == expected
    assert status(sent) == expected


def test_a_valid_request_is_there_before_the_refusal_of_the_next() -> None:
    """RFC 9112 §9.3.2: answers come in the order of the requests."""
    requests, refusal = read(GET + b"GET /\r\n\r\n")
    assert requests == [one(GET)]
    assert refusal is not None


def test_one_empty_line_before_a_request_is_ignored() -> None:
    """RFC 9112 §2.2"""
    assert one(b"\r\n" + GET) == one(b"\r", b"\n" + GET) == one(GET)


def test_phases_tell_what_is_waited_for() -> None:
    reader = RequestReader(HEAD_BYTES)
    phases = [reader.phase]
    for piece in (b"POST / HTTP/1.1\r\n", b"Host: x\r\nContent-Length: 2\r\n\r\n", b"a", b"b"):
        reader.feed(piece)
        request = reader.next_request()
        phases.append(reader.phase)
    assert request is not None
    assert phases == [Phase.NOTHING, Phase.HEAD, Phase.BODY, Phase.BODY, Phase.NOTHING]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", True),
        (POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\na", False),
        (POST + b"Content-Length: 2\r\n\r\n", False),
        (OLD_POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", False),
    ],
)  # fmt: skip
def test_a_client_that_waits_for_a_100_is_known(sent: bytes, expected: bool) -> None:
    reader = RequestReader(HEAD_BYTES)
    reader.feed(sent)
    assert reader.next_request() is None
    assert reader.expects_continue is expected


PARTS = st.sampled_from(
    [
        GET, POST + b"Content-Length: 3\r\n\r\nabc", POST + b"Content-Length: 9\r\n\r\n",
        POST + CHUNKED + b"\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", POST + UPGRADE + b"\r\n",
        b"\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"Host: y\r\n", b"A: b\r\n", b"0\r\n", b"\n",
        b"\r", b"GET / HTTP/1.0\r\n\r\n", b"x", b" ",
    ]
)  # fmt: skip


@given(st.lists(PARTS, max_size=8).map(b"".join), st.integers(0, 1000))
def test_however_bytes_arrive_they_say_the_same(sent: bytes, place: int) -> None:
    """At once, byte by byte, and cut anywhere."""
    whole = read(sent)
    single = read(*(sent[start : start + 1] for start in range(len(sent))))
    for requests, refusal in (single, read(sent[:place], sent[place:])):
        assert requests == whole[0]
        assert type(refusal) is type(whole[1])


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
def test_any_bytes_are_requests_or_refused_and_nothing_else(sent: bytes) -> None:
    requests, refusal = read(sent)
    assert refusal is None or refusal.status in (400, 413, 431, 501)
    assert all(request.headers.get(b"host") is not None for request in requests
               if request.version == "1.1")  # fmt: skip
