"""The JSON endpoints of a user's plugins: manifest, info, modules, status."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.basis import Basis
from gateway.catalogue import Catalogue
from gateway.decisions import Decisions
from gateway.endpoints.answers import json_answer, plan_json
from gateway.endpoints.sending import ASKED
from gateway.formats import JsonObject, to_json
from gateway.identity import IdentityChain
from gateway.names import UserId
from gateway.representation import json_variant

Question = Callable[[UserId, Request], Awaitable[JsonObject]]


def plugin_routes(
    prefix: str, catalogue: Catalogue, identity: IdentityChain, decisions: Decisions
) -> list[Route]:
    """Routes below `{api}/plugins`; all want a credential. They precede the files' routes:
    `…/{plugin}/info` is no file.
    """

    def route(path: str, question: Question) -> Route:
        async def answer(request: Request) -> Response:
            user = await identity.identify(request.scope, Basis.of(request.scope))
            content = await question(user, request)
            variant = json_variant(to_json(content))
            return json_answer(plan_json(request, variant), variant)

        return Route(prefix + path, answer, methods=["GET"])

    def manifest_route(path: str, *, with_modules: bool) -> Route:
        async def answer(request: Request) -> Response:
            basis = Basis.of(request.scope)
            user = await identity.identify(request.scope, basis)
            variant = await catalogue.manifest(user, basis, with_modules=with_modules)
            plan = plan_json(request, variant)
            decisions.remember(request.scope.get(ASKED), plan, variant, basis)
            return json_answer(plan, variant)

        return Route(prefix + path, answer, methods=["GET"])

    def parameter(request: Request, name: str) -> str:
        return str(request.path_params[name])

    return [
        manifest_route("/manifest", with_modules=False),
        manifest_route("/manifest/designer", with_modules=True),
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
