"""A server that writes down what a proxy sends, byte for byte."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ANSWER = b"HTTP/1.1 200 OK\r\nX-Plugin-Tree: -\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_DEADLINE_S = 5.0


class Recorder:
    """Answers each request with an empty 200, on a connection of its own."""

    def __init__(self, listener: socket.socket, answer: bytes = _ANSWER) -> None:
        """`answer`: if it is empty, the connection ends without an answer, as if the server had
        been killed.
        """
        self._listener = listener
        self._answer = answer
        self.port = int(listener.getsockname()[1])
        self.requests: list[bytes] = []

    def run(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(_DEADLINE_S)
                request = _request(connection)
                if request.startswith(b"GET /-/live "):  # a proxy that looks whether it is alive
                    connection.sendall(_ANSWER)
                elif request:
                    self.requests.append(request)
                    connection.sendall(self._answer)


def _request(connection: socket.socket) -> bytes:
    """The head, the body and the trailers, or what came of them before the deadline."""
    received = b""
    with contextlib.suppress(TimeoutError):
        while not is_whole(received) and (chunk := connection.recv(65536)):
            received += chunk
    return received


def is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if b"transfer-encoding: chunked" in lines:
        last = body.startswith(b"0\r\n") or b"\r\n0\r\n" in body
        return last and body.endswith(b"\r\n\r\n")
    (length,) = [int(line[16:]) for line in lines if line.startswith(b"content-length: ")] or [0]
    return bool(end) and len(body) >= length


@contextmanager
def recording(answer: bytes = _ANSWER) -> Iterator[Recorder]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recorder = Recorder(listener, answer)
        thread = threading.Thread(target=recorder.run, daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(_DEADLINE_S)
