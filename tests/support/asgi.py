"""Calls an ASGI application in this process, as a server would."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from starlette.types import ASGIApp, Message, Receive

from gateway import Gateway, create_app
from gateway.settings import load_settings
from tests.support.site import ADA, Site, token

Headers = list[tuple[bytes, bytes]]

HANGS_AFTER_S = 120.0
"""More than any scenario takes on a busy machine."""


class Client:
    """Sends requests without a body to one application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.messages: list[Message] = []
        """What the application sent for the last request, also if it raised."""

    async def request(
        self,
        path: str,
        user: str | None = ADA,
        *,
        coding: bytes = b"identity",
        extra: Headers | None = None,
        extensions: dict[str, Any] | None = None,
        method: str = "GET",
        query: bytes = b"",
    ) -> list[Message]:
        headers: Headers = [(b"host", b"gateway"), (b"accept-encoding", coding)]
        if user is not None:
            headers.append((b"authorization", _bearer(user)))
        messages = self.messages = []

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": query,
                "root_path": "",
                "headers": [*headers, *(extra or [])],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 2),
                "extensions": extensions or {},
            },
            _no_body(),
            send,
        )
        return messages


def _no_body() -> Receive:
    """The client sends nothing, and never disconnects."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    return receive


@cache
def _bearer(user: str) -> bytes:
    return f"Bearer {token(user)}".encode()


def with_gateway(
    site: Site, scenario: Callable[[Gateway, Client], Awaitable[None]], **environment: str
) -> None:
    async def main() -> None:
        gateway = create_app(load_settings(environ={**site.environment, **environment}))
        async with gateway.running(), asyncio.timeout(HANGS_AFTER_S):
            await scenario(gateway, Client(gateway))

    asyncio.run(main())


def body(messages: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages[1:])


def status(messages: list[Message]) -> int:
    return int(messages[0]["status"])


def fields(messages: list[Message]) -> dict[bytes, bytes]:
    return dict(messages[0]["headers"])
