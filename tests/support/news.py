"""For tests of who tells of changes: nothing but the news may end what is cached."""

from collections.abc import Callable

from tests.support.server import Server
from tests.support.site import bearer
from tests.support.urls import own

SOON_S = 1.0
"""The promises are 50 to 250 ms, which `benchmarks freshness` measures on a quiet machine."""

AN_HOUR = {
    f"GATEWAY__CACHE__{cache}__{setting}": "3600"
    for cache in ("INSTALLATIONS", "VERSIONS")
    for setting in ("TTL", "NEGATIVE_TTL")
}


def version_for(server: Server, user: str, slug: str = "Review") -> Callable[[], str]:
    """Asks for the version that the user gets; the code of the refusal, if he gets none."""

    def ask() -> str:
        answer = server.get(own(slug), bearer(user))
        return answer.body.split()[2].decode() if answer.status == 200 else answer.code

    return ask
