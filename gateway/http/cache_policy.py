"""Which Cache-Control an answer carries (RFC 9111 §5.2), and nothing else about it."""

from enum import Enum
from typing import NamedTuple

NO_STORE = "no-store"
"""For every answer that is not 2xx or 304: no CDN may keep a 404 beyond a roll-out."""
JSON_ANSWER = "private, no-cache"

_ONE_YEAR_S = 365 * 24 * 3600


class Audience(Enum):
    """To whom a cache may give the stored answer (RFC 9111 §5.2.2.6, §5.2.2.7)."""

    PUBLIC = "public"
    """The URL is the permission: public route, signed path."""
    PRIVATE = "private"
    """A credential decided."""


def asset_cache_control(
    audience: Audience, *, pinned: bool, unpinned_max_age_s: int, dev: bool
) -> str:
    """The field value for a file.

    Pinned bytes never change, so caches may keep them for a year; but not in development.
    `no-cache` needs no audience: a cache that stored the answer asks again with the credential.
    """
    if pinned and not dev:
        return f"{audience.value}, max-age={_ONE_YEAR_S}, immutable"
    if unpinned_max_age_s and not dev:
        return f"{audience.value}, max-age={unpinned_max_age_s}"
    return "no-cache"


class Lifetimes(NamedTuple):
    """Field values for the files of one audience."""

    unpinned: str
    pinned: str


def asset_lifetimes(audience: Audience, *, unpinned_max_age_s: int, dev: bool) -> Lifetimes:
    unpinned, pinned = (
        asset_cache_control(audience, pinned=pinned, unpinned_max_age_s=unpinned_max_age_s, dev=dev)
        for pinned in (False, True)
    )
    return Lifetimes(unpinned, pinned)
