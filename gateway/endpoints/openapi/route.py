"""`/-/openapi.json`: the document, for anybody.

It shows the URLs of README.md, and which of them the settings give. A stranger learns that from
`/-/ready` and a request or two, so there is nothing to hide; programs and people who write clients
need no credential to read it.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from importlib import import_module
from urllib.parse import quote

import orjson
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.endpoints.json_answers import conditional_answer
from gateway.endpoints.openapi.document import OPERATIONS, build_document
from gateway.endpoints.openapi.operations import Operation
from gateway.http.heads import joined_headers
from gateway.http.json_types import JsonObject
from gateway.http.representation import json_variant
from gateway.settings import Settings

_CACHE_CONTROL = b"no-cache"


class OpenApi:
    """The route of the document, which is made when somebody asks for it first."""

    def __init__(self, routes: Sequence[BaseRoute], settings: Settings) -> None:
        """`routes`: all there are when the document is made."""
        self._routes = routes
        self._settings = settings
        self.route = Route("/-/openapi.json", self._show)

    @cached_property
    def document(self) -> JsonObject:
        """Blocking."""
        paths = {it.path.replace(":path}", "}") for it in self._routes if isinstance(it, Route)}
        operations = [it for it in OPERATIONS if self._is_given(it, paths)]
        version = import_module("gateway").__version__
        return build_document(operations, self._settings.http.api_prefix, version)

    def _is_given(self, operation: Operation, paths: Collection[str]) -> bool:
        if operation.tag == "Changes" and self._settings.access.changes == "off":
            return False  # there is a route, which refuses all methods
        path = operation.route or operation.path
        return path.replace("{api}", self._settings.http.api_prefix, 1) in paths

    async def _show(self, request: Request) -> Response:
        document = await run_sync(lambda: self.document)
        # As FastAPI does, so that the URLs are right below the prefix of a mount too.
        servers = [{"url": quote(request.scope.get("root_path", "")) or "/"}]
        variant = json_variant(orjson.dumps({**document, "servers": servers}))
        headers = joined_headers(request.scope)
        return conditional_answer(request.method, headers, variant, _CACHE_CONTROL)
