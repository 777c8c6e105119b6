"""A proxy that changes one byte of some answers."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.server import Server

# In the comment with which the scripts of the tests begin: what is changed would still run.
_PLACE = 5


class Flipping:
    """Passes requests on, and changes one byte of the answers to some."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port = port
        self.upstream = upstream
        self.flipped = ""
        """The end of the paths whose content is changed; empty: of none."""
        self.scripts: list[str] = []
        """Paths that were asked for by script elements and preloading links."""


@contextmanager
def flipping_before(server: Server) -> Iterator[Flipping]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Sec-Fetch-Dest"] == "script":  # not by the page's fetch
                flipping.scripts.append(self.path.partition("?")[0])
            fields = {**dict(self.headers), "Accept-Encoding": ""}
            with closing(HTTPConnection("127.0.0.1", flipping.upstream)) as upstream:
                upstream.request(self.command, self.path, headers=fields)
                answer = upstream.getresponse()
                content = answer.read()
            path = self.path.partition("?")[0]
            if flipping.flipped and path.endswith(flipping.flipped):
                content = content[:_PLACE] + bytes([content[_PLACE] ^ 1]) + content[_PLACE + 1 :]
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(name, value)
            if answer.status != 304:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_OPTIONS = do_GET  # noqa: N815 (http.server's names)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        flipping = Flipping(listener.server_address[1], server.port)
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield flipping
        finally:
            listener.shutdown()
            thread.join()
