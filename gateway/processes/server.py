"""How uvicorn serves the gateway: with its own protocol, limits and log."""

from typing import Any

import uvicorn
from starlette.types import ASGIApp

from gateway.hot_path.access_log import AccessLog
from gateway.hot_path.front import AnswersHot
from gateway.hot_path.protocol import protocol_for
from gateway.hot_path.room import raise_limit
from gateway.processes.logs import log_config
from gateway.settings import Settings


def server_config(application: ASGIApp, front: AnswersHot, settings: Settings) -> uvicorn.Config:
    """For a server in this process, with the protocol and the limits of the settings.

    `front` answers what is in memory; `application` gets all other requests.
    """
    raise_limit()  # the protocol reads the limit to know how many connections fit
    share = float(settings.observability.access_log)
    access_log = AccessLog(share) if share else None
    protocol = protocol_for(front, settings.server, access_log)
    return uvicorn.Config(application, http=protocol, **uvicorn_options(settings))


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    server = settings.server
    return {
        # uvicorn would replace the peer by what X-Forwarded-For says. identity/ decides whom to
        # believe, and needs the real peer for that.
        "proxy_headers": False,
        "access_log": False,  # ours knows more, and leaves the hot path alone
        "log_config": log_config(settings.observability),
        "server_header": False,
        "ws": "none",
        "limit_concurrency": server.limit_concurrency or None,
        # Seconds that uvicorn waits for tasks after WorkerServer has ended all connections.
        "timeout_graceful_shutdown": 1,
        "lifespan": "on",
    }
