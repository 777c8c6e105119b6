"""`/-/plugin.schema.json`: the JSON Schema of plugin.json, for editors; anybody may read it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.disk.metadata import SCHEMA_FILE
from gateway.endpoints.json_answers import conditional_answer
from gateway.http.heads import joined_headers
from gateway.http.representation import open_json_variant

# It is kept for an hour, because another release of the gateway may have another schema.
_CACHE_CONTROL = b"public, max-age=3600"


class PluginSchema:
    def __init__(self) -> None:
        self._variant = open_json_variant(
            SCHEMA_FILE.read_bytes(), content_type=b"application/schema+json"
        )
        self.route = Route("/-/plugin.schema.json", self._show)

    async def _show(self, request: Request) -> Response:
        headers = joined_headers(request.scope)
        return conditional_answer(request.method, headers, self._variant, _CACHE_CONTROL)
