"""URLs as the gateway's clients write them, and the ways of asking for one file."""

import base64
import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.identity.signed import SignedPaths
from gateway.names import Slug, UserId
from gateway.settings import SignedSettings
from tests.support.server import Server
from tests.support.site import bearer

API = "/api/v1"
MANIFEST = f"{API}/plugins/manifest"
ENTRY = "dist/remoteEntry.js"
SIGNED_SECRET = "the-secret-of-signed-urls-that-is-long-enough"
SIGNED_ENVIRONMENT = {"GATEWAY__IDENTITY__SIGNED__SECRET": SIGNED_SECRET}


def own(plugin: str, path: str = ENTRY) -> str:
    return f"{API}/plugins/{plugin}/{path}"


ENTRY_URL = own("Review")
"""The URL of ENTRY in the plugin Review, for a user with a token."""


def public(plugin: str, path: str = ENTRY) -> str:
    return f"{API}/public/plugins/{plugin}/{path}"


def signed(token: str, plugin: str, path: str = ENTRY) -> str:
    return f"{API}/signed/{token}/plugins/{plugin}/{path}"


def capability(user: str, slug: str, *, ttl_s: int = 3600, now: float | None = None) -> str:
    """The token of a signed URL, as `gateway sign` makes it."""
    paths = SignedPaths(SignedSettings(secret=SIGNED_SECRET))
    return paths.sign(UserId(user), Slug(slug), ttl_s, time.time() if now is None else now)


def pin_of(server: Server, user: str, slug: str) -> str:
    """`@{version}~{build}`, as the user's manifest gives it out."""
    location: str = server.get(MANIFEST, bearer(user)).json[slug]["bundlelocation"]
    pin = location.partition("/")[0]
    assert pin.startswith("@"), f"not pinned: {location}"
    return pin


def integrity_of(content: bytes) -> str:
    """What a script tag has in `integrity` for this content."""
    return f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}"


def version_for(server: Server, user: str, slug: str = "Review") -> Callable[[], str]:
    """A function that returns the version the user gets, or the code of the refusal."""

    def ask() -> str:
        answer = server.get(own(slug), bearer(user))
        return answer.body.split()[2].decode() if answer.status == 200 else answer.code

    return ask


class Question(NamedTuple):
    """The URL and the headers of a request for a file."""

    url: str
    headers: dict[str, str]


Way = Callable[[str, str, str], Question]
"""(user, slug, path) → the question."""

WAYS: dict[str, Way] = {
    "own by slug": lambda user, slug, path: Question(own(slug, path), bearer(user)),
    "own by id": lambda user, slug, path: Question(own(f"{user}_{slug}", path), bearer(user)),
    "public by id": lambda user, slug, path: Question(public(f"{user}_{slug}", path), {}),
    "signed": lambda user, slug, path: Question(signed(capability(user, slug), slug, path), {}),
}
PRIVATE_WAYS = ("own by slug", "own by id")
