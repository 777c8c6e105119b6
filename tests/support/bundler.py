"""A bundler's dev server, which says what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Bundler:
    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        """Methods and targets."""
        self.end = threading.Event()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@contextmanager
def running_bundler() -> Iterator[Bundler]:
    """It answers with what it was asked as JSON; 404 to /none, 200 MB to /huge, half of an answer
    to /short, nothing to /broken, nothing ever to /hang, and 304 to the ETag that it gives."""
    bundler = Bundler()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            bundler.asked.append(f"{self.command} {self.path}")
            if self.path == "/hang":
                bundler.end.wait()
            if self.path in ("/broken", "/hang"):
                self.close_connection = True
                return
            status = 404 if self.path == "/none" else 200
            if self.headers.get("if-none-match") == '"same"':
                status = 304
            fields = {name.lower(): value for name, value in self.headers.items()}
            body = json.dumps({"target": self.path, "fields": fields}).encode()
            size = {"/huge": 200 * 2**20, "/short": 2 * len(body)}.get(self.path, len(body))
            self.send_response(status)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", "0" if status == 304 else str(size))
            self.send_header("ETag", '"same"')
            self.send_header("Cache-Control", "max-age=31536000, immutable")
            self.send_header("Set-Cookie", "secret=1")
            self.end_headers()
            if self.command == "GET" and status != 304:
                try:
                    self.wfile.write(body)
                    for _ in range(size // 2**20):  # of /huge alone
                        self.wfile.write(b" " * 2**20)
                except OSError:
                    self.close_connection = True
            self.close_connection |= self.path == "/short"

        do_HEAD = do_GET  # noqa: N815 (http.server's names)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    bundler.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield bundler
    finally:
        bundler.end.set()
        server.shutdown()
        server.server_close()
        thread.join()
