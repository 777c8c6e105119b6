"""Asks a server over HTTP, for commands: bounded in bytes and in time, following no redirect.

Nothing is sent but a GET, so that asking an application changes nothing there. Blocking.
"""

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from gateway.errors import GatewayError

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<address>(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?)/?"
)
_SOCKET = re.compile(r"/[^\x00-\x1f]+")
_TIMEOUT_S = 5.0
# An application may ask other servers first. A server that sends a byte now and then ends here too.
_DEADLINE_S = 20.0
_MAX_BODY_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 16


class NoAnswer(GatewayError):
    """The server cannot be reached, or does not answer as HTTP wants it."""


class Connection(http.client.HTTPConnection):
    """To `host:port`, or to the absolute path of a Unix socket."""

    def __init__(self, address: str) -> None:
        self._path = address if address.startswith("/") else None
        super().__init__("localhost" if self._path else address, timeout=_TIMEOUT_S)

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)

    @property
    def server(self) -> tuple[str, int | None]:
        """The other end, as the server itself knows it. Raises: OSError."""
        peer = self.sock.getpeername()
        return (peer, None) if isinstance(peer, str) else (peer[0], peer[1])


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens."""

    address: str
    """`host`, `host:port`, or the absolute path of a Unix socket."""
    has_tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """A URL without a path, or the absolute path of a Unix socket. Raises: ValueError."""
        if _SOCKET.fullmatch(text):
            return cls(text)
        match = _URL.fullmatch(text)
        if match is None or not 0 < int(match["port"] or 80) < 65536:
            raise ValueError(
                f"{text!r}: expected a URL such as http://127.0.0.1:8005, without a path"
            )
        return cls(match["address"], match["scheme"] == "https")

    def __str__(self) -> str:
        if self.address.startswith("/"):
            return self.address
        return f"{'https' if self.has_tls else 'http'}://{self.address}"

    def ask(self, target: str, fields: Mapping[str, str] | None = None) -> "Answer":
        """The answer to a GET, on a connection of its own. Raises: NoAnswer."""
        with closing(self._connection()) as connection:
            return ask(connection, target, fields)

    def _connection(self) -> http.client.HTTPConnection:
        if self.has_tls:
            return http.client.HTTPSConnection(self.address, timeout=_TIMEOUT_S)
        return Connection(self.address)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole, without content coding."""

    status: int
    fields: Mapping[str, str]
    """By names in lower case. Values of a repeated field are joined (RFC 9110 §5.3)."""
    body: bytes

    @property
    def digest(self) -> str:
        return sha256(self.body).hexdigest()

    @property
    def content_type(self) -> str:
        """In one spelling: lower case, no spaces."""
        return "".join(self.fields.get("content-type", "").lower().split())


def ask(
    connection: http.client.HTTPConnection, target: str, fields: Mapping[str, str] | None = None
) -> Answer:
    """The answer to a GET of `target`, as it is written. Raises: NoAnswer."""
    try:
        if connection.sock is None and connection.auto_open:
            connection.connect()
        with _broken_off_at_deadline(connection.sock):
            connection.request(
                "GET", target, headers={"Accept-Encoding": "identity", **(fields or {})}
            )
            response = connection.getresponse()
            body = _read(response)
    except (OSError, ValueError, http.client.HTTPException) as error:
        connection.close()
        raise NoAnswer(_reason(error)) from None
    received: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        received.setdefault(name.lower(), []).append(value)
    joined = {name: ", ".join(values) for name, values in received.items()}
    return Answer(response.status, joined, body)


def _read(response: http.client.HTTPResponse) -> bytes:
    """Raises: OSError, HTTPException."""
    body = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise OSError(f"it sent more than {_MAX_BODY_BYTES >> 20} MiB")
    if response.length:  # read() with a size does not tell a body that ends early
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(body)


@contextmanager
def _broken_off_at_deadline(connected: socket.socket | None) -> Iterator[None]:
    """A timeout of the socket counts from the last byte. This one counts from the beginning."""

    def break_off() -> None:
        with suppress(OSError):
            if connected is not None:
                connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_DEADLINE_S, break_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_S:.0f} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return "it ended the connection before the end of its answer"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"it does not speak HTTP/1.1 ({type(error).__name__})"
