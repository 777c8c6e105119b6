"""`/-/plugin.schema.json`: the JSON Schema of plugin.json, for editors; anybody may read it."""

from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.disk.metadata import SCHEMA_FILE
from gateway.http.conditional import is_known

_MEDIA_TYPE = "application/schema+json"
# Another release of the gateway may have another schema.
_MAX_AGE_S = 3600


class PluginSchema:
    def __init__(self) -> None:
        self._schema = SCHEMA_FILE.read_bytes()
        self._tag = f'"{sha256(self._schema).hexdigest()[:32]}"'
        self.route = Route("/-/plugin.schema.json", self._show)

    async def _show(self, request: Request) -> Response:
        headers = {
            "Cache-Control": f"public, max-age={_MAX_AGE_S}",
            "ETag": self._tag,
            "X-Content-Type-Options": "nosniff",
        }
        if_none_match = request.headers.get("if-none-match")
        if if_none_match and is_known(self._tag.encode(), if_none_match.encode("latin-1")):
            return Response(status_code=304, headers=headers)
        return Response(self._schema, headers=headers, media_type=_MEDIA_TYPE)
