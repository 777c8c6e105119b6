"""A client of raw bytes: no library tidies up what it sends or receives."""

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_DEADLINE_S = 10.0
_LENGTH = b"content-length:"
_MOMENTARY = re.compile(rb"^(?:date|x-request-id): [^\r]*\r\n", re.MULTILINE)


def converse(
    port: int, pieces: Iterable[bytes], *, shut: bool = False, keep_all: bool = False
) -> bytes:
    """Everything that the server sends on one connection until it closes it, without what differs
    from one answer to the next: Date and X-Request-ID. `keep_all`: with them.

    `shut`: whether the sending side is shut down after the last piece.
    Raises: TimeoutError, if the server leaves the connection open.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
            if shut:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused already: the answer says why
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received if keep_all else _MOMENTARY.sub(b"", received)


def statuses(received: bytes) -> list[int]:
    """The status of each answer, in order. No answer may be to a HEAD request."""
    numbers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        numbers.append(int(line.split(b" ")[1]))
        lengths = [int(field.partition(b":")[2]) for field in fields if field.startswith(_LENGTH)]
        received = rest[sum(lengths) :]
    return numbers


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer, byte for byte."""

    status: int
    phrase: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes


def request(
    target: str = "/-/live", *fields: str, method: str = "GET", version: str = "1.1"
) -> bytes:
    """A request without a body; `fields` are lines."""
    lines = (f"{method} {target} HTTP/{version}", "Host: x", *fields, "", "")
    return "\r\n".join(lines).encode()


LAST = request("/-/live", "Connection: close")
"""Ends the connection once what came before it was answered."""


def exchange(
    port: int, method: str, target: str, fields: Mapping[str, str], body: bytes = b""
) -> RawAnswer:
    """The answer to one request, on a connection that the fields end."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    received = converse(port, ["\r\n".join([*lines, "", ""]).encode() + body], keep_all=True)
    head, _, content = received.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    _, status, phrase = line.split(b" ", 2)
    split = [field.partition(b": ") for field in rest]
    return RawAnswer(int(status), phrase, [(name, value) for name, _, value in split], content)
