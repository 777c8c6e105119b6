"""The head of an answer goes out together with the beginning of its body."""

import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.joined_writes import JoiningTransport
from tests.support.server import Server
from tests.support.site import ADA, Site, bearer
from tests.support.urls import own

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = bytes(100_000)


class Recorder:
    """What a transport was told to do."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def write(self, content: bytes) -> None:
        self.told.append(content)

    def close(self) -> None:
        self.told.append("close")

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


END = object()


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        ([HEAD, b"body", END], [HEAD + b"body"]),
        ([HEAD, b"one", b"two", END], [HEAD + b"one", b"two"]),
        ([HEAD, b"", END], [HEAD]),
        ([HEAD, END], [HEAD]),  # HEAD: uvicorn writes no body at all
        ([HEAD, LARGE, END], [HEAD, LARGE]),
        ([HEAD, b"a", END, HEAD, b"b", END], [HEAD + b"a", HEAD + b"b"]),
        ([HEAD, b"a", HEAD, b"HTTP/1.1 1", END], [HEAD + b"a", HEAD, b"HTTP/1.1 1"]),
        ([CONTINUE, HEAD, b"a"], [CONTINUE, HEAD + b"a"]),
        ([HEAD, "close"], [HEAD, "close"]),  # the application failed after the head
        ([HEAD, b"a", "close", END], [HEAD + b"a", "close"]),
    ],
)  # fmt: skip
def test_what_is_written_when(done: list[Any], expected: list[Any]) -> None:
    recorder = Recorder()
    transport = JoiningTransport(recorder)  # type: ignore[arg-type]
    for step in done:
        if step is END:
            transport.end_answer()
        elif step == "close":
            transport.close()
        else:
            transport.write(step)
    assert recorder.told == expected


def test_all_else_is_the_transports_own() -> None:
    transport = JoiningTransport(Recorder())  # type: ignore[arg-type]
    assert transport.get_extra_info("peername") == "the peername"
    assert transport.is_closing() is False


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="loopback of Linux")
def test_a_small_answer_arrives_in_one_piece(site: Site, server: Server) -> None:
    credential = bearer(ADA)["Authorization"]
    for method, end in (("GET", b"};"), ("HEAD", b"\r\n\r\n")):
        request = (
            f"{method} {own('Review')} HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            for _ in range(200):
                connection.sendall(request)
                assert connection.recv(65536).endswith(end)
