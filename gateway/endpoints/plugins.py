"""The JSON endpoints of a user's plugins: manifest, info, modules, status."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.caching.basis import AtHand, Basis
from gateway.delivery.memory import body_of, send_held
from gateway.http.cache_policy import JSON_ANSWER
from gateway.http.conditional import ETag, matches
from gateway.http.planning import JsonAnswers, Plan, plan_answer
from gateway.http.representation import Prepared, Variant, json_variant
from gateway.identity import Headers, joined_headers
from gateway.identity.chain import IdentityChain
from gateway.names import UserId
from gateway.serving.catalogue import Catalogue
from gateway.serving.formats import JsonObject, to_json
from gateway.serving.manifests import Manifest

_ANSWERS = JsonAnswers(JSON_ANSWER.encode())
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
        """See front.py. Whoever holds the manifest already costs no text."""
        user, manifest = self._manifest(basis, scope, headers)
        tag, if_none_match = manifest.tag(user), headers.get(b"if-none-match")
        if if_none_match is not None and _is_known(tag, if_none_match):
            return _ANSWERS.not_modified(tag), b""
        body = manifest.body(user)
        return _ANSWERS.whole(tag, len(body)), body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = joined_headers(scope)
        user, manifest = await Basis.of(scope).settled(self._manifest, scope, headers)
        variant = json_variant(manifest.body(user), manifest.tag(user))
        plan = _plan_json(scope["method"], headers, variant)
        await send_held(send, plan, variant.content or b"")

    def _manifest(self, basis: AtHand, scope: Scope, headers: Headers) -> tuple[UserId, Manifest]:
        user = self._identity.identify(basis, scope, headers)
        return user, self._catalogue.manifest(basis, user, with_modules=self._with_modules)


def _is_known(tag: str, if_none_match: bytes) -> bool:
    """Whether the client holds what has this ETag (RFC 9110 §13.1.2)."""
    # Nearly always it sends what it was sent.
    return if_none_match == b'"%b"' % tag.encode() or matches(
        if_none_match.decode("latin-1"), ETag(tag), strongly=False
    )


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
            return _json_answer(_plan_json(request.method, headers, variant), variant)

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


def _plan_json(method: str, headers: Headers, variant: Variant) -> Plan:
    """200, or 304 where the caller holds it already. Raises: PreconditionFailed."""
    # Parts of a JSON answer are of use to nobody.
    whole = {name: value for name, value in headers.items() if name != b"range"}
    return plan_answer(method, whole, variant, JSON_ANSWER.encode())


def _json_answer(plan: Plan, variant: Variant) -> Response:
    response = Response(body_of(plan, variant.content or b""), plan.status)
    response.raw_headers = list(plan.fields)
    return response
