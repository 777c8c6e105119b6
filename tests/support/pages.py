"""Serves pages of another origin than the gateway's, from this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple


class Page(NamedTuple):
    media_type: str
    text: str
    policy: str
    """Its Content-Security-Policy."""


@contextmanager
def serving_pages(answer: Callable[[str], Page]) -> Iterator[str]:
    """The URL, with the host name localhost. `answer`: the page for a request's target."""

    class Connection(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = answer(self.path)
            self.send_response(200)
            self.send_header("Content-Type", page.media_type)
            self.send_header("Content-Security-Policy", page.policy)
            self.end_headers()
            self.wfile.write(page.text.encode())

        def log_message(self, *_arguments: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Connection) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()
