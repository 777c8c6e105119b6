"""The measure of page loads: an ASGI application with an answer for each path, and nothing else.

One process answers with 200, another with 304: a look at the request's fields would be a cost of
its own.
"""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.processes import Command, uvicorn_command
from benchmarks.serve.probe import Answer

NAME = "bare"
ABOUT = (
    "an ASGI application with a dictionary of the gateway's bytes and fields by raw path, and"
    " nothing else; one manifest for all users"
)
_VARIABLE = "BENCHMARKS_ANSWERS"


def command(answers: Mapping[str, Answer], port: int, folder: Path) -> Command:
    """`answers`: by path, all of one status."""
    # One object for each answer: pickle writes it once, however many paths have it.
    prepared: dict[int, object] = {}
    for answer in answers.values():
        if id(answer) not in prepared:
            # uvicorn adds the date to every answer, the gateway's included.
            fields = [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in answer.fields
                if name != "date"
            ]
            prepared[id(answer)] = (answer.status, fields, answer.content)
    file = folder / f"answers-{port}.pickle"
    table = {path.encode(): prepared[id(answer)] for path, answer in answers.items()}
    file.write_bytes(pickle.dumps(table))
    started = uvicorn_command("benchmarks.pages.bare:create_app", port, {_VARIABLE: str(file)})
    return Command((*started.arguments, "--lifespan", "off"), started.environment)


def create_app() -> ASGIApp:
    answers: dict[bytes, tuple[int, list[tuple[bytes, bytes]], bytes]] = pickle.loads(  # noqa: S301
        Path(os.environ[_VARIABLE]).read_bytes()
    )

    async def bare(scope: Scope, _receive: Receive, send: Send) -> None:
        status, fields, content = answers[scope["raw_path"]]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    return bare
