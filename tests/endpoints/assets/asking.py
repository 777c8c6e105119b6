"""The users of the site, and how a file is asked for in each way."""

import pytest

from tests.support.server import Answer, Server
from tests.support.site import ADA
from tests.support.urls import ENTRY, WAYS

DORA = "e" * 32
"""Whose plugins are all refused, each for a reason of its own."""
CANARY = "the bytes of somebody else"

MEDIA_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "wasm": "application/wasm",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
    "webmanifest": "application/manifest+json",
}

# Versions that the application's table may hold, and which are no single path component.
BAD_VERSIONS = {
    "Climb": "1.0/../../Loot",
    "Dots": "..",
    "Slash": "1.0.0/",
    "Folder": "1.0.0/inner",
    "Backslash": "1.0.0\\..\\..\\Loot",
    "Empty": "",
    "Space": " 1.0.0",
    "Control": "1.0.0\n",
    "Nothing": None,
}


def ask(
    server: Server,
    way: str,
    path: str = ENTRY,
    *,
    user: str = ADA,
    slug: str = "Review",
    method: str = "GET",
    **headers: str,
) -> Answer:
    """`headers` are written with `_` for `-`."""
    url, credential = WAYS[way](user, slug, path)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request(method, url, {**credential, **fields})


every_way = pytest.mark.parametrize("way", WAYS)
