"""`/-/live` and `/-/ready`: what load balancers ask."""

import logging
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NotRequired

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.database.plugin_database import PluginDatabase
from gateway.errors import SourceUnavailable
from gateway.http.answers import json_answer
from gateway.http.json_types import TypedDict, json_object
from gateway.identity.proof import CHALLENGE_FIELD, Prover
from gateway.settings import Settings

logger = logging.getLogger(__name__)

Status = Literal["ready", "degraded", "draining", "unavailable"]


@json_object
class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]
    proof: NotRequired[str]
    """The answer to `X-Gateway-Challenge`."""


@json_object
class Readiness(TypedDict):
    """Whether requests can be answered."""

    status: Status
    reasons: Sequence[str]
    """Why not, or not all."""
    changes: Literal["off", "admins", "users"]
    """The setting `access.changes`."""


class Health:
    """Says whether the process answers, and whether it can answer for its users."""

    def __init__(
        self, database: PluginDatabase, folders: Sequence[Path], settings: Settings
    ) -> None:
        """`folders`: those without which nobody can be served."""
        self._database = database
        self._folders = folders
        self._stale_if_error_s = settings.cache.versions.stale_if_error
        self._changes = settings.access.changes
        self._could_read_storage = True
        self.draining = False
        """The server sets it before it ends: load balancers then send no more requests here."""
        self.prover: Prover | None = None
        """The server sets it: commands ask whether this gateway belongs to their site."""
        self.routes = [Route("/-/live", self._live), Route("/-/ready", self._ready)]

    async def _live(self, request: Request) -> Response:
        content: Alive = {"status": "alive"}
        challenge, server = request.headers.get(CHALLENGE_FIELD), request.scope.get("server")
        if self.prover is not None and challenge is not None and server is not None:
            proof = self.prover.answer(challenge, *server)
            if proof is not None:
                content["proof"] = proof
        return json_answer(content)

    async def _ready(self, _request: Request) -> Response:
        status, reasons = await self.status()
        content: Readiness = {"status": status, "reasons": reasons, "changes": self._changes}
        return json_answer(content, 200 if status in ("ready", "degraded") else 503)

    async def status(self) -> tuple[Status, Sequence[str]]:
        """What this worker can do, and why not more.

        While the database fails, users with cached rows are still served. That is "degraded" and
        still ready: the other nodes have the same database, and their caches know other users.
        After `stale_if_error` nobody is served.
        """
        if self.draining:
            return "draining", ["the server is about to end"]
        if not await self._can_read_storage():
            return "unavailable", ["the plugin storage cannot be read"]
        try:
            await self._database.ping()
        except SourceUnavailable:
            is_lasting = (self._database.failing_for_s or 0.0) > self._stale_if_error_s
            return "unavailable" if is_lasting else "degraded", ["the database cannot be read"]
        return "ready", []

    async def _can_read_storage(self) -> bool:
        """Logs when the answer changes."""
        can_read = await anyio.to_thread.run_sync(_are_readable, self._folders)
        if can_read != self._could_read_storage:
            self._could_read_storage = can_read
            if can_read:
                logger.info("the plugin storage can be read again")
            else:
                logger.warning("the plugin storage cannot be read")
        return can_read


def _are_readable(folders: Sequence[Path]) -> bool:
    """False for any error of a failing disk; `Path.is_dir` raises most of them."""
    try:
        return all(stat.S_ISDIR(folder.stat().st_mode) for folder in folders)
    except OSError:
        return False
