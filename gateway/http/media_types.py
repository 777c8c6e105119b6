"""The media type of each suffix: our own table, the same on every host.

`mimetypes` reads files of the host, and differs between hosts.
"""

from typing import NamedTuple

from gateway.names import AssetPath, suffix

SANDBOX = "default-src 'none'; font-src data:; img-src data:; style-src 'unsafe-inline'; sandbox"
"""Content-Security-Policy of documents that can hold scripts. A document with this policy runs no
script and has an opaque origin when it is opened by its URL. As an image in a page it looks the
same."""


class MediaType(NamedTuple):
    content_type: str
    compressible: bool
    """Whether encoded variants are worth making; compressed formats do not shrink."""
    policy: str = ""
    """Content-Security-Policy; empty: not needed."""


_TABLE = {
    # RFC 9239 §6: text/javascript is the one type for scripts and modules.
    ".js": MediaType("text/javascript; charset=utf-8", True),
    ".mjs": MediaType("text/javascript; charset=utf-8", True),
    ".css": MediaType("text/css; charset=utf-8", True),
    ".json": MediaType("application/json", True),
    ".map": MediaType("application/json", True),
    ".webmanifest": MediaType("application/manifest+json", True),
    ".wasm": MediaType("application/wasm", True),
    ".svg": MediaType("image/svg+xml", True, SANDBOX),
    ".png": MediaType("image/png", False),
    ".jpg": MediaType("image/jpeg", False),
    ".jpeg": MediaType("image/jpeg", False),
    ".gif": MediaType("image/gif", False),
    ".webp": MediaType("image/webp", False),
    ".avif": MediaType("image/avif", False),
    ".ico": MediaType("image/vnd.microsoft.icon", True),
    ".woff": MediaType("font/woff", False),
    ".woff2": MediaType("font/woff2", False),
    ".ttf": MediaType("font/ttf", True),
    ".otf": MediaType("font/otf", True),
    ".eot": MediaType("application/vnd.ms-fontobject", True),
    ".txt": MediaType("text/plain; charset=utf-8", True),
}
_UNKNOWN = MediaType("application/octet-stream", False)


def media_type(asset_path: AssetPath) -> MediaType:
    return _TABLE.get(suffix(asset_path), _UNKNOWN)
