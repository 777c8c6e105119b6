"""The routes of files: who asks decides which version, the URL decides how long it is kept.

Raw ASGI applications: no middleware, no Request object on the way of a file.
"""

import time
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from gateway.assets import AssetStore
from gateway.builds import BuildIndex
from gateway.cache_policy import NO_STORE, Audience, asset_cache_control
from gateway.conditional import Outcome, Preconditions, evaluate
from gateway.delivery.file import send_file
from gateway.delivery.memory import send_content
from gateway.errors import (
    InvalidToken,
    MethodNotAllowed,
    NotServed,
    PreconditionFailed,
    VersionRetired,
)
from gateway.identity import IdentityChain
from gateway.identity.signed import SignedPaths
from gateway.names import parse_target
from gateway.representation import Representation
from gateway.resolver import Resolution, Resolver
from gateway.settings import Settings
from gateway.storage import PluginStorage

ALLOW = "GET, HEAD, OPTIONS"


class AssetServer:
    """Sends the file of a resolution; what the three routes have in common."""

    def __init__(
        self, settings: Settings, storage: PluginStorage, store: AssetStore, builds: BuildIndex
    ) -> None:
        self._storage = storage
        self._store = store
        self._builds = builds
        self._cache_control = {
            (audience, pinned): asset_cache_control(
                audience,
                pinned=pinned,
                unpinned_max_age_s=settings.http.unpinned_max_age,
                dev=settings.dev.enabled,
            ).encode()
            for audience in Audience
            for pinned in (False, True)
        }

    async def send(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        resolution: Resolution,
        audience: Audience,
    ) -> None:
        """Raises: RequestError, before anything is sent."""
        representation = await self._representation(resolution)
        pinned = resolution.content_digest is not None
        cache_control = (b"cache-control", self._cache_control[audience, pinned])
        conditions = Preconditions.of(scope["headers"])
        if conditions is not None:
            outcome = evaluate(
                conditions,
                etag=representation.etag,
                last_modified_s=representation.last_modified_s,
            )
            if outcome is Outcome.NOT_MODIFIED:
                fields = (*representation.not_modified_fields, cache_control)
                await send_content(send, 304, fields, b"")
                return
            if outcome is Outcome.FAILED:
                raise PreconditionFailed
        fields = (*representation.fields, cache_control)
        if representation.content is None:
            key = resolution.key
            folder = self._storage.construct_shared_path(key.slug, key.version)
            await send_file(scope, receive, send, folder / key.path, fields)
        else:
            body = b"" if scope["method"] == "HEAD" else representation.content
            await send_content(send, 200, fields, body)

    async def _representation(self, resolution: Resolution) -> Representation:
        """The bytes, which are the pinned ones if the URL is pinned.

        The folder's state and the file are looked at separately, and the folder may be
        rewritten in between: the content's digest decides, both are looked at again once.
        """
        key, wanted = resolution.key, resolution.content_digest
        try:
            found = await self._store.get(key)
            if wanted is not None and found.digest != wanted:
                self._store.purge(key)
                found = await self._store.get(key)
        except NotServed as error:
            raise type(error)(owned=resolution.owned, reason=error.reason) from None
        if wanted is not None and found.digest != wanted:
            self._builds.purge(key.slug, key.version)
            raise VersionRetired(reason=f"{key} was rebuilt in place")
        return found


class OwnAssets:
    """`{api}/plugins/{plugin}/…`: the caller's file, at the caller's version."""

    def __init__(
        self, server: AssetServer, resolver: Resolver, identity: IdentityChain, prefix: str
    ) -> None:
        self._server = server
        self._resolver = resolver
        self._identity = identity
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await answered_by_method(scope, send):
            return
        user = await self._identity.identify(scope)
        target = parse_target(_raw_path_below(scope, self._prefix))
        resolution = await self._resolver.resolve(user, target)
        await self._server.send(scope, receive, send, resolution, Audience.PRIVATE)


class PublicAssets:
    """`{api}/public/plugins/{plugin}/…`: without a credential, as script tags ask."""

    def __init__(self, server: AssetServer, resolver: Resolver, prefix: str) -> None:
        self._server = server
        self._resolver = resolver
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await answered_by_method(scope, send):
            return
        target = parse_target(_raw_path_below(scope, self._prefix))
        resolution = await self._resolver.resolve_public(target)
        await self._server.send(scope, receive, send, resolution, Audience.PUBLIC)


class SignedAssets:
    """`{api}/signed/{token}/plugins/{plugin}/…`: the token in the path is the credential."""

    def __init__(
        self, server: AssetServer, resolver: Resolver, signed: SignedPaths, prefix: str
    ) -> None:
        self._server = server
        self._resolver = resolver
        self._signed = signed
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await answered_by_method(scope, send):
            return
        token, _, rest = _raw_path_below(scope, self._prefix).partition(b"/plugins/")
        capability = self._signed.verify(token.decode("latin-1"), time.time())
        target = parse_target(rest)
        foreign = InvalidToken(reason=f"the signed path is for {capability.slug} alone")
        try:
            resolution = await self._resolver.resolve(capability.user, target)
        except NotServed:
            if target.plugin == capability.slug:
                raise
            raise foreign from None
        if resolution.key.slug != capability.slug:
            raise foreign
        await self._server.send(scope, receive, send, resolution, Audience.PUBLIC)


async def answered_by_method(scope: Scope, send: Send) -> bool:
    """Answers OPTIONS. Raises: MethodNotAllowed, for anything but GET, HEAD and OPTIONS."""
    method = scope["method"]
    if method in ("GET", "HEAD"):
        return False
    if method != "OPTIONS":
        raise MethodNotAllowed(ALLOW)
    fields = ((b"allow", ALLOW.encode()), (b"cache-control", NO_STORE.encode()))
    await send_content(send, 204, fields, b"")
    return True


def _raw_path_below(scope: Scope, prefix: str) -> bytes:
    """The path as received, without `prefix`; empty if it is written in some other way."""
    raw_path = scope.get("raw_path") or quote(scope["path"]).encode()
    full_prefix = quote(scope.get("root_path", "") + prefix).encode()
    if not raw_path.startswith(full_prefix):
        return b""
    found: bytes = raw_path[len(full_prefix) :]
    return found
