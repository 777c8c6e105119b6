"""`/-/authorize`: the decision alone, for a proxy that sends the files itself (auth_request).

The proxy hands on the credential of a request and its path, as it came, in X-Original-URI. The
answer depends on route, credential, plugin and pin, on the file only where it is a refusal: so
the proxy may go by a permission for the plugin's other files too, for as long as X-Accel-Expires
says, and must not remember a refusal. Decided by the code that answers requests for files.
"""

import time
from collections.abc import Hashable, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from gateway.caching.basis import Basis
from gateway.caching.entries import Entry
from gateway.caching.ttl_cache import TTLCache
from gateway.disk.pinned_trees import PinnedTrees, tree_name
from gateway.endpoints.assets import AssetRoute
from gateway.errors import (
    AdministratorRequired,
    AssetNotFound,
    InvalidRequest,
    VersionNotPublished,
)
from gateway.http.cache_policy import NO_STORE
from gateway.identity import joined_headers
from gateway.identity.peers import TrustedPeers, is_loopback, is_on_socket
from gateway.names import Pin
from gateway.serving.shared_versions import SharedVersions

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_NO_TREE = "-"
"""No slug is a dash: below it the proxy finds nothing, and asks us."""
# A proxy counts in whole seconds, from some moment of the first one.
_CLOCK_S = 1


class _Permission(Basis):
    """Rests on who has what. Which build is on disk permits nothing: a proxy that goes by a
    tree which is gone finds no file there, and asks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.until = float("inf")
        """Seconds of the monotonic clock, which is the caches' clock too."""

    def _rest_on(self, layer: str, _cache: TTLCache[K, V], entry: Entry[V]) -> V:
        if layer != "builds":
            self.until = min(self.until, entry.fresh_until)
        return entry.value

    def limit_to(self, duration_s: float) -> None:
        self.until = min(self.until, time.monotonic() + duration_s)


def authorize_route(
    routes: Sequence[AssetRoute],
    versions: SharedVersions,
    trees: PinnedTrees | None,
    trusted: TrustedPeers,
    ttl_s: int,
) -> Route:
    """`routes`: those of files. `ttl_s`: how long a permission may be remembered at most."""

    async def authorize(request: Request) -> Response:
        """For loopback, the Unix socket and trusted peers; for others it is not there."""
        if not _is_proxy(request.scope, trusted):
            raise AdministratorRequired
        scope, route = _asked_for(request.scope, routes)
        basis = _Permission()
        key = (await route.resolve_scope(basis, scope)).key
        shared = await basis.settled(versions.get, key.slug, key.version)
        if shared is None:
            raise VersionNotPublished(owned=True)
        pin = Pin(key.version, shared.state.build)
        has_tree = trees is not None and trees.path(key.slug, pin).is_dir()
        remaining_s = min(basis.until - time.monotonic() - _CLOCK_S, ttl_s)
        return Response(
            headers={
                "X-Plugin-Root": f"{key.slug}/v{key.version}",
                "X-Plugin-Tree": tree_name(key.slug, pin) if has_tree else _NO_TREE,
                "X-Accel-Expires": str(max(0, int(remaining_s)) if has_tree else 0),
                "Cache-Control": NO_STORE,
            }
        )

    return Route("/-/authorize", authorize)


def _is_proxy(scope: Scope, trusted: TrustedPeers) -> bool:
    # Permissions of the file say who may connect to the Unix socket.
    return is_on_socket(scope) or is_loopback(scope) or scope in trusted


def _asked_for(scope: Scope, routes: Sequence[AssetRoute]) -> tuple[Scope, AssetRoute]:
    """The scope of the original request, and the route that it takes.

    Raises: InvalidRequest; AssetNotFound, where no route of files begins like that.
    """
    uri = joined_headers(scope).get(b"x-original-uri")
    if uri is None or b" " in uri:  # as two fields that are joined
        raise InvalidRequest("X-Original-URI: expected one, the path that is asked for")
    raw_path = uri.partition(b"?")[0]
    for route in routes:
        if raw_path.startswith((scope.get("root_path", "") + route.prefix).encode()):
            return {**scope, "raw_path": raw_path}, route
    raise AssetNotFound(reason="no route of files begins like that")
