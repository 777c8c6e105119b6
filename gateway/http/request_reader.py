"""Bytes in, requests out: HTTP/1.1 according to RFC 9112, without a socket or a clock.

httptools (llhttp, strict) parses. This module decides what the parser gets, and what to accept.
What `PlainHeads` can read does not go through the parser.

Rule 1. The parser gets one message at a time. A head ends with an empty line. A chunked body ends
with an empty line too, after its trailers; a body with a length ends by count. So the bytes are cut
there, and those of the next message are parsed when this one is answered.
Rule 2. A message that can be read in two ways is refused, and nothing after it is read. A message
with `Upgrade` is the last one of its connection: other software may read what follows it as
something other than requests.

The reader holds at most one unfinished message of bounded size, and the bytes that came with it.
"""

import re
from enum import Enum

import httptools

from gateway.errors import (
    BadRequest,
    ContentTooLarge,
    HeadTooLarge,
    RequestError,
    TransferCodingUnknown,
)
from gateway.http.plain_heads import PlainHeads
from gateway.http.request import HOST, Fields, Request

MAX_BODY_BYTES = 16 * 1024
"""No endpoint of the gateway takes a larger body."""
MAX_FIELDS = 100
"""Apache allows 100 fields, HAProxy 101; browsers send some 20."""
_EMPTY_LINE = b"\r\n\r\n"
_ABSOLUTE_TARGET = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]+)(/[^?]*)?(\?.*)?")


class Phase(Enum):
    """What the reader waits for."""

    NOTHING = "the first byte of a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"


class RequestReader:
    """Cuts what a client sends into requests.

    After `next_request` has raised, or has returned a request that does not keep the connection
    alive, it must not be called again.
    """

    def __init__(self, max_head_bytes: int, plain_heads: PlainHeads | None = None) -> None:
        """`plain_heads` reads what it can; None: the parser reads everything."""
        self._max_head_bytes = max_head_bytes
        self._plain_heads = plain_heads
        self._last_plain: Request | None = None
        self._fields: Fields = []
        """Fields of the message that is being read, trailers too."""
        # A closure: the parser calls it for each field, and a method would cost half as much again.
        append = self._fields.append
        self.on_header = lambda name, value: append((name.lower(), value))
        self._parser = httptools.HttpRequestParser(self)
        # Versions are checked below: the parser knows no 1.2, and lets 2.0 pass.
        self._parser.set_dangerous_leniencies(lenient_version=True)
        self._data = b""
        self._start = 0
        self._searched = 0
        """No message ends between `_start` and here."""
        self._known_host: bytes | None = None
        self._forget()

    def _forget(self) -> None:
        """Ends one message, and prepares for the next."""
        self._url = b""
        self._fields.clear()
        self._request: Request | None = None
        self._body = bytearray()
        self._has_skipped_line = False
        self._upgrades = False
        self._missing: int | None = None
        """Bytes of a body whose length is known; None: it ends with an empty line."""
        self._is_complete = False
        self._refusal: RequestError | None = None
        """Why one of the methods that the parser calls has stopped it."""

    @property
    def has_unread(self) -> bool:
        """Whether there are bytes that belong to no request yet."""
        return self._start < len(self._data)

    @property
    def phase(self) -> Phase:
        if self._request is not None:
            return Phase.BODY
        return Phase.HEAD if self.has_unread else Phase.NOTHING

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a 100 before it sends the body (RFC 9110 §10.1.1)."""
        request = self._request
        return (
            request is not None
            and not self.has_unread
            and not self._body
            and request.version == "1.1"
            and request.headers.get(b"expect", b"").lower() == b"100-continue"
        )

    def feed(self, data: bytes) -> None:
        """Takes what the client sent."""
        if self._start == len(self._data):
            self._data, self._searched = data, 0
        else:
            self._searched -= self._start
            self._data = self._data[self._start :] + data
        self._start = 0

    def next_request(self) -> Request | None:
        """The next whole request; None: more bytes are needed.

        Raises: BadRequest, HeadTooLarge, ContentTooLarge, TransferCodingUnknown.
        """
        if self._request is None:
            if self._start == len(self._data):
                return None  # no byte of it has arrived
            if self._plain_heads is not None and (request := self._read_plain()) is not None:
                return request
        while not self._is_complete:
            stop = self._end_of_part()
            if stop is None:
                return None
            if self._request is None:
                self._read_head(self._data[self._start : stop])
            else:
                self._read_body(self._data[self._start : stop])
            self._start = self._searched = stop
        request = self._request
        if request is not None and self._body:
            request.body = bytes(self._body)
        self._forget()
        return request

    def _read_plain(self) -> Request | None:
        """What has arrived, if it is one plain head and nothing else."""
        data = self._data
        if self._start or len(data) > self._max_head_bytes or self._plain_heads is None:
            return None
        request = self._plain_heads.read(data, self._last_plain)
        if request is not None:
            self._last_plain = request
            self._start = len(data)
            self._has_skipped_line = False
        return request

    def _end_of_part(self) -> int | None:
        """Where the next bytes for the parser end; None: they have not arrived.

        Raises: HeadTooLarge, ContentTooLarge.
        """
        if self._request is None:
            self._require_a_beginning()
        elif self._missing is not None:
            stop = min(len(self._data), self._start + self._missing)
            return stop if stop > self._start else None
        # An empty line may begin in what was searched already.
        start = self._data.find(_EMPTY_LINE, max(self._start, self._searched - 3))
        stop = len(self._data) if start < 0 else start + len(_EMPTY_LINE)
        if stop - self._start > self._max_head_bytes:
            raise HeadTooLarge if self._request is None else ContentTooLarge
        self._searched = stop
        return None if start < 0 else stop

    def _require_a_beginning(self) -> None:
        """Refuses what is not HTTP/1.1 at its first byte, such as the beginning of TLS.

        One empty line before a request is ignored (RFC 9112 §2.2). Raises: BadRequest.
        """
        data = self._data
        if not self._has_skipped_line:
            if data.startswith(b"\r\n", self._start):
                self._start += 2
                self._has_skipped_line = True
            elif data[self._start :] == b"\r":
                return  # half of an empty line
        first = data[self._start : self._start + 1]
        if first and not first.isalpha():
            raise BadRequest("The request line is malformed")

    def _read_head(self, head: bytes) -> None:
        """Raises: BadRequest, HeadTooLarge, ContentTooLarge, TransferCodingUnknown."""
        if head.count(b"\n") > MAX_FIELDS + 2:
            raise HeadTooLarge
        self._parse(head)
        request = self._request
        if request is None:
            raise BadRequest
        self._check_host(request)
        self._bound_body(request)

    def _read_body(self, part: bytes) -> None:
        """Raises: BadRequest, ContentTooLarge."""
        self._parse(part)
        if self._missing is not None:
            self._missing -= len(part)
        if len(self._body) > MAX_BODY_BYTES:
            raise ContentTooLarge

    def _parse(self, part: bytes) -> None:
        """Raises: BadRequest."""
        try:
            self._parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            pass  # the message is complete, and the last one
        except httptools.HttpParserError:
            raise self._refusal or BadRequest from None

    def _check_host(self, request: Request) -> None:
        """RFC 9112 §3.2. Raises: BadRequest."""
        host = request.headers.get(b"host")
        if host is None:
            if request.version == "1.1":
                raise BadRequest("The field Host is missing")
            return
        if sum(name == b"host" for name, _ in request.repeated or ()) > 1:
            raise BadRequest("The field Host stands twice")
        if host != self._known_host:
            if not HOST.fullmatch(host):
                raise BadRequest("The field Host is malformed")
            self._known_host = host

    def _bound_body(self, request: Request) -> None:
        """RFC 9112 §6. Raises: BadRequest, ContentTooLarge, TransferCodingUnknown."""
        if not request.has_body:
            return
        coding = request.headers.get(b"transfer-encoding")
        if self._upgrades:
            raise BadRequest("A request with Upgrade must have no body")
        if coding is None:
            self._missing = int(request.headers[b"content-length"])
            if self._missing > MAX_BODY_BYTES:
                raise ContentTooLarge
        elif request.version == "1.0":
            raise BadRequest("HTTP/1.0 has no Transfer-Encoding")  # §6.1
        elif coding.lower() != b"chunked":
            raise TransferCodingUnknown

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._request is not None:  # Rule 1 is broken: never a request out of a body
            self._refusal = BadRequest()
            raise self._refusal

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_headers_complete(self) -> None:
        try:
            self._request = self._build_request()
        except BadRequest as refusal:
            self._refusal = refusal
            raise

    def _build_request(self) -> Request:
        """Raises: BadRequest."""
        # Copied: trailers that follow a body are not header fields (RFC 9110 §6.5.1).
        parser, fields = self._parser, self._fields.copy()
        method, version = parser.get_method(), _version(parser.get_http_version())
        raw_path, query_string, authority = _split_target(self._url, method)
        if authority is not None:  # it replaces the field Host (RFC 9112 §3.2.2)
            fields = [(name, authority if name == b"host" else value) for name, value in fields]
        headers = dict(fields)
        self._upgrades = parser.should_upgrade()
        return Request(
            method,
            raw_path,
            query_string,
            headers,
            fields if len(headers) != len(fields) else None,
            version,
            keeps_alive=version == "1.1" and parser.should_keep_alive() and not self._upgrades,
            has_body=headers.get(b"content-length", b"0").strip(b"0") != b""
            or b"transfer-encoding" in headers,
        )

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._is_complete = True


def _version(text: str) -> str:
    """Raises: BadRequest."""
    if text in ("1.1", "1.0"):
        return text
    if text.startswith("1."):
        return "1.1"
    raise BadRequest("Expected HTTP/1.1")


def _split_target(target: bytes, method: bytes) -> tuple[bytes, bytes, bytes | None]:
    """(path, query, authority; None: the target names none), RFC 9112 §3.2.

    Raises: BadRequest.
    """
    if b"#" in target:
        raise BadRequest("A request target has no fragment")
    authority = None
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            return b"*", b"", None
        match = _ABSOLUTE_TARGET.fullmatch(target)
        if match is None or method == b"CONNECT" or not HOST.fullmatch(match[1]):
            raise BadRequest("The request target is malformed")
        authority = match[1]
        target = (match[2] or b"/") + (match[3] or b"")
    raw_path, _, query_string = target.partition(b"?")
    return raw_path, query_string, authority
