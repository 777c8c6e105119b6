"""The head of an answer, and how it is written on the wire (RFC 9112 §4, §5). Pure."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

Field = tuple[bytes, bytes]
HeaderFields = tuple[Field, ...]


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


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}
