"""Status lines and header fields as bytes on the wire (RFC 9112 §4, §5). Pure."""

from collections.abc import Iterable
from http import HTTPStatus

Field = tuple[bytes, bytes]


def status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES = {status: status_line(status) for status in range(100, 600)}


def head_of(fields: Iterable[Field]) -> bytes:
    """Lines of a head (RFC 9112 §5)."""
    return b"".join(piece for name, value in fields for piece in (name, b": ", value, b"\r\n"))
