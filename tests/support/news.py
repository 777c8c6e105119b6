"""Settings that silence sources of changes, so that a test sees one of them alone."""

from collections.abc import Callable

from tests.support.server import Server
from tests.support.site import bearer
from tests.support.urls import own

AN_HOUR = {
    f"GATEWAY__CACHE__{cache}__{setting}": "3600"
    for cache in ("INSTALLATIONS", "VERSIONS")
    for setting in ("TTL", "NEGATIVE_TTL")
}
"""Lookups are stale only after a change is told: no lifetime ends, on however slow a machine."""
UNWATCHED = {"GATEWAY__FRESHNESS__WATCH_USERS": "false", "GATEWAY__FRESHNESS__SQLITE_POLL": "0"}
"""No source looks for changes by other programs."""
QUIET = {**AN_HOUR, **UNWATCHED, "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600"}
"""A cached value ends only if the test itself tells of a change."""


def version_for(server: Server, user: str, slug: str = "Review") -> Callable[[], str]:
    """A function that returns the version the user gets, or the code of the refusal."""

    def ask() -> str:
        answer = server.get(own(slug), bearer(user))
        return answer.body.split()[2].decode() if answer.status == 200 else answer.code

    return ask
