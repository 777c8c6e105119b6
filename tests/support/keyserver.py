"""An identity provider's key set, published by a real HTTP server on a free port."""

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class KeyServer:
    """Tests may change its answers while it runs."""

    def __init__(self) -> None:
        self.document: bytes | None = b""
        """None: the connection is closed without an answer."""
        self.status = 200
        self.fetches = 0
        self.open_gate = threading.Event()
        """Answers wait until it is set."""
        self.open_gate.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def publish(self, *keys: dict[str, Any]) -> None:
        self.document = json.dumps({"keys": keys}).encode()

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """From now on connections are refused."""
        self.open_gate.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.fetches += 1
                keys.open_gate.wait(10)
                if keys.document is None:
                    self.close_connection = True
                    return
                with contextlib.suppress(OSError):  # the client has given up
                    self.send_response(keys.status)
                    self.send_header("Content-Length", str(len(keys.document)))
                    self.end_headers()
                    self.wfile.write(keys.document)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@contextmanager
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
