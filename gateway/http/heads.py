"""Header fields, and the head of an answer as it is written on the wire (RFC 9112 §4, §5). Pure."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

Field = tuple[bytes, bytes]
HeaderFields = tuple[Field, ...]
Headers = Mapping[bytes, bytes]
"""The fields of a request by name in lower case. The values of a repeated field are joined by ", "
(RFC 9110 §5.3). No user id and no token has such a separator: a repeated credential proves nothing.
"""


class Head(NamedTuple):
    """Status and fields of an answer, made once and sent many times."""

    status: int
    fields: HeaderFields
    lines: bytes
    """The fields as they are sent."""

    @classmethod
    def of(cls, status: int, fields: HeaderFields) -> "Head":
        return cls(status, fields, field_lines(fields))


def field_lines(fields: Iterable[Field]) -> bytes:
    return b"".join(piece for name, value in fields for piece in (name, b": ", value, b"\r\n"))


def joined_headers(scope: Mapping[str, Any]) -> Headers:
    """The header fields of an ASGI scope."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) == len(scope["headers"]):
        return headers
    joined: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}
