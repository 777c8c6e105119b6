"""The server of `gateway demo` and `gateway dev`: a host page, and the gateway mounted in it.

The page has no login and gives a token to everybody who asks. So it answers only under its own
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
from gateway.demo.demo_routes import DemoRoutes
from gateway.demo.demo_site import USERS
from gateway.endpoints.console_page import PALETTE
from gateway.errors import RequestError
from gateway.hot_path.front import Answer, Front
from gateway.http.answers import internal_error, on_request_error
from gateway.http.heads import Headers
from gateway.identity.jwt import issue_token
from gateway.tracing.current_request import CurrentRequest

_STATIC = Path(__file__).parent / "static"
_TOKEN_LIFE_S = 12 * 3600
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " style-src 'self' 'unsafe-inline';"  # the plugins bring their styles along
    " frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


def own_hosts(listening: str) -> re.Pattern[bytes]:
    """The values of Host that the demo answers to. Any port is right, since ports may be mapped."""
    names = ["localhost", r"127\.0\.0\.1", r"\[::1\]"]
    if listening in _EVERY_ADDRESS:  # an address cannot be made to resolve to another one
        names += [r"[0-9]+(?:\.[0-9]+){3}", r"\[[0-9a-f:.]+\]"]
    else:
        names.append(re.escape(f"[{listening}]" if ":" in listening else listening))
    return re.compile(rf"(?:{'|'.join(names)})(?::[0-9]+)?".encode(), re.IGNORECASE)


class HostGuard:
    """Refuses requests to other hosts, on the hot path and behind it."""

    def __init__(self, application: ASGIApp, front: Front, hosts: re.Pattern[bytes]) -> None:
        self._application = application
        self._front = front
        self._hosts = hosts
        self.counts = front.counts
        self.request_ids = front.request_ids

    def answer_hot(
        self, scope: Scope, headers: Headers, logged: CurrentRequest | None = None
    ) -> Answer | None:
        return self._front.answer_hot(scope, headers, logged) if self._is_own(headers) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_own(dict(scope["headers"])):
            await self._application(scope, receive, send)
            return
        content = {
            "detail": "This page answers only under its own host name, such as localhost",
            "code": "misdirected_request",
        }
        refusal = JSONResponse(content, 421, headers={"Cache-Control": "no-store"})
        await refusal(scope, receive, send)

    def _is_own(self, headers: Mapping[bytes, bytes]) -> bool:
        return self._hosts.fullmatch(headers.get(b"host", b"")) is not None


def create_demo_app(gateway: Gateway) -> HostGuard:
    """The host page with the gateway mounted in it; its lifespan is the gateway's.

    Two users' pages stand side by side, and a visitor changes what the users have. If the gateway
    has a plugin in development, nothing can be changed: the page begins with the plugin's
    developer, shows this plugin before others, and is reloaded after each build.
    """
    is_demo = gateway.core.development is None

    async def page_users(_request: Request) -> Response:
        return JSONResponse(_site(gateway), headers={"Cache-Control": "no-store"})

    pages = Starlette(
        routes=[
            Route("/", _page if is_demo else _developers_page),
            Route("/demo/users.json", page_users),
            Route("/demo/static/palette.css", _palette),
            Mount("/demo/static", StaticFiles(directory=_STATIC)),
            *(DemoRoutes(gateway).routes if is_demo else ()),
            Mount("/", gateway),
        ],
        exception_handlers={RequestError: on_request_error, Exception: internal_error},
        lifespan=lambda _app: gateway.running(),
    )
    return HostGuard(pages, gateway.front, own_hosts(gateway.core.settings.server.host))


async def _page(_request: Request) -> Response:
    fields = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    return FileResponse(_STATIC / "index.html", headers=fields)


async def _developers_page(_request: Request) -> Response:
    """Without a policy: what a bundler makes in development may need `eval` and a WebSocket."""
    return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _palette(_request: Request) -> Response:
    return FileResponse(PALETTE)


def _site(gateway: Gateway) -> dict[str, Any]:
    """What the page is about. Each user has a token: the page has no login."""
    settings, plugin, now = gateway.core.settings, gateway.core.development, time.time()
    return {
        "api": settings.http.api_prefix,
        "users": [
            {
                "key": user.key,
                "id": user.id,
                "name": user.name,
                "about": user.about,
                "token": issue_token(settings, user.id, _TOKEN_LIFE_S, now),
            }
            for user in USERS
        ],
        "can_change": plugin is None,
        "developed": None if plugin is None else {"slug": plugin.slug, "user": plugin.user},
    }
