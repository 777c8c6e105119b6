"""Which Cache-Control an answer carries (RFC 9111 §5.2), and nothing else about it."""

from enum import Enum
from typing import NamedTuple

NO_STORE = "no-store"
"""For every answer that is not 2xx or 304: no CDN may keep a 404 beyond a roll-out."""
JSON_ANSWER = "private, no-cache"

_ONE_YEAR_S = 365 * 24 * 3600


_IMMUTABLE = "immutable"


class Audience(Enum):
    """To whom a cache may give the stored answer (RFC 9111 §5.2.2.6, §5.2.2.7)."""

    PUBLIC = "public"
    """The URL is the permission: public route, signed path."""
    PRIVATE = "private"
    """A credential decided."""


class Lifetimes(NamedTuple):
    """Values of Cache-Control for the files of one audience."""

    unpinned: str
    pinned: str


def asset_lifetimes(audience: Audience, *, unpinned_max_age_s: int, dev: bool) -> Lifetimes:
    """Pinned bytes never change, so caches may keep them for a year; but not in development.

    `no-cache` needs no audience: a cache that stored the answer asks again with the credential.
    """
    if dev:
        return Lifetimes("no-cache", "no-cache")
    window = f"{audience.value}, max-age={unpinned_max_age_s}"
    pinned = f"{audience.value}, max-age={_ONE_YEAR_S}, {_IMMUTABLE}"
    return Lifetimes(window if unpinned_max_age_s else "no-cache", pinned)


def is_immutable(cache_control: bytes) -> bool:
    """Whether the URL names these bytes for ever: a browser may keep them without asking again."""
    return cache_control.endswith(_IMMUTABLE.encode())
