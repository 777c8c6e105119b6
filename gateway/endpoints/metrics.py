"""`/-/metrics`: what all workers counted, in the Prometheus text format."""

import platform
from importlib.metadata import PackageNotFoundError, version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.core import Core
from gateway.http.cache_policy import NO_STORE
from gateway.identity.callers import Callers
from gateway.identity.peers import TrustedPeers
from gateway.metrics.catalogue import BUILD_INFO
from gateway.metrics.exposition import CONTENT_TYPE, render


class Metrics:
    """The route of the metrics, for administrators and `observability.metrics_allow`."""

    def __init__(self, core: Core, allowed: TrustedPeers, callers: Callers) -> None:
        self._core = core
        self._allowed = allowed
        self._callers = callers
        build = {"version": _version(), "python_version": platform.python_version()}
        self._constants = {BUILD_INFO: build}
        self.route = Route("/-/metrics", self._show)

    async def _show(self, request: Request) -> Response:
        if request.scope not in self._allowed:
            await self._callers.require_administrator(request.scope)
        return Response(
            render(self._core.metrics.totals(), self._constants),
            media_type=CONTENT_TYPE,
            headers={"Cache-Control": NO_STORE},
        )


def _version() -> str:
    try:
        return version("plugin-gateway")
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"
