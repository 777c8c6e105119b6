"""A request as it was read (RFC 9112 §3, §5). Pure."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from gateway.http.heads import Field

Fields = list[Field]

# RFC 9112 §3.2 and RFC 3986 §3.2.2: a name, an IPv4 address or an IP literal, and a port.
HOST = re.compile(rb"(?:[\w.~%!$&'()*+,;=-]*|\[[0-9A-Fa-fv:.]+\])(?::[0-9]*)?", re.ASCII)


@dataclass(slots=True)
class Request:
    """A whole request."""

    method: bytes
    raw_path: bytes
    query_string: bytes
    headers: dict[bytes, bytes]
    """The fields by name in lower case; the last value of a repeated field. Not to be changed:
    requests with the same fields may share it."""
    repeated: Fields | None = None
    """All fields in the order in which they came, if one of them is repeated."""
    version: str = "1.1"
    """`1.0` or `1.1`; a later 1.x is read as 1.1 (RFC 9110 §2.5)."""
    keeps_alive: bool = True
    """Whether the client may send another request on this connection."""
    has_body: bool = False
    body: bytes = b""
    field_lines: bytes = field(default=b"", repr=False, compare=False)
    """All fields as they were received, if PlainHeads has read them."""

    @property
    def fields(self) -> Fields:
        """The fields in the order in which they came, without trailers. Names in lower case."""
        return list(self.headers.items()) if self.repeated is None else self.repeated

    @property
    def path(self) -> str:
        """Decoded, as ASGI's `path`."""
        return unquote(self.raw_path.decode("ascii"))
