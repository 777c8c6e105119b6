"""The gateway's whole idea: who asks, what they installed, which version they have, its file.

    JWT_SECRET=... python docs/explanation/minimal.py plugins sqlite:///gateway.db 8000

architecture.md begins with it; tests/test_architecture.py holds it against the gateway.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import orjson
import uvicorn
from cachetools import TTLCache
from databases import Database
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

VERSIONS = "SELECT plugin_slug, version FROM plugin WHERE user_id = :user AND enabled"


def create_app(plugins: Path, database_url: str, jwt_secret: str, ttl_s: float = 10.0) -> Starlette:
    """An ASGI application. `plugins` holds `users/` and `shared/`."""
    database = Database(database_url)
    installed: TTLCache[str, frozenset[str]] = TTLCache(maxsize=100_000, ttl=ttl_s)
    versions: TTLCache[str, dict[str, str]] = TTLCache(maxsize=100_000, ttl=ttl_s)

    async def serve(request: Request) -> FileResponse:
        user = identify(request)
        slug, path = request.path_params["slug"], request.path_params["path"]
        if user not in installed:
            installed[user] = read_installed(user)
        if user not in versions:
            rows = await request.app.state.connection.fetch_all(VERSIONS, {"user": user})
            versions[user] = {row["plugin_slug"]: row["version"] for row in rows}
        if slug not in installed[user] or slug not in versions[user]:
            raise HTTPException(404)
        folder = plugins / "shared" / slug / f"v{versions[user][slug]}"
        file = folder / path
        if ".." in file.parts or not file.is_file():
            raise HTTPException(404)
        return FileResponse(file)

    def identify(request: Request) -> str:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            return str(jwt.decode(token, jwt_secret, algorithms=["HS256"])["sub"])
        except (jwt.PyJWTError, KeyError):
            raise HTTPException(401) from None

    def read_installed(user: str) -> frozenset[str]:
        file = plugins / "users" / f"user_{user}" / "installed_plugins.json"
        return frozenset(orjson.loads(file.read_bytes()) if file.is_file() else ())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # One connection is held: `databases` would open one for each query.
        async with database, database.connection() as app.state.connection:
            yield

    route = Route("/api/v1/plugins/{slug}/{path:path}", serve)
    return Starlette(routes=[route], lifespan=lifespan)


if __name__ == "__main__":
    folder, url, port = sys.argv[1:]
    uvicorn.run(create_app(Path(folder), url, os.environ["JWT_SECRET"]), port=int(port))
