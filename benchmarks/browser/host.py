"""Applications with the host page: with the gateway mounted, and as BrainDrive-Core serves files.

The page and its scripts are the same everywhere, in gzip, and kept by browsers.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jwt
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

import gateway.demo
from benchmarks.processes import Command, uvicorn_command
from benchmarks.sites import Site
from gateway import create_app, load_settings

_PAGE = Path(__file__).with_name("host.html")
_SCRIPTS = Path(gateway.demo.__file__).with_name("static")
_SITE, _KEY = "BENCHMARKS_SITE", "BENCHMARKS_KEY"


def mounted_command(site: Site, settings: Mapping[str, str], port: int) -> Command:
    """The host page with the gateway mounted in its application (docs/embedding.md)."""
    config = str((site.folder / "config.toml").absolute())
    environment = {"GATEWAY_CONFIG": config, **site.environment, **settings}
    return uvicorn_command(f"{__name__}:create_mounted", port, environment)


def application_command(site: Site, port: int) -> Command:
    """The host page, manifests and files as the application serves them."""
    environment = {_SITE: str(site.folder.absolute()), _KEY: site.secret}
    return uvicorn_command(f"{__name__}:create_application", port, environment)


class _KeptFiles(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = "max-age=31536000, immutable"
        return response


def _host_routes() -> list[BaseRoute]:
    return [
        Route("/", lambda _request: FileResponse(_PAGE, headers={"Cache-Control": "no-cache"})),
        Mount("/host", GZipMiddleware(_KeptFiles(directory=_SCRIPTS))),
    ]


def create_mounted() -> Starlette:
    mounted = create_app(load_settings())
    routes = [*_host_routes(), Mount("/", mounted)]
    return Starlette(routes=routes, lifespan=lambda _app: mounted.running())


def create_application() -> Starlette:
    """What BrainDrive-Core sends at commit 05116acf: no encodings, no Cache-Control, an ETag of
    time and size, no 304, and URLs without a version.
    """
    folder, secret = Path(os.environ[_SITE]), os.environ[_KEY]
    return Starlette(
        routes=[
            *_host_routes(),
            Route("/api/v1/plugins/manifest/designer", partial(_manifest, folder, secret)),
            Route("/api/v1/public/plugins/{plugin}/{path:path}", partial(_file, folder)),
        ]
    )


def _manifest(folder: Path, secret: str, request: Request) -> Response:
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    user = jwt.decode(token, secret, algorithms=["HS256"])["sub"]
    rows = _rows(folder, "SELECT * FROM plugin WHERE enabled AND user_id = ?", user)
    modules = _rows(folder, "SELECT * FROM module WHERE enabled AND user_id = ?", user)
    for row in rows:
        row["database_id"] = row["id"]
        row["bundlelocation"] = row["bundle_location"]
        row["modules"] = [module for module in modules if module["plugin_id"] == row["id"]]
    return JSONResponse({row["plugin_slug"]: row for row in rows})


def _file(folder: Path, request: Request) -> Response:
    rows = _rows(folder, "SELECT * FROM plugin WHERE id = ?", request.path_params["plugin"])
    for row in rows:
        version = folder / "plugins" / "shared" / row["plugin_slug"] / f"v{row['version']}"
        file = version / request.path_params["path"]
        if ".." not in file.parts and file.is_file():
            return FileResponse(file)
    raise HTTPException(404)


def _rows(folder: Path, query: str, value: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, (value,))]
