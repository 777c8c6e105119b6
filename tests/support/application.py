"""A stand-in for the application beside the gateway: `python -m tests.support.application`.

It answers each request with the request, as JSON, and echoes websockets at `/ws`. It is as trusting
as many servers: after a request with Upgrade it takes the body for the next request.
"""

import base64
import hashlib
import json
import socketserver
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase

from tests.support.server import Server, listening

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ANSWERED_BY = "x-answered-by"
_lines: list[str] = []
"""The first line of each request so far."""


@contextmanager
def serving_application() -> Iterator[Server]:
    with listening({}, "-m", __name__) as server:
        yield server


def requests_of(application: Server) -> list[str]:
    """`METHOD TARGET VERSION` of each request so far."""
    lines: list[str] = application.get("/requests").json
    return lines


def accept_for(key: bytes) -> bytes:
    """RFC 6455 §4.2.2."""
    return base64.b64encode(hashlib.sha1(key + _MAGIC).digest())


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            if line.count(b" ") == 2:  # as lenient as can be: it skips what is no request line
                fields = dict(self._fields())
                _lines.append(line.decode("latin-1").strip())
                method, target, _ = line.decode("latin-1").split(" ", 2)
                if "upgrade" in fields and target == "/ws":
                    self._echo(fields["sec-websocket-key"].encode())
                    return
                body = b"" if "upgrade" in fields else _body(self.rfile, fields)
                self._answer(method, target, fields, body)

    def _fields(self) -> Iterator[tuple[str, str]]:
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()

    def _answer(self, method: str, target: str, fields: dict[str, str], body: bytes) -> None:
        echo = {
            "method": method,
            "target": target,
            "fields": fields,
            "body": body.decode("latin-1"),
        }
        content = json.dumps(_lines if target == "/requests" else echo).encode()
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nX-Answered-By: application\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(content) + (b"" if method == "HEAD" else content)
        )

    def _echo(self, key: bytes) -> None:
        """Frames of up to 125 bytes."""
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_for(key)
        )
        while head := self.rfile.read(2):
            mask = self.rfile.read(4)
            masked = self.rfile.read(head[1] & 0x7F)
            payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
            self.wfile.write(struct.pack("!BB", head[0], len(payload)) + payload)


def _body(file: BufferedIOBase, fields: dict[str, str]) -> bytes:
    if fields.get("transfer-encoding") != "chunked":
        return file.read(int(fields.get("content-length", 0)))
    body = b""
    while size := int(file.readline() or b"0", 16):
        body += file.read(size)
        file.readline()
    file.readline()
    return body


class _Application(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    with _Application(("127.0.0.1", 0), _Connection) as server:
        print(f"running on http://127.0.0.1:{server.server_address[1]} ", flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
