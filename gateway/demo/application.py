"""The demo's server: a host page, and the gateway mounted in it as a library."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.application import create_app
from gateway.demo.site import USERS
from gateway.identity.jwt import issue_token
from gateway.settings import Settings

_STATIC = Path(__file__).parent / "static"
_TOKEN_LIFE_S = 12 * 3600


def create_demo_app(settings: Settings) -> Starlette:
    gateway = create_app(settings)

    async def page(_request: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def users(_request: Request) -> Response:
        """The users to choose from, each with a token: a demo has no login."""
        now = time.time()
        return JSONResponse(
            {
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
            },
            headers={"Cache-Control": "no-store"},
        )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    return Starlette(
        routes=[
            Route("/", page),
            Route("/demo/users.json", users),
            Mount("/demo/static", StaticFiles(directory=_STATIC)),
            Mount("/", gateway),
        ],
        lifespan=lifespan,
    )
