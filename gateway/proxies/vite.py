"""Entries for the proxy of Vite's development server.

Vite chooses by the path alone. Paths of which the application answers other methods are therefore
the application's.
"""

import json

from gateway.errors import ConfigurationError
from gateway.proxies import Upstream
from gateway.proxies.one_origin import gateway_routes

_HEAD = """\
// For server.proxy in vite.config.js, before other entries: Vite takes the first that matches.
// `gateway proxy-config vite` printed them for the gateway's settings.
// Vite chooses by the path alone: the application answers single modules, and all changes.
"""
# The gateway answers these for every client on this machine, and Vite is one.
_CLOSED = "(?!metrics|authorize)"


def configuration(upstream: Upstream) -> str:
    """Raises: ConfigurationError."""
    if upstream.is_socket:
        raise ConfigurationError("server.uds: Vite's proxy needs a port: expected --upstream")
    paths = [route.path for route in gateway_routes(upstream) if not route.is_shared]
    entries = [_entry(path, upstream.address) for path in paths]
    first = upstream.api.split("/")[1] if upstream.api else "plugins"
    rest = f'"/{first}/": {{ target: "http://{upstream.application}", ws: true }},\n'
    return _HEAD + "".join(entries) + rest


def _entry(path: str, address: str) -> str:
    # JavaScript has no (?i:…), and the URL that Vite compares has the query.
    pattern = f"^{path}".replace("(?i:", "(?:")
    pattern = pattern[:-1] + r"(?:\?|$)" if pattern.endswith("$") else pattern
    if path == "/-/":
        pattern += _CLOSED
    return f'{json.dumps(pattern)}: {{ target: "http://{address}" }},\n'
