"""`/-/findings`: what `gateway doctor` finds, while it finds it, for administrators.

A process of its own looks through the site, at low priority, so that requests are served as before.
It is told what to look at in one line, for a command line shows everybody what it holds. It ends
with this worker, however that ends: the end of its standard input says so.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.endpoints.event_stream import (
    Events,
    EventStream,
    StreamEnd,
    encoded_event,
    refuse_foreign_stream,
)
from gateway.endpoints.queries import Admission
from gateway.errors import AlreadyExamining
from gateway.http.cache_policy import NO_STORE
from gateway.identity.callers import Callers
from gateway.settings import Settings

logger = logging.getLogger(__name__)

MAX_AGE_S = 1800.0
"""5,000 users with 50,000 rows take 7 s."""
_MODULE = "gateway.upkeep.examination"
# As `gateway doctor` has it: one query is about hundreds of users, and nobody waits for it.
_QUERY_TIMEOUT_S = 60.0
_MAX_LINE_BYTES = 1 << 20
_LOWEST_PRIORITY = 19
# A process that waits for a disk that hangs ends only after that.
_LONGEST_END_S = 2.0
_FAILED = "The examination ended early; the log of the server may say why"


class Findings:
    """The route of the findings. One examination runs at a time in each worker."""

    def __init__(self, settings: Settings, callers: Callers, end: StreamEnd) -> None:
        self._order = _order(settings)
        self._callers = callers
        self._end = end
        self._admission = Admission(1, AlreadyExamining)
        self.route = Route("/-/findings", self._stream)

    async def _stream(self, request: Request) -> EventStream | Response:
        refuse_foreign_stream(request)
        await self._callers.require_administrator(request.scope)
        if "last-event-id" in request.headers:
            # A browser connects again when a stream has ended, unless it is answered so.
            return Response(status_code=204, headers={"Cache-Control": NO_STORE})
        self._admission.take()
        return EventStream(self._events(), self._end, MAX_AGE_S, self._admission.release)

    async def _events(self) -> Events:
        yield b": examining\n\n"  # the head leaves with the first bytes
        number, is_over = 0, False
        try:
            async with _running(self._order) as output:
                while not is_over and (line := await output.readline()):
                    ((name, content),) = orjson.loads(line).items()
                    is_over = name in ("summary", "failed")
                    number += 1
                    yield encoded_event(name, content, str(number))
        except OSError as error:  # no process can be started, or none for this Python
            logger.error("the site cannot be examined: %s", error)
        if not is_over:
            yield encoded_event("failed", {"detail": _FAILED})


def _order(settings: Settings) -> bytes:
    """The line that the process reads: the settings that it needs, and no others."""
    sections = settings.model_dump(mode="json", include={"database", "storage", "access"})
    sections["database"]["query_timeout"] = _QUERY_TIMEOUT_S
    order = {"base": str(settings.path("")), "settings": sections}
    return orjson.dumps(order, option=orjson.OPT_APPEND_NEWLINE)


@asynccontextmanager
async def _running(order: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """The process, until the block ends; yields its standard output."""
    # -P: without the working directory on the path, where anybody may have put a module.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", _MODULE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": _import_path()},
        limit=_MAX_LINE_BYTES,
        start_new_session=True,  # Ctrl-C in a terminal is for the supervisor
    )  # fmt: skip
    stdin = cast(asyncio.StreamWriter, process.stdin)
    try:
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, _LOWEST_PRIORITY)
        if not stdin.is_closing():  # uvloop raises RuntimeError if the process has ended already
            stdin.write(order)
        yield cast(asyncio.StreamReader, process.stdout)
    finally:
        with anyio.move_on_after(_LONGEST_END_S, shield=True):
            if process.returncode is None:
                process.kill()
            stdin.close()
            with suppress(OSError):  # what it has not read is lost
                await stdin.wait_closed()
            await process.wait()


def _import_path() -> str:
    """Where this process finds modules, so that the other finds the same."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join([*filter(None, sys.path), ours])
