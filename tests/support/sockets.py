"""What a client of raw bytes sees: no library that tidies up what it sends or receives."""

import re
import socket
from collections.abc import Iterable

_DEADLINE_S = 10.0
_LENGTH = b"content-length:"
_DATE = re.compile(rb"^date: [^\r]*\r\n", re.MULTILINE)


def converse(
    port: int, pieces: Iterable[bytes], *, shut: bool = False, timeout_s: float = _DEADLINE_S
) -> bytes:
    """All that comes back on one connection until the server closes it, without the date.

    `shut`: whether the sending side is shut down after the last piece.
    Raises: TimeoutError, if the server leaves the connection open.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
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
    return _DATE.sub(b"", received)


def statuses(received: bytes) -> list[int]:
    """Of the answers, in order; to requests other than HEAD."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        found.append(int(line.split(b" ")[1]))
        lengths = [int(field.partition(b":")[2]) for field in fields if field.startswith(_LENGTH)]
        received = rest[sum(lengths) :]
    return found
