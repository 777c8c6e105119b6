"""The design's sequence without caches, as one writes it at first: every request verifies the
token, reads the user's JSON, asks the database, builds the path, and returns a FileResponse.

Written to be fast for what it is: one database connection is held (a new one for each query,
as `databases` does by itself, costs about three times as much), the JSON is read with orjson.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import jwt
import orjson
from databases import Database
from databases.core import Connection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from benchmarks.processes import Command, uvicorn_command
from benchmarks.serve.contestants.contestant import Served
from benchmarks.site import SLUG, asset_path

_QUERY = "SELECT version FROM plugin WHERE user_id = :user AND plugin_slug = :slug AND enabled"
_SECRET, _PLUGINS, _DATABASE = (
    f"BENCHMARKS_{name}" for name in ("JWT_SECRET", "PLUGINS", "DATABASE")
)


class Uncached:
    name = "uncached"
    about = "token, JSON, query and FileResponse for every request, no caches"

    def missing(self) -> str | None:
        return None

    def command(self, site: Served, port: int) -> Command:
        return uvicorn_command(
            "benchmarks.serve.contestants.uncached:create_app",
            port,
            {_SECRET: site.secret, _PLUGINS: str(site.plugins), _DATABASE: str(site.database)},
        )

    def path(self, size_bytes: int) -> str:
        return f"/plugins/{SLUG}/{asset_path(size_bytes)}"


def create_app() -> ASGIApp:
    files = UncachedFiles(os.environ[_SECRET], Path(os.environ[_PLUGINS]))
    database = Database(f"sqlite:///{os.environ[_DATABASE]}")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with database, database.connection() as connection:
            files.connection = connection
            yield

    route = Route("/plugins/{slug}/{path:path}", files.answer)
    return Starlette(routes=[route], lifespan=lifespan)


class UncachedFiles:
    """The sequence; `connection` is set while the application runs."""

    connection: Connection

    def __init__(self, secret: str, plugins: Path) -> None:
        self._secret = secret
        self._plugins = plugins

    async def answer(self, request: Request) -> FileResponse:
        slug = request.path_params["slug"]
        user = self._verified_user(request)
        if slug not in await self._installed(user):
            raise HTTPException(404)
        version = await self.connection.fetch_val(_QUERY, {"user": user, "slug": slug})
        if version is None:
            raise HTTPException(404)
        folder = self._plugins / "shared" / slug / f"v{version}"
        path = folder / request.path_params["path"]
        if ".." in path.parts:
            raise HTTPException(404)
        return FileResponse(path)

    def _verified_user(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401)
        try:
            user: str = jwt.decode(token, self._secret, algorithms=["HS256"])["sub"]
        except jwt.PyJWTError:
            raise HTTPException(401) from None
        return user

    async def _installed(self, user: str) -> dict[str, object]:
        path = self._plugins / "users" / f"user_{user}" / "installed_plugins.json"
        try:
            content = await anyio.Path(path).read_bytes()
        except FileNotFoundError:
            return {}
        installed: dict[str, object] = orjson.loads(content)
        return installed
