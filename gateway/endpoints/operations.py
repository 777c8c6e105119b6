"""`/-/`: what load balancers and operators ask."""

import logging

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.database import PluginDatabase
from gateway.endpoints.answers import plain_json
from gateway.errors import SourceUnavailable
from gateway.storage import PluginStorage

logger = logging.getLogger(__name__)


def operation_routes(database: PluginDatabase, storage: PluginStorage) -> list[Route]:
    async def live(_request: Request) -> Response:
        """The process answers; says nothing of its sources."""
        return plain_json({"status": "alive"})

    async def ready(_request: Request) -> Response:
        """Whether requests of new users can be answered: both sources can be read."""
        reasons = []
        try:
            await database.ping()
        except SourceUnavailable as error:
            logger.warning("not ready: %s", error.reason)
            reasons.append("the database cannot be read")
        if not await anyio.to_thread.run_sync(storage.shared.is_dir):
            reasons.append("the plugin storage cannot be read")
        if reasons:
            return plain_json({"status": "unavailable", "reasons": reasons}, 503)
        return plain_json({"status": "ready", "reasons": []})

    return [Route("/-/live", live), Route("/-/ready", ready)]
