"""`/-/openapi.json`: the document, for anybody.

It shows the URLs of docs/reference/urls.md, and which of them the settings give. A stranger learns
that from `/-/ready` and a request or two, so there is nothing to hide; programs and people who
write clients need no credential to read it.
"""

from collections.abc import Collection, Sequence
from functools import cached_property
from urllib.parse import quote

import orjson
from anyio import Lock
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.endpoints.json_answers import conditional_answer
from gateway.endpoints.openapi.document import OPERATIONS, build_document
from gateway.endpoints.openapi.operations import Operation
from gateway.http.heads import joined_headers
from gateway.http.json_types import JsonObject
from gateway.http.representation import Variant, open_json_variant
from gateway.settings import Settings

_CACHE_CONTROL = b"no-cache"


class OpenApi:
    """The route of the document, which is made when somebody asks for it first."""

    def __init__(self, routes: Sequence[BaseRoute], settings: Settings) -> None:
        """`routes`: all there are when the document is made."""
        self._routes = routes
        self._settings = settings
        self._sent: tuple[str, Variant] | None = None
        """The path of the mount for which it was asked last, and what was sent."""
        self._one_at_a_time = Lock()
        self.route = Route("/-/openapi.json", self._show)

    @cached_property
    def document(self) -> JsonObject:
        """Blocking."""
        paths = {it.path.replace(":path}", "}") for it in self._routes if isinstance(it, Route)}
        operations = [it for it in OPERATIONS if self._is_given(it, paths)]
        return build_document(operations, self._settings.http.api_prefix)

    def _is_given(self, operation: Operation, paths: Collection[str]) -> bool:
        if operation.tag == "Changes" and self._settings.access.changes == "off":
            return False  # there is a route, which refuses all methods
        path = operation.route or operation.path
        return path.replace("{api}", self._settings.http.api_prefix, 1) in paths

    async def _show(self, request: Request) -> Response:
        root_path = request.scope.get("root_path", "")
        async with self._one_at_a_time:  # many may ask before it is made
            if self._sent is None or self._sent[0] != root_path:
                self._sent = root_path, await run_sync(self._make_variant, root_path)
            variant = self._sent[1]
        headers = joined_headers(request.scope)
        return conditional_answer(request.method, headers, variant, _CACHE_CONTROL)

    def _make_variant(self, root_path: str) -> Variant:
        """Blocking. `servers` is as FastAPI has it, so that URLs are right below a mount too."""
        servers = [{"url": quote(root_path) or "/"}]
        return open_json_variant(orjson.dumps({**self.document, "servers": servers}))
