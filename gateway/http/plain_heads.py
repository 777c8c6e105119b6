"""Heads of GETs that anybody would read in the same way, read without the parser. Pure.

Browsers and proxies send the same field lines in one request after the other. The meaning of a
line does not depend on the lines around it, so it is remembered: a head with 15 fields takes 5 µs
to read, and 7 µs through the parser, which calls Python for each field (request_reader.py).

Only what has one meaning is read here: visible ASCII, one space behind the colon, each name once.
A field that says where the message or the connection ends is left to the parser, and so is
whatever is odd. The parser, asked in its place, would give the same request.
"""

import re

from gateway.http.heads import Field
from gateway.http.request import HOST, Request

_END = b"\r\n"
_EMPTY_LINE = b"\r\n\r\n"
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([!-~](?:[ -~]*[!-~])?)")
_TARGET = re.compile(rb"/[!\"$-~]*")
# Of these the parser decides where the message ends, and whether the connection stays open.
_OF_FRAMING = {
    b"content-length",
    b"expect",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
}
# What browsers repeat. Lines of other fields are read each time, for 1 µs: they may be credentials
# of this server or of another, or hold one, as a URL in Referer does.
_REPEATED = {
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"cache-control",
    b"connection",
    b"host",
    b"if-none-match",
    b"origin",
    b"pragma",
    b"priority",
    b"user-agent",
    b"via",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-proto",
}
# 4,096 lines of 200 bytes take 3 MiB. Whoever sends many different lines empties the table: then
# each line is read once more.
_MOST_LINES = 4096
_LONGEST_REMEMBERED = 200


class PlainHeads:
    """Reads plain heads. One object for all connections of a worker."""

    def __init__(self, most_fields: int) -> None:
        self._most_fields = most_fields
        self.known = _FieldLines()
        """Fields by their lines."""

    def read(self, data: bytes, before: Request | None = None) -> Request | None:
        """The request, if `data` is exactly one plain head; None: the parser must read it.

        `before`: the last request of the connection that was read here. A browser's next request
        often differs only in its target, and then takes 1 µs.
        """
        if not data.startswith(b"GET /") or not data.endswith(_EMPTY_LINE):
            return None
        request_line, _, field_lines = data[:-4].partition(_END)
        target = request_line[4:-9]
        if not request_line.endswith(b" HTTP/1.1") or not _TARGET.fullmatch(target):
            return None
        if before is not None and before.field_lines == field_lines:
            headers = before.headers
        else:
            read = self._read_fields(field_lines.split(_END))
            if read is None:
                return None
            headers = read
        path, _, query = target.partition(b"?")
        return Request(b"GET", path, query, headers, field_lines=field_lines)

    def _read_fields(self, lines: list[bytes]) -> dict[bytes, bytes] | None:
        if len(lines) > self._most_fields:
            return None
        try:
            headers = dict(map(self.known.__getitem__, lines))
        except KeyError:
            return None
        return headers if len(headers) == len(lines) and b"host" in headers else None


class _FieldLines(dict[bytes, Field]):
    """Fields by their lines, without the end of the line. KeyError: the line is not plain."""

    def __missing__(self, line: bytes) -> Field:
        match = _LINE.fullmatch(line)
        if match is None:
            raise KeyError
        name, value = match[1].lower(), match[2]
        if (
            name in _OF_FRAMING
            or (name == b"connection" and value.lower() != b"keep-alive")
            or (name == b"host" and not HOST.fullmatch(value))
        ):
            raise KeyError
        is_repeated = name in _REPEATED or name.startswith(b"sec-")
        if is_repeated and len(line) <= _LONGEST_REMEMBERED:
            if len(self) == _MOST_LINES:
                self.clear()
            self[line] = name, value
        return name, value
