"""The JSON endpoints of a user's plugins: manifest, info, modules, status."""

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.caching.basis import AtHand, Basis
from gateway.endpoints.json_answers import conditional_answer
from gateway.http.cache_policy import JSON_ANSWER
from gateway.http.conditional import is_known
from gateway.http.heads import Head, Headers, joined_headers
from gateway.http.planning import JsonHeads
from gateway.http.representation import json_variant
from gateway.identity.chain import IdentityChain
from gateway.metrics.catalogue import RouteClass
from gateway.names import UserId
from gateway.serving.catalogue import Catalogue
from gateway.serving.formats import to_json
from gateway.serving.manifest_cache import ManifestCache
from gateway.serving.manifests import Manifest

_CACHE_CONTROL = JSON_ANSWER.encode()
_HEADS = JsonHeads(_CACHE_CONTROL)
_PARAMETER = re.compile(r"\{(\w+)\}")
Question = Callable[..., Awaitable[object]]
"""Takes the user, then the parameters of the path in their order."""


class ManifestRoute:
    """`{api}/plugins/manifest`, with modules or without."""

    route_class: ClassVar[RouteClass] = RouteClass.MANIFEST

    def __init__(
        self, manifests: ManifestCache, identity: IdentityChain, *, with_modules: bool
    ) -> None:
        self._manifests = manifests
        self._identity = identity
        self._with_modules = with_modules

    def takes(self, below: bytes) -> bool:
        return not below

    def answer_from_memory(
        self, basis: AtHand, scope: Scope, headers: Headers, _below: bytes
    ) -> tuple[Head, bytes] | None:
        """See `HotRoute`. For a client that holds the manifest, no text is made."""
        user, manifest = self._manifest(basis, scope, headers)
        tag, if_none_match = manifest.tag(user), headers.get(b"if-none-match")
        if if_none_match is not None and is_known(b'"%b"' % tag.encode(), if_none_match):
            return _HEADS.not_modified(tag), b""
        body = manifest.body(user)
        return _HEADS.whole(tag, len(body)), body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = joined_headers(scope)
        user, manifest = await Basis.of(scope).settled(self._manifest, scope, headers)
        variant = json_variant(manifest.body(user), manifest.tag(user))
        answer = conditional_answer(scope["method"], headers, variant, _CACHE_CONTROL)
        await answer(scope, receive, send)

    def _manifest(self, basis: AtHand, scope: Scope, headers: Headers) -> tuple[UserId, Manifest]:
        user = self._identity.identify(basis, scope, headers)
        return user, self._manifests.get(basis, user, with_modules=self._with_modules)


class PluginRoutes:
    """The routes below `{api}/plugins` that answer with JSON about a plugin; each needs a
    credential. They stand before the files' routes: `{plugin}/info` is no file.
    """

    def __init__(self, prefix: str, catalogue: Catalogue, identity: IdentityChain) -> None:
        """`prefix`: `{api}/plugins`."""
        self._prefix = prefix
        self._identity = identity
        self.routes = [
            self._route("/by-slug/{slug}", catalogue.by_slug),
            self._route("/{plugin}/status", catalogue.status),
            self._route("/{plugin}/info", catalogue.info),
            self._route("/{plugin}/modules", catalogue.modules),
            self._route("/{plugin}/modules/{module}", catalogue.module),
        ]

    def _route(self, path: str, question: Question) -> Route:
        endpoint = partial(self._answer, question, _PARAMETER.findall(path))
        return Route(self._prefix + path, endpoint, methods=["GET"])

    async def _answer(
        self, question: Question, parameters: Iterable[str], request: Request
    ) -> Response:
        headers = joined_headers(request.scope)
        basis = Basis.of(request.scope)
        user = await basis.settled(self._identity.identify, request.scope, headers)
        content = await question(user, *(request.path_params[name] for name in parameters))
        variant = json_variant(to_json(content))
        return conditional_answer(request.method, headers, variant, _CACHE_CONTROL)
