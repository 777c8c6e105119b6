"""One origin for the gateway and the application: which requests each of them answers.

`gateway_routes` is the one table. The gateway gets what it answers, and the application gets
everything else, such as its own plugin manager below `{api}/plugins/`. Paths with dot segments go
to the gateway: it refuses them, while an application may follow them to another place than the
proxy saw.
"""

import re
from dataclasses import dataclass

from gateway.proxies import Upstream

_ADDRESS = re.compile(
    r"http://(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_READING = ("GET", "HEAD")

DOTS = r"^[^?]*(?:/|%2f)(?:\.|%2e)(?:\.|%2e)?(?:/|%2f|\?|$)"
"""A pattern, whose case does not count, for a request target with a dot segment in its path."""
PREFLIGHT = "^OPTIONS (GET|HEAD|POST|PUT|PATCH|DELETE)$"
"""A pattern for the method and the field Access-Control-Request-Method."""
WEBSOCKET_KEY = "[A-Za-z0-9+/]{22}=="
"""A pattern for Sec-WebSocket-Key, 16 bytes in base64 (RFC 6455 §4.1)."""


def application_address(url: str) -> str:
    """`HOST:PORT` of an application's URL. Raises: ValueError."""
    match = _ADDRESS.fullmatch(url)
    if match is None or not 0 < int(match["port"] or 80) < 65536:
        raise ValueError(f"{url!r}: expected a URL such as http://127.0.0.1:8005, without a path")
    return f"{match['host']}:{match['port'] or 80}"


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """Requests that the gateway answers."""

    methods: tuple[str, ...]
    """Empty: all methods."""
    path: str
    """A pattern for the beginning of the decoded path; `$` ends a whole path."""
    is_shared: bool = False
    """Whether the application answers other methods of these paths."""

    @property
    def pattern(self) -> str:
        """A pattern for `METHOD PATH`, or `METHOD by OPTIONS PATH` for a preflight."""
        methods = "|".join(self.methods)
        return f"^(?:{methods})(?: by OPTIONS)? {self.path}" if methods else f"^[^/]+ {self.path}"


def gateway_routes(upstream: Upstream) -> list[GatewayRoute]:
    own, one = f"{upstream.api_pattern}/plugins", f"{upstream.api_pattern}/plugins/[^/]+"
    routes = [
        GatewayRoute(_READING, f"{own}/(?:manifest(?:/designer)?|by-slug/[^/]+)$"),
        GatewayRoute(_READING, f"{one}/(?:info|status|modules)$"),
        GatewayRoute(_READING, f"{one}/modules/[^/]+$", is_shared=True),
        GatewayRoute(_READING, rf"{one}/.+\.(?i:{'|'.join(upstream.media_types)})$"),
    ]
    if upstream.has_public:
        routes.append(GatewayRoute(_READING, f"{upstream.api_pattern}/public/plugins/"))
    if upstream.has_signed:
        routes.append(GatewayRoute(_READING, f"{upstream.api_pattern}/signed/[^/]+/plugins/"))
    if upstream.takes_changes:
        routes += [
            GatewayRoute(("POST",), f"{one}/(?:install|rollback)$", is_shared=True),
            GatewayRoute(("PUT",), f"{one}/update$", is_shared=True),
            GatewayRoute(("DELETE",), f"{one}/uninstall$", is_shared=True),
            GatewayRoute(("PATCH",), f"{one}$", is_shared=True),
        ]
    return [*routes, GatewayRoute((), "/-/")]
