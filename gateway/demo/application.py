"""The demo's server: a host page, and the gateway mounted in it as a library.

The demo has no login and gives a token to everybody who asks. So it answers only under its own
host names: otherwise another site could let its name resolve to this address (DNS rebinding),
and its pages could read the tokens.
"""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.application import Gateway
from gateway.demo.demo_site import USERS
from gateway.hot_path.front import Answer, Front
from gateway.http.heads import Headers
from gateway.identity.jwt import issue_token
from gateway.settings import Settings

_STATIC = Path(__file__).parent / "static"
_TOKEN_LIFE_S = 12 * 3600
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


class OwnHosts:
    """The values of Host that the demo answers to. Any port is right, since ports may be mapped."""

    def __init__(self, listening: str) -> None:
        names = ["localhost", r"127\.0\.0\.1", r"\[::1\]"]
        if listening in _EVERY_ADDRESS:  # nobody can let an address resolve to another one
            names += [r"[0-9]+(?:\.[0-9]+){3}", r"\[[0-9a-f:.]+\]"]
        else:
            names.append(re.escape(f"[{listening}]" if ":" in listening else listening))
        pattern = rf"(?:{'|'.join(names)})(?::[0-9]+)?"
        self._pattern = re.compile(pattern.encode(), re.IGNORECASE)

    def have(self, headers: Mapping[bytes, bytes]) -> bool:
        return self._pattern.fullmatch(headers.get(b"host", b"")) is not None


class GuardedFront:
    """Takes the hot path only for requests to the demo's own hosts."""

    def __init__(self, front: Front, hosts: OwnHosts) -> None:
        self._front = front
        self._hosts = hosts
        self.answered_later = front.answered_later

    def answer_at_once(self, scope: Scope, headers: Headers) -> Answer | None:
        return self._front.answer_at_once(scope, headers) if self._hosts.have(headers) else None


class HostGuard:
    """Refuses requests to other hosts."""

    def __init__(self, application: ASGIApp, hosts: OwnHosts) -> None:
        self._application = application
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._hosts.have(dict(scope["headers"])):
            await self._application(scope, receive, send)
            return
        content = {
            "detail": "The demo answers only under its own host name, such as localhost",
            "code": "misdirected_request",
        }
        refusal = JSONResponse(content, 421, headers={"Cache-Control": "no-store"})
        await refusal(scope, receive, send)


def create_demo_app(settings: Settings) -> tuple[ASGIApp, GuardedFront]:
    """The application, and the front of the gateway that it mounts."""
    hosts = OwnHosts(settings.server.host)
    gateway = Gateway(settings)

    async def users(_request: Request) -> Response:
        return JSONResponse(_users(settings), headers={"Cache-Control": "no-store"})

    pages = Starlette(
        routes=[
            Route("/", _page),
            Route("/demo/users.json", users),
            Mount("/demo/static", StaticFiles(directory=_STATIC)),
            Mount("/", gateway),
        ],
        lifespan=lambda _app: gateway.running(),
    )
    return HostGuard(pages, hosts), GuardedFront(gateway.front, hosts)


async def _page(_request: Request) -> Response:
    return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})


def _users(settings: Settings) -> dict[str, Any]:
    """The users that a visitor can choose, each with a token: the demo has no login."""
    now = time.time()
    users = [
        {
            "key": user.key,
            "id": user.id,
            "name": user.name,
            "about": user.about,
            "token": issue_token(settings, user.id, _TOKEN_LIFE_S, now),
        }
        for user in USERS
    ]
    return {"api": settings.http.api_prefix, "users": users}
