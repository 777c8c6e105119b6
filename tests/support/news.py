"""For tests of who tells of changes: which of the others are silent."""

from collections.abc import Callable

from tests.support.server import Server
from tests.support.site import bearer
from tests.support.urls import own

AN_HOUR = {
    f"GATEWAY__CACHE__{cache}__{setting}": "3600"
    for cache in ("INSTALLATIONS", "VERSIONS")
    for setting in ("TTL", "NEGATIVE_TTL")
}
"""No lookup ends by its lifetime, on however slow a machine: only by news."""
UNWATCHED = {"GATEWAY__FRESHNESS__WATCH_USERS": "false", "GATEWAY__FRESHNESS__SQLITE_POLL": "0"}
"""Nobody notices what other programs change."""
QUIET = {**AN_HOUR, **UNWATCHED, "GATEWAY__CACHE__ASSETS__REVALIDATE": "3600"}
"""Nothing that is cached ends, except by what the test itself tells."""


def version_for(server: Server, user: str, slug: str = "Review") -> Callable[[], str]:
    """Asks for the version that the user gets; the code of the refusal, if they get none."""

    def ask() -> str:
        answer = server.get(own(slug), bearer(user))
        return answer.body.split()[2].decode() if answer.status == 200 else answer.code

    return ask
