"""`/-/`: what load balancers and operators ask."""

import logging
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.database.tables import PluginDatabase
from gateway.errors import SourceUnavailable
from gateway.http.answers import plain_json

logger = logging.getLogger(__name__)


def operation_routes(
    database: PluginDatabase,
    folders: Sequence[Path],
    stale_if_error_s: float,
    is_draining: Callable[[], bool],
) -> list[Route]:
    """`folders`: without them nobody can be served."""

    async def live(_request: Request) -> Response:
        """The process answers; says nothing of its sources."""
        return plain_json({"status": "alive"})

    async def ready(_request: Request) -> Response:
        """Whether requests can be answered, and what is wrong if something is.

        While the database fails, those who were here lately are still served: degraded, and
        still ready, for sending them elsewhere would make it worse. After `stale_if_error`
        nobody is.
        """
        if is_draining():
            reasons = ["the server is about to end"]
            return plain_json({"status": "draining", "reasons": reasons}, 503)
        if not await anyio.to_thread.run_sync(_are_readable, folders):
            reasons = ["the plugin storage cannot be read"]
            return plain_json({"status": "unavailable", "reasons": reasons}, 503)
        try:
            await database.ping()
        except SourceUnavailable as error:
            logger.warning("not ready: %s", error.reason)
            reasons = ["the database cannot be read"]
            if (database.failing_for_s or 0.0) > stale_if_error_s:
                return plain_json({"status": "unavailable", "reasons": reasons}, 503)
            return plain_json({"status": "degraded", "reasons": reasons})
        return plain_json({"status": "ready", "reasons": []})

    return [Route("/-/live", live), Route("/-/ready", ready)]


def _are_readable(folders: Sequence[Path]) -> bool:
    """Whatever a failing disk raises: `is_dir` lets most of it through."""
    try:
        return all(stat.S_ISDIR(folder.stat().st_mode) for folder in folders)
    except OSError:
        return False
