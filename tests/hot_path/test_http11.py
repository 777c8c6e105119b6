"""RFC 9112 to the letter, and the fate of the connection, seen by clients of raw bytes."""

import json
import socket
import struct

import pytest

from tests.support.listeners import ENTRY_URL, user_request
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site
from tests.support.sockets import LAST, converse, request, statuses
from tests.support.urls import MANIFEST, own

LIVE = "/-/live"
PROXY_CHAIN = {"GATEWAY__IDENTITY__CHAIN": "proxy"}
CHUNKED = "Transfer-Encoding: chunked"
UPGRADE = ("Connection: Upgrade", "Upgrade: h2c")


@pytest.mark.parametrize("framing", ["Content-Length: {}", CHUNKED])
@pytest.mark.parametrize("upgrade", [UPGRADE, ("Connection: upgrade, x", "Upgrade: websocket")])
def test_a_body_behind_upgrade_is_never_read_as_a_request(
    server: Server, framing: str, upgrade: tuple[str, str]
) -> None:
    """The request smuggling that plain uvicorn allows."""
    smuggled = request(MANIFEST)
    fields = (*upgrade, framing.format(len(smuggled)))
    received = converse(server.port, [request(LIVE, *fields), smuggled, LAST])
    assert statuses(received) == [400]


def test_after_a_request_to_upgrade_without_a_body_the_connection_is_closed(
    server: Server,
) -> None:
    received = converse(server.port, [request(LIVE, *UPGRADE) + request(MANIFEST), LAST])
    assert statuses(received) == [200]
    assert b"\r\nconnection: close\r\n" in received


def test_a_trailer_names_no_user(site: Site) -> None:
    """RFC 9110 §6.5.1"""
    with serving({**site.environment, **PROXY_CHAIN}) as running:
        body = f"1\r\nx\r\n0\r\nX-User-Id: {ADA}\r\n\r\n".encode()
        asked = request(own("Review"), CHUNKED) + body
        assert statuses(converse(running.port, [asked, asked, LAST])) == [401, 401, 200]
        asked = request(own("Review"), f"X-User-Id: {ADA}")
        assert statuses(converse(running.port, [asked, LAST])) == [200, 200]


@pytest.mark.parametrize(
    "refused",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /#f HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b" + b"c" * 65536 + b"\r\n\r\n",
        request(LIVE, "Content-Length: 99999"),
        request(LIVE, "Transfer-Encoding: gzip, chunked"),
    ],
)
def test_a_refusal_follows_the_answers_that_are_owed_and_is_like_any_error(
    server: Server, refused: bytes
) -> None:
    """RFC 9112 §9.3.2; no cache keeps it, and a browser can read it."""
    received = converse(server.port, [user_request() + user_request(user=BEN) + refused + LAST])
    *owed, refusal = statuses(received)
    assert owed == [200, 200]
    assert refusal in (400, 413, 431, 501)
    head, _, body = received[received.rindex(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    assert b"\r\ncache-control: no-store\r\n" in head
    assert b"\r\ncontent-type: application/json\r\n" in head
    assert b"\r\nx-content-type-options: nosniff\r\n" in head
    assert head.endswith(b"\r\nconnection: close")
    assert json.loads(body).keys() == {"detail", "code"}


def test_a_refusal_after_an_error_is_its_own(server: Server) -> None:
    """Found by the differential test: it repeated the error before."""
    asked = request(own("Review"), "Authorization: Bearer x") + b"nothing\r\n\r\n"
    received = converse(server.port, [asked])
    assert statuses(received) == [401, 400]
    assert received.count(b"invalid_token") == 2  # its challenge and its code


def test_http_1_2_is_read_as_1_1(server: Server) -> None:
    """RFC 9110 §2.5"""
    newer = user_request().replace(b"HTTP/1.1", b"HTTP/1.2")
    assert converse(server.port, [newer, LAST]) == converse(server.port, [user_request(), LAST])


def test_options_of_the_whole_server_is_answered(server: Server) -> None:
    """RFC 9110 §9.3.7"""
    received = converse(server.port, [request("*", method="OPTIONS"), LAST])
    assert statuses(received) == [204, 200]
    assert b"\r\nallow: GET, HEAD, OPTIONS\r\n" in received


def test_an_absolute_target_is_the_same_request(server: Server) -> None:
    """RFC 9112 §3.2.2"""
    absolute = user_request().replace(b"GET /", b"GET http://y:80/")
    assert converse(server.port, [absolute, LAST]) == converse(server.port, [user_request(), LAST])


@pytest.mark.parametrize(
    "asked", [user_request(), user_request(ENTRY_URL, "Range: bytes=0-3"), request("/x")]
)
def test_a_client_that_shuts_its_sending_side_down_gets_its_answers(
    server: Server, asked: bytes
) -> None:
    """RFC 9112 §9.6"""
    received = converse(server.port, [asked * 40], shut=True)
    assert len(statuses(received)) == 40


def test_half_a_request_and_the_end_is_no_request(server: Server) -> None:
    assert converse(server.port, [user_request(), LAST[:-2]], shut=True) == converse(
        server.port, [user_request()], shut=True
    )


def test_a_refused_client_that_goes_on_sending_sees_why(server: Server) -> None:
    """RFC 9112 §9.6: a close in one step would reset the connection."""
    endless = [b"GET / HTTP/1.1\r\nHost: x\r\nA: ", *[bytes(b"a" * 65536)] * 8]
    assert statuses(converse(server.port, endless)) == [431]


def test_a_100_comes_before_the_body_and_only_then(server: Server) -> None:
    """RFC 9110 §10.1.1"""
    asked = request(LIVE, "Expect: 100-continue", "Content-Length: 2", "Connection: close")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(asked)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ab")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert b"100 Continue" not in converse(server.port, [asked + b"ab"])


def test_a_small_answer_arrives_in_one_piece(server: Server) -> None:
    """A server that is killed between two writes would leave a proxy with half an answer."""
    for asked, end in ((user_request(), b"};"), (request(LIVE, method="HEAD"), b"\r\n\r\n")):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            for _ in range(100):
                connection.sendall(asked)
                assert connection.recv(65536).endswith(end)


def test_a_client_that_resets_harms_nobody(server: Server) -> None:
    for _ in range(50):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(user_request() * 3)
        connection.close()
    assert server.get(LIVE).status == 200
    assert "Traceback" not in "".join(server.output)
