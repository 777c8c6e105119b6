"""ASGI applications that uvicorn starts to be measured, and the commands that start them.

A factory gets its arguments as JSON in one environment variable, for it runs in another process.
"""

import asyncio
import importlib
import importlib.util
import json
import os
import pickle
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.client import Answer
from benchmarks.processes import Command, uvicorn_command
from gateway import create_app as create_gateway

COUNTS_PATH = "/-/benchmarks/counts"
_MINIMAL = Path(__file__).parents[1] / "docs" / "explanation" / "minimal.py"
_MINIMAL_TTL_S = 3600.0
_ARGUMENTS = "BENCHMARKS_ARGUMENTS"
_QUERY = "SELECT version FROM plugin WHERE user_id = :user AND plugin_slug = :slug AND enabled"


def app_command(factory: str, port: int, arguments: Mapping[str, str], *options: str) -> Command:
    """uvicorn with a factory of this module, which gets the arguments."""
    environment = {_ARGUMENTS: json.dumps(dict(arguments))}
    return uvicorn_command(f"{__name__}:{factory}", port, environment, *options)


def plain_app_command(factory: str, port: int, **arguments: str) -> Command:
    """Without a lifespan every scope is a request, and the application need not look."""
    return app_command(factory, port, arguments, "--lifespan", "off")


def counting_gateway_command(environment: Mapping[str, str], port: int) -> Command:
    return uvicorn_command(f"{__name__}:create_counting_gateway", port, environment)


def _arguments() -> dict[str, str]:
    arguments: dict[str, str] = json.loads(os.environ[_ARGUMENTS])
    return arguments


# The bare application: it sends the gateway's bytes and fields, and does nothing else.


def bare_command(answer: Answer, port: int, folder: Path) -> Command:
    """One process for one answer: a choice between answers would be a cost of its own."""
    return _bare_command("create_bare", _prepared(answer), port, folder)


def bare_pages_command(answers: Mapping[str, Answer], port: int, folder: Path) -> Command:
    """Answers by path. All of one status: a look at the request's fields would be a cost."""
    # Pickle writes an object once, however many paths have it.
    prepared = {id(answer): _prepared(answer) for answer in answers.values()}
    table = {path.encode(): prepared[id(answer)] for path, answer in answers.items()}
    return _bare_command("create_bare_pages", table, port, folder)


def _prepared(answer: Answer) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Without the date, which uvicorn adds to every answer, the gateway's included."""
    fields = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.fields
        if name != "date"
    ]
    return answer.status, fields, answer.content


def _bare_command(factory: str, answers: object, port: int, folder: Path) -> Command:
    file = folder / f"answers-{port}.pickle"
    file.write_bytes(pickle.dumps(answers))
    return plain_app_command(factory, port, file=str(file))


def _read_answers() -> Any:
    return pickle.loads(Path(_arguments()["file"]).read_bytes())  # noqa: S301 (our own)


def create_bare() -> ASGIApp:
    status, fields, content = _read_answers()

    async def bare(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    return bare


def create_bare_pages() -> ASGIApp:
    answers: dict[bytes, tuple[int, list[tuple[bytes, bytes]], bytes]] = _read_answers()

    async def bare(scope: Scope, _receive: Receive, send: Send) -> None:
        status, fields, content = answers[scope["raw_path"]]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    return bare


# File servers, and the gateway's decisions in their simplest forms.


def create_staticfiles() -> ASGIApp:
    return StaticFiles(directory=_arguments()["folder"])


def create_servestatic() -> Any:
    servestatic = importlib.import_module("servestatic")  # of the bench group, without types
    return servestatic.ServeStaticASGI(None, root=_arguments()["folder"])


def create_minimal() -> Any:
    """docs/explanation/minimal.py: the design's sequence with its two caches, and nothing else."""
    spec = importlib.util.spec_from_file_location("minimal", _MINIMAL)
    if spec is None or spec.loader is None:
        raise ImportError(str(_MINIMAL))
    minimal = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(minimal)
    arguments = _arguments()
    url = f"sqlite:///{arguments['database']}"
    return minimal.create_app(Path(arguments["plugins"]), url, arguments["secret"], _MINIMAL_TTL_S)


def create_uncached() -> ASGIApp:
    """The design's sequence without caches: token, JSON, query and FileResponse for every request.

    It is as fast as that can be: one database connection is held (a new one for each query, as
    `databases` makes it, costs about three times as much), and orjson reads the JSON.
    """
    arguments = _arguments()
    plugins, database = Path(arguments["plugins"]), Database(f"sqlite:///{arguments['database']}")

    async def answer(request: Request) -> FileResponse:
        slug, user = request.path_params["slug"], _verified_user(request, arguments["secret"])
        file = plugins / "users" / f"user_{user}" / "installed_plugins.json"
        try:
            installed = orjson.loads(await anyio.Path(file).read_bytes())
        except FileNotFoundError:
            installed = {}
        if slug not in installed:
            raise HTTPException(404)
        connection: Connection = request.app.state.connection
        version = await connection.fetch_val(_QUERY, {"user": user, "slug": slug})
        path = plugins / "shared" / slug / f"v{version}" / request.path_params["path"]
        if version is None or ".." in path.parts:
            raise HTTPException(404)
        return FileResponse(path)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with database, database.connection() as app.state.connection:
            yield

    route = Route("/api/v1/plugins/{slug}/{path:path}", answer)
    return Starlette(routes=[route], lifespan=lifespan)


def _verified_user(request: Request, secret: str) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    try:
        return str(jwt.decode(token, secret, algorithms=["HS256"])["sub"])
    except jwt.PyJWTError:
        raise HTTPException(401) from None


# The gateway, with a URL that gives the number of its asyncio tasks.


def create_counting_gateway() -> ASGIApp:
    gateway = create_gateway()

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != COUNTS_PATH:
            await gateway(scope, receive, send)
            return
        body = orjson.dumps({"tasks": len(asyncio.all_tasks())})
        fields = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return counting
