"""The JSON endpoints of a user's plugins: manifest, info, modules, status."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.basis import Basis
from gateway.catalogue import Catalogue
from gateway.endpoints.answers import json_answer
from gateway.formats import JsonObject
from gateway.identity import IdentityChain
from gateway.names import UserId

Question = Callable[[UserId, Request], Awaitable[JsonObject]]


def plugin_routes(prefix: str, catalogue: Catalogue, identity: IdentityChain) -> list[Route]:
    """Routes below `{api}/plugins`; all want a credential. They precede the files' routes:
    `…/{plugin}/info` is no file.
    """

    def route(path: str, question: Question) -> Route:
        async def answer(request: Request) -> Response:
            user = await identity.identify(request.scope, Basis.of(request.scope))
            return json_answer(request, await question(user, request))

        return Route(prefix + path, answer, methods=["GET"])

    def parameter(request: Request, name: str) -> str:
        return str(request.path_params[name])

    return [
        route("/manifest", lambda user, _: catalogue.manifest(user, with_modules=False)),
        route("/manifest/designer", lambda user, _: catalogue.manifest(user, with_modules=True)),
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
