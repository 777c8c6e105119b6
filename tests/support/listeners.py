"""One gateway behind three listeners.

"ours" is the protocol of `gateway serve`; "long" is the same protocol when nothing is answered at
once; "theirs" is uvicorn's own, for requests that both take.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from gateway import Gateway, create_app
from gateway.hot_path.access_log import AccessLog
from gateway.hot_path.front import Front
from gateway.hot_path.protocol import protocol_for
from gateway.processes.server import uvicorn_options
from gateway.settings import load_settings
from tests.support import sockets
from tests.support.scrapes import hot_answers
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.sockets import LAST, converse
from tests.support.urls import own
from tests.support.waiting import eventually

ENTRY_URL = own("Review")
CREDENTIALS = {user: bearer(user)["Authorization"] for user in (ADA, BEN)}


class Counted:
    """The gateway; counts how often a server calls it as an application."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        await self.gateway(scope, receive, send)


class AnswersNothing:
    """What a connection asks at first: it sends every request to the application."""

    def __init__(self, front: Front) -> None:
        self.counts = front.counts
        self.request_ids = front.request_ids

    def answer_hot(self, *_: object) -> None:
        return None


class AnswersLater:
    """The gateway; nothing is answered at once."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._gateway.front.answer_cold(scope, receive, send)


@dataclass(slots=True)
class Running:
    """The listeners' sockets, and what they share."""

    app: Counted
    ours: uvicorn.Server
    sockets: dict[str, socket.socket] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Of "ours"."""
        return int(self.sockets["ours"].getsockname()[1])

    def ask(self, whose: str, *pieces: bytes) -> bytes:
        """What comes back on one connection, without Date. The last piece must end it."""
        return converse(self.sockets[whose].getsockname()[1], pieces)

    def at_once(self) -> int:
        """Requests that were answered at once."""
        return hot_answers(self.app.gateway).total()

    def warm(self, asked: bytes) -> None:
        """Asks until the request is answered at once: encoded variants may come in between."""
        before = self.at_once()

        def answered_hot() -> int:
            self.ask("ours", asked, LAST)
            return self.at_once() - before

        eventually(answered_hot, bool)


@contextmanager
def three_listeners(
    site: Site, access_log: AccessLog | None = None, **environment: str
) -> Iterator[Running]:
    """`access_log`: of "ours"."""
    settings = load_settings(environ={**site.environment, **QUIET, **environment})
    gateway = create_app(settings)
    app = Counted(gateway)
    options: dict[str, Any] = {
        **uvicorn_options(settings),
        "lifespan": "off",
        "timeout_keep_alive": 1,
    }
    protocol = protocol_for(gateway.front, settings.server, access_log)
    slow = protocol_for(AnswersNothing(gateway.front), settings.server)
    ours = uvicorn.Server(uvicorn.Config(app, http=protocol, **options))
    long = uvicorn.Server(uvicorn.Config(AnswersLater(gateway), http=slow, **options))
    theirs = uvicorn.Server(uvicorn.Config(app, http="httptools", **options))
    running = Running(app, ours)
    for name in ("ours", "long", "theirs"):
        running.sockets[name] = socket.create_server(("127.0.0.1", 0))

    async def serve() -> None:
        async with gateway.core.running(follow_changes=False):
            await asyncio.gather(
                ours.serve([running.sockets["ours"]]),
                long.serve([running.sockets["long"]]),
                theirs.serve([running.sockets["theirs"]]),
            )

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield running
    finally:
        ours.should_exit = long.should_exit = theirs.should_exit = True
        thread.join()
        for listener in running.sockets.values():
            listener.close()


def user_request(
    url: str = ENTRY_URL, *fields: str, method: str = "GET", version: str = "1.1", user: str = ADA
) -> bytes:
    """A request of the user, without a body; `fields` are lines."""
    credential = f"Authorization: {CREDENTIALS[user]}"
    return sockets.request(url, credential, *fields, method=method, version=version)
