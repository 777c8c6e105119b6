"""The routes of files: the caller decides which version, the URL decides how long it is kept."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import ClassVar, TypeVar
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from gateway.caching.basis import AtHand, Basis
from gateway.delivery import FileRequest
from gateway.endpoints.sending import AssetServer
from gateway.errors import InvalidToken, MethodNotAllowed, NotServed
from gateway.http.answers import ALLOW, answer_options
from gateway.http.cache_policy import Audience
from gateway.http.heads import Head, Headers, joined_headers
from gateway.identity.chain import IdentityChain
from gateway.identity.signed import Capability, SignedPaths
from gateway.metrics.catalogue import RouteClass
from gateway.names import parse_pinned_folder, parse_target
from gateway.serving.resolver import PinnedVersion, Resolution, Resolver

Found = TypeVar("Found", Resolution, PinnedVersion)

_ENDPOINT = re.compile(rb"[^/]*/(?:info|status|modules(?:/[^/]*)?|@[^/]*/)|by-slug/[^/]*|[^/]*")


class AssetRoute(ABC):
    """The URLs of files that one kind of caller asks for.

    The front finds the route by `raw_prefix` and `takes`. Starlette's router gets the requests that
    the front does not take, and finds the route by `pattern`.
    """

    audience: ClassVar[Audience]
    route_class: ClassVar[RouteClass]
    _rest: ClassVar[str] = "{plugin}/{path:path}"

    def __init__(self, server: AssetServer, resolver: Resolver, prefix: str) -> None:
        """`prefix`: how the paths of this route begin."""
        self.server = server
        self._lifetimes = server.lifetimes(self.audience)
        self.resolver = resolver
        self._prefix = prefix
        self.raw_prefix = quote(prefix).encode()
        self.pattern = prefix + self._rest
        """In the words of Starlette's router."""
        self.pin_pattern = self.pattern.replace("{path:path}", "{pin}/")
        """Of the URLs that name a pin, and no file of it."""

    def takes(self, below: bytes) -> bool:
        """False for a pin without a file: integrity.py answers about it."""
        return not (below.endswith(b"/") and (b"/@" in below or b"/%40" in below))

    def answer_from_memory(
        self, basis: AtHand, scope: Scope, headers: Headers, below: bytes
    ) -> tuple[Head, bytes] | None:
        """See `HotRoute`."""
        resolution = self.resolve(basis, scope, headers, below)
        return self.server.answer_from_memory(basis, scope, headers, resolution, self._lifetimes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if await answered_by_method(scope, send):
            return
        basis = Basis.of(scope)
        request = FileRequest(scope, receive, send, joined_headers(scope))
        below = self.path_below(scope)
        resolution = await basis.settled(self.resolve, scope, request.headers, below)
        await self.server.answer(basis, request, resolution, self._lifetimes)

    @property
    def pinned_lifetime(self) -> bytes:
        """The value of Cache-Control of what a pin names."""
        return self._lifetimes[True]

    @property
    def segments_before_path(self) -> int:
        """How many segments, below the prefix, stand before the path of the file."""
        return self._rest.count("/")

    @abstractmethod
    def resolve(self, basis: AtHand, scope: Scope, headers: Headers, below: bytes) -> Resolution:
        """The file that the path and the credential name; the hot and the cold path both ask it.

        Raises: RequestError, Pending.
        """

    @abstractmethod
    def resolve_pin(
        self, basis: AtHand, scope: Scope, headers: Headers, below: bytes
    ) -> PinnedVersion:
        """The version that a path names which ends with a pin and a slash.

        Raises: RequestError, Pending.
        """

    def path_below(self, scope: Scope) -> bytes:
        """The path as received, without the prefix; empty: it does not begin with the prefix."""
        raw_path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        root_path = scope.get("root_path")
        prefix = quote(root_path + self._prefix).encode() if root_path else self.raw_prefix
        return raw_path[len(prefix) :] if raw_path.startswith(prefix) else b""


class OwnAssets(AssetRoute):
    """`{api}/plugins/{plugin}/…`: the caller's file, at the caller's version."""

    audience = Audience.PRIVATE
    route_class = RouteClass.OWN

    def __init__(
        self, server: AssetServer, resolver: Resolver, prefix: str, identity: IdentityChain
    ) -> None:
        super().__init__(server, resolver, prefix)
        self.identity = identity

    def takes(self, below: bytes) -> bool:
        """False also for the JSON endpoints whose paths begin in the same way (plugins.py), and for
        escaped paths, which the router decodes first."""
        return b"%" not in below and _ENDPOINT.fullmatch(below) is None

    def resolve(self, basis: AtHand, scope: Scope, headers: Headers, below: bytes) -> Resolution:
        user = self.identity.identify(basis, scope, headers)
        return self.resolver.resolve(basis, user, parse_target(below))

    def resolve_pin(
        self, basis: AtHand, scope: Scope, headers: Headers, below: bytes
    ) -> PinnedVersion:
        user = self.identity.identify(basis, scope, headers)
        return self.resolver.resolve_pin(basis, user, *parse_pinned_folder(below))


class PublicAssets(AssetRoute):
    """`{api}/public/plugins/{plugin}/…`: without a credential, as script tags ask."""

    audience = Audience.PUBLIC
    route_class = RouteClass.PUBLIC

    def resolve(self, basis: AtHand, _scope: Scope, _headers: Headers, below: bytes) -> Resolution:
        return self.resolver.resolve_public(basis, parse_target(below))

    def resolve_pin(
        self, basis: AtHand, _scope: Scope, _headers: Headers, below: bytes
    ) -> PinnedVersion:
        return self.resolver.resolve_public_pin(basis, *parse_pinned_folder(below))


class SignedAssets(AssetRoute):
    """`{api}/signed/{token}/plugins/{plugin}/…`: the token in the path is the credential."""

    audience = Audience.PUBLIC
    route_class = RouteClass.SIGNED
    _rest = "{token}/plugins/{plugin}/{path:path}"

    def __init__(
        self, server: AssetServer, resolver: Resolver, prefix: str, signed: SignedPaths
    ) -> None:
        super().__init__(server, resolver, prefix)
        self.signed = signed

    def resolve(self, basis: AtHand, _scope: Scope, _headers: Headers, below: bytes) -> Resolution:
        capability, rest = self._capability(basis, below)
        target = parse_target(rest)
        ask = partial(self.resolver.resolve, basis, capability.user, target)
        return _of_signed_plugin(capability, target.plugin, ask)

    def resolve_pin(
        self, basis: AtHand, _scope: Scope, _headers: Headers, below: bytes
    ) -> PinnedVersion:
        capability, rest = self._capability(basis, below)
        plugin, pin = parse_pinned_folder(rest)
        ask = partial(self.resolver.resolve_pin, basis, capability.user, plugin, pin)
        return _of_signed_plugin(capability, plugin, ask)

    def _capability(self, basis: AtHand, below: bytes) -> tuple[Capability, bytes]:
        """What the token permits, and the path below it."""
        token, _, rest = below.partition(b"/plugins/")
        now = time.time()
        capability = self.signed.verify(token.decode("latin-1"), now)
        basis.limit_to(capability.expires_s - now)
        basis.identified(capability.user)
        return capability, rest


def _of_signed_plugin(capability: Capability, plugin: str, ask: Callable[[], Found]) -> Found:
    """The answer, if it is about the plugin that the token is for.

    Raises: InvalidToken; what `ask` raises.
    """
    foreign = InvalidToken(reason=f"the signed path is for {capability.slug} alone")
    try:
        found = ask()
    except NotServed:
        if plugin == capability.slug:
            raise
        raise foreign from None
    if found.slug != capability.slug:
        raise foreign
    return found


async def answered_by_method(scope: Scope, send: Send) -> bool:
    """Answers OPTIONS. Raises: MethodNotAllowed, for anything but GET, HEAD and OPTIONS."""
    method = scope["method"]
    if method in ("GET", "HEAD"):
        return False
    if method != "OPTIONS":
        raise MethodNotAllowed(ALLOW)
    await answer_options(send)
    return True
