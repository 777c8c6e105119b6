"""`/-/authorize`: the decision alone, for a proxy that sends the files itself (auth_request).

The proxy passes on the credential of a request, and its path as received in X-Original-URI. The
routes of files make the decision. A permission depends on route, credential, plugin and pin, not on
the file; a refusal may depend on the file. So the proxy may use a permission for other files of the
plugin too, for as long as X-Accel-Expires says, and must not remember a refusal.
"""

import time
from collections.abc import Sequence
from typing import Any, TypeVar

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
from gateway.http.heads import Headers, joined_headers
from gateway.identity.peers import TrustedPeers, is_loopback, is_on_socket
from gateway.names import Pin, Slug
from gateway.serving.shared_versions import SharedVersions

V = TypeVar("V")

_NO_TREE = "-"
"""No slug is a dash: the proxy finds no file in this folder, and asks the gateway for it."""
# nginx truncates X-Accel-Expires to seconds: subtract one, so that no permission outlives what it
# rests on.
_CLOCK_S = 1


class _Permission(Basis):
    """Ends when a value on which it rests must be loaded again: the user, or what they have.

    It does not end with the state of the build on disk. In the tree of an old build a proxy finds
    no file, and asks the gateway for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.until = float("inf")
        """Seconds of the monotonic clock, which is the caches' clock too."""

    def _rest_on(self, layer: str, _cache: TTLCache[Any, Any], entry: Entry[V]) -> V:
        if layer != "builds":
            self.until = min(self.until, entry.fresh_until)
        return entry.value

    def limit_to(self, duration_s: float) -> None:
        self.until = min(self.until, time.monotonic() + duration_s)


class Authorization:
    """Answers the proxy's question: may this request have its file, and for how long."""

    def __init__(
        self,
        routes: Sequence[AssetRoute],
        versions: SharedVersions,
        trees: PinnedTrees | None,
        trusted: TrustedPeers,
        ttl_s: int,
    ) -> None:
        """`routes`: those of files. `ttl_s`: the proxy remembers no permission longer."""
        self._routes = routes
        self._versions = versions
        self._trees = trees
        self._trusted = trusted
        self._ttl_s = ttl_s
        self.route = Route("/-/authorize", self._answer)

    async def _answer(self, request: Request) -> Response:
        self._require_proxy(request.scope)
        headers = joined_headers(request.scope)
        scope, route = self._original(request.scope, headers)
        basis = _Permission()
        below = route.path_below(scope)
        key = (await basis.settled(route.resolve, scope, headers, below)).key
        shared = await basis.settled(self._versions.get, key.slug, key.version)
        if shared is None:
            raise VersionNotPublished(owned=True)
        tree = self._tree(key.slug, Pin(key.version, shared.state.build))
        remaining_s = int(min(basis.until - time.monotonic() - _CLOCK_S, self._ttl_s))
        return Response(
            headers={
                "X-Plugin-Root": f"{key.slug}/v{key.version}",
                "X-Plugin-Tree": tree,
                "X-Accel-Expires": str(0 if tree == _NO_TREE else max(0, remaining_s)),
                "Cache-Control": NO_STORE,
            }
        )

    def _require_proxy(self, scope: Scope) -> None:
        """Raises: AdministratorRequired."""
        # The permissions of the Unix socket's file decide who may connect to it.
        if not (is_on_socket(scope) or is_loopback(scope) or scope in self._trusted):
            raise AdministratorRequired

    def _original(self, scope: Scope, headers: Headers) -> tuple[Scope, AssetRoute]:
        """The scope of the original request, and the route that it takes.

        Raises: InvalidRequest; AssetNotFound, if it takes no route of files.
        """
        uri = headers.get(b"x-original-uri")
        if uri is None or b" " in uri:  # two fields, joined
            raise InvalidRequest("X-Original-URI: expected one, the path that is asked for")
        original = {**scope, "raw_path": uri.partition(b"?")[0]}
        for route in self._routes:
            if route.path_below(original):
                return original, route
        raise AssetNotFound(reason="no route of files begins like that")

    def _tree(self, slug: Slug, pin: Pin) -> str:
        has_tree = self._trees is not None and self._trees.path(slug, pin).is_dir()
        return tree_name(slug, pin) if has_tree else _NO_TREE
