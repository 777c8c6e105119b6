"""The routes of files: who asks decides which version, the URL decides how long it is kept.

Raw ASGI applications for requests that are not decided yet; front.py answers the others.
"""

import time
from typing import ClassVar
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from gateway.basis import Basis
from gateway.cache_policy import NO_STORE, Audience
from gateway.delivery.memory import send_answer
from gateway.endpoints.sending import AssetServer, Exchange
from gateway.errors import InvalidToken, MethodNotAllowed, NotServed
from gateway.identity import IdentityChain
from gateway.identity.signed import SignedPaths
from gateway.names import parse_target
from gateway.resolver import Resolution, Resolver

ALLOW = "GET, HEAD, OPTIONS"


class AssetRoute:
    """One way of asking for files."""

    audience: ClassVar[Audience]

    def __init__(self, server: AssetServer, resolver: Resolver, prefix: str) -> None:
        """`prefix`: with which the paths of this route begin."""
        self._server = server
        self._resolver = resolver
        self.prefix = prefix
        self._quoted_prefix = quote(prefix).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await answered_by_method(scope, send):
            return
        exchange = Exchange(scope, receive, send)
        resolution = await self.resolve(scope, exchange.basis)
        await self._server.answer(exchange, resolution, self.audience)

    async def resolve(self, scope: Scope, basis: Basis) -> Resolution:
        """The file that the scope's path and credential name. Raises: RequestError."""
        raise NotImplementedError

    def path_below(self, scope: Scope) -> bytes:
        """The path as received, without the prefix; empty if it is written in some other way."""
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        root_path = scope.get("root_path")
        prefix = quote(root_path + self.prefix).encode() if root_path else self._quoted_prefix
        return raw_path[len(prefix) :] if raw_path.startswith(prefix) else b""


class OwnAssets(AssetRoute):
    """`{api}/plugins/{plugin}/…`: the caller's file, at the caller's version."""

    audience = Audience.PRIVATE

    def __init__(
        self, server: AssetServer, resolver: Resolver, prefix: str, identity: IdentityChain
    ) -> None:
        super().__init__(server, resolver, prefix)
        self._identity = identity

    async def resolve(self, scope: Scope, basis: Basis) -> Resolution:
        user = await self._identity.identify(scope, basis)
        basis.mark("identify")
        target = parse_target(self.path_below(scope))
        return await self._resolver.resolve(user, target, basis)


class PublicAssets(AssetRoute):
    """`{api}/public/plugins/{plugin}/…`: without a credential, as script tags ask."""

    audience = Audience.PUBLIC

    async def resolve(self, scope: Scope, basis: Basis) -> Resolution:
        target = parse_target(self.path_below(scope))
        return await self._resolver.resolve_public(target, basis)


class SignedAssets(AssetRoute):
    """`{api}/signed/{token}/plugins/{plugin}/…`: the token in the path is the credential."""

    audience = Audience.PUBLIC

    def __init__(
        self, server: AssetServer, resolver: Resolver, prefix: str, signed: SignedPaths
    ) -> None:
        super().__init__(server, resolver, prefix)
        self._signed = signed

    async def resolve(self, scope: Scope, basis: Basis) -> Resolution:
        token, _, rest = self.path_below(scope).partition(b"/plugins/")
        now = time.time()
        capability = self._signed.verify(token.decode("latin-1"), now)
        basis.limit_to(capability.expires_s - now)
        target = parse_target(rest)
        foreign = InvalidToken(reason=f"the signed path is for {capability.slug} alone")
        try:
            resolution = await self._resolver.resolve(capability.user, target, basis)
        except NotServed:
            if target.plugin == capability.slug:
                raise
            raise foreign from None
        if resolution.key.slug != capability.slug:
            raise foreign
        return resolution


async def answered_by_method(scope: Scope, send: Send) -> bool:
    """Answers OPTIONS. Raises: MethodNotAllowed, for anything but GET, HEAD and OPTIONS."""
    method = scope["method"]
    if method in ("GET", "HEAD"):
        return False
    if method != "OPTIONS":
        raise MethodNotAllowed(ALLOW)
    fields = ((b"allow", ALLOW.encode()), (b"cache-control", NO_STORE.encode()))
    await send_answer(send, 204, fields, b"")
    return True
