"""Which Cache-Control an answer carries (RFC 9111 §5.2), and nothing else about it."""

from enum import Enum

NO_STORE = "no-store"
"""Everything that is not 2xx or 304: no CDN may keep a 404 beyond a roll-out."""
JSON_ANSWER = "private, no-cache"

_ONE_YEAR_S = 365 * 24 * 3600


class Audience(Enum):
    """Who else may be given the stored answer (RFC 9111 §5.2.2.6, §5.2.2.7)."""

    PUBLIC = "public"
    """The URL is the permission: public route, signed path."""
    PRIVATE = "private"
    """A credential decided."""


def asset_cache_control(
    audience: Audience, *, pinned: bool, unpinned_max_age_s: int, dev: bool
) -> str:
    """The field value for a file.

    Pinned bytes never change, so they may be kept for a year; in development never.
    `no-cache` needs no audience: whoever stores the answer asks again with the credential.
    """
    if pinned and not dev:
        return f"{audience.value}, max-age={_ONE_YEAR_S}, immutable"
    if unpinned_max_age_s and not dev:
        return f"{audience.value}, max-age={unpinned_max_age_s}"
    return "no-cache"
