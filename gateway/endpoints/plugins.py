"""The JSON endpoints of a user's plugins: manifest, info, modules, status."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.basis import AtHand, Basis
from gateway.cache_policy import JSON_ANSWER
from gateway.catalogue import Catalogue
from gateway.delivery.memory import send_held
from gateway.endpoints.answers import json_answer, plan_json
from gateway.formats import JsonObject, to_json
from gateway.identity import Headers, IdentityChain, joined_headers
from gateway.names import UserId
from gateway.planning import prepared
from gateway.representation import Prepared, Variant, json_variant

Question = Callable[[UserId, Request], Awaitable[JsonObject]]


class ManifestRoute:
    """`{api}/plugins/manifest`, with modules or without."""

    def __init__(
        self, catalogue: Catalogue, identity: IdentityChain, *, with_modules: bool
    ) -> None:
        self._catalogue = catalogue
        self._identity = identity
        self._with_modules = with_modules

    def takes(self, below: bytes) -> bool:
        return not below

    def answer_from_memory(
        self, basis: AtHand, scope: Scope, headers: Headers, _below: bytes
    ) -> tuple[Prepared, bytes] | None:
        """See front.py."""
        variant = self._manifest(basis, scope, headers)
        found = prepared(variant, JSON_ANSWER.encode(), headers.get(b"if-none-match"))
        return found, ((variant.content or b"") if found.status == 200 else b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = joined_headers(scope)
        variant = await Basis.of(scope).settled(self._manifest, scope, headers)
        plan = plan_json(scope["method"], headers, variant)
        await send_held(send, plan, variant.content or b"")

    def _manifest(self, basis: AtHand, scope: Scope, headers: Headers) -> Variant:
        user = self._identity.identify(basis, scope, headers)
        return self._catalogue.manifest(basis, user, with_modules=self._with_modules)


def plugin_routes(
    prefix: str,
    catalogue: Catalogue,
    identity: IdentityChain,
    manifests: Mapping[str, ManifestRoute],
) -> list[Route]:
    """Routes below `{api}/plugins`; all want a credential. They precede the files' routes:
    `…/{plugin}/info` is no file. `manifests`: by path.
    """

    def route(path: str, question: Question) -> Route:
        async def answer(request: Request) -> Response:
            headers = joined_headers(request.scope)
            basis = Basis.of(request.scope)
            user = await basis.settled(identity.identify, request.scope, headers)
            content = await question(user, request)
            variant = json_variant(to_json(content))
            return json_answer(plan_json(request.method, headers, variant), variant)

        return Route(prefix + path, answer, methods=["GET"])

    def parameter(request: Request, name: str) -> str:
        return str(request.path_params[name])

    return [
        *(Route(prefix + path, each, methods=["GET"]) for path, each in manifests.items()),
        route(
            "/by-slug/{slug}",
            lambda user, request: catalogue.by_slug(user, parameter(request, "slug")),
        ),
        route(
            "/{plugin}/status",
            lambda user, request: catalogue.status(user, parameter(request, "plugin")),
        ),
        route(
            "/{plugin}/info",
            lambda user, request: catalogue.info(user, parameter(request, "plugin")),
        ),
        route(
            "/{plugin}/modules",
            lambda user, request: catalogue.modules(user, parameter(request, "plugin")),
        ),
        route(
            "/{plugin}/modules/{module}",
            lambda user, request: catalogue.module(
                user, parameter(request, "plugin"), parameter(request, "module")
            ),
        ),
    ]
