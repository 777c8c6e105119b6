"""The measure of all: an ASGI application that sends one answer of the gateway and does no more.

One process for each answer. A choice between answers would cost a lookup, and that would be
the bare application's own cost, not the server's.
"""

import json
import os
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.processes import Command, uvicorn_command
from benchmarks.serve.probe import Answer

NAME = "bare"
ABOUT = "an ASGI application that sends the gateway's bytes and fields, and nothing else"
_ANSWER_VARIABLE = "BENCHMARKS_ANSWER"
# uvicorn adds it to every answer, the gateway's included.
_ADDED_BY_SERVER = frozenset({"date"})


def command(answer: Answer, port: int, folder: Path) -> Command:
    path = folder / f"answer-{port}.json"
    fields = [(name, value) for name, value in answer.fields if name not in _ADDED_BY_SERVER]
    path.write_text(json.dumps({"status": answer.status, "fields": fields}))
    path.with_suffix(".body").write_bytes(answer.content)
    environment = {_ANSWER_VARIABLE: str(path)}
    started = uvicorn_command("benchmarks.serve.contestants.bare:create_app", port, environment)
    # Without a lifespan every scope is a request, and the application need not look.
    return Command((*started.arguments, "--lifespan", "off"), started.environment)


def create_app() -> ASGIApp:
    path = Path(os.environ[_ANSWER_VARIABLE])
    answer = json.loads(path.read_bytes())
    status: int = answer["status"]
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer["fields"]]
    content = path.with_suffix(".body").read_bytes()

    async def bare(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    return bare
