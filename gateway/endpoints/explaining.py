"""`/-/explain`: what a GET would be answered, and why: by the decision of the URL's own route."""

import time
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from gateway.endpoints.assets import AssetRoute, OwnAssets, SignedAssets
from gateway.endpoints.bodies import Body, read_body, refuse_foreign_page
from gateway.endpoints.name_forms import UserIdText
from gateway.endpoints.queries import Query
from gateway.errors import InvalidRequest
from gateway.http.answers import json_answer
from gateway.http.heads import Headers
from gateway.identity.callers import Callers
from gateway.names import UserId, parse_target, parse_user_id
from gateway.serving.explain import Explainer, Explanation
from gateway.serving.resolver import Resolution
from gateway.settings import Settings

# What a URL may hold as it is (RFC 3986 §3.3), and "%", which begins what is escaped already.
_AS_IT_IS = "/%@~!$&'()*+,;=:-._"


class UrlExplainer:
    """Finds the route of a URL as the application's router does, and notes what it decides."""

    def __init__(
        self, routes: Sequence[BaseRoute], explainer: Explainer, settings: Settings
    ) -> None:
        self._routes = routes
        self._explainer = explainer
        self._settings = settings

    async def explain(
        self, url: str, *, user: UserId | None = None, token: str | None = None
    ) -> Explanation:
        """`url`: from its path on; scheme and host may stand before it, and count for nothing.

        `user`: decides as for this user, without a credential. `token`: sent as a bearer token.

        Raises: InvalidRequest, if another route than that of a file answers the URL.
        """
        scope = _scope_of(url, token)
        explanation = Explanation(user)
        route = self._route_of(scope)
        if route is None:
            explanation.answer = "404 not_found: the gateway has no such URL"
            explanation.advice = self._advice_on(scope["path"])
            return explanation
        if user is None and isinstance(route, OwnAssets) and route.identity.asks_application:
            raise InvalidRequest("user: expected, for only the application knows its users")
        headers = dict(scope["headers"])
        below = route.path_below(scope)

        async def decide() -> None:
            resolution = await explanation.settled(_resolve, route, scope, headers, below)
            steps = [*explanation.steps]
            try:
                representation = await route.server.representation(explanation, resolution)
            finally:
                explanation.steps = steps  # a wait for the file begins them again
            self._explainer.note_file(explanation, resolution.key, representation)

        await self._explainer.conclude(explanation, decide)
        return explanation

    def is_credential(self, url: str) -> bool:
        """Whether the URL itself permits something, as a signed one does. Raises: as `explain`."""
        return isinstance(self._route_of(_scope_of(url, None)), SignedAssets)

    def needs_credential(self, url: str) -> bool:
        """Whether the request, not the URL, says who asks. Raises: as `explain`."""
        return isinstance(self._route_of(_scope_of(url, None)), OwnAssets)

    def _route_of(self, scope: Scope) -> AssetRoute | None:
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                if isinstance(route.endpoint, AssetRoute):
                    return route.endpoint
                raise InvalidRequest(
                    f"url: expected the URL of a plugin's file; {route.path} is another route"
                )
        return None

    def _advice_on(self, path: str) -> str:
        """What to do about a URL that no route has."""
        api = self._settings.http.api_prefix
        if path.startswith(f"{api}/public/plugins/"):
            return "Set access.public = true, if anybody may read plugin files"
        if path.startswith(f"{api}/signed/"):
            return "Correct the URL; signed URLs need identity.signed.secret"
        return (
            f"Ask for {api}/plugins/SLUG/PATH; if the application has another prefix, set"
            " http.api_prefix, and let the proxy pass paths on as they are"
        )


class Question(Body):
    """About `url`, or about `plugin` and `path` of `user`."""

    url: str | None = None
    user: UserIdText | None = None
    token: str | None = Field(None, description="The bearer token that the client of `url` sends.")
    plugin: str | None = None
    path: str | None = None

    def parsed_user(self) -> UserId | None:
        """Raises: InvalidRequest."""
        try:
            return parse_user_id(self.user) if self.user else None
        except ValueError as error:
            raise InvalidRequest(f"user: {error}") from None


class Explanations:
    """The route by which administrators ask for explanations."""

    def __init__(self, urls: UrlExplainer, files: Explainer, callers: Callers) -> None:
        self._urls = urls
        self._files = files
        self._callers = callers
        self.route = Route("/-/explain", self._answer, methods=["GET", "POST"])

    async def _answer(self, request: Request) -> Response:
        if request.method == "POST":
            refuse_foreign_page(request)
        await self._callers.require_administrator(request.scope)
        if request.method == "POST":
            question = await read_body(request, Question)
            return await self._explain(question, request.scope)
        # Proxies and browsers keep URLs: no credential may be in one.
        if "token" in request.query_params:
            raise InvalidRequest("token: expected in the JSON body of a POST, never in a URL")
        names = ("url", "user", "plugin", "path")
        query = Query(request, *names)
        question = Question(**{name: query.parsed(name, str) for name in names})
        if question.url and self._urls.is_credential(below_mount(question.url, request.scope)):
            raise InvalidRequest("url: a signed URL is expected in the JSON body of a POST")
        return await self._explain(question, request.scope)

    async def _explain(self, question: Question, scope: Scope) -> Response:
        """Raises: InvalidRequest."""
        user = question.parsed_user()
        if question.url:
            if question.plugin or question.path or (user and question.token):
                raise InvalidRequest("url: expected alone, or with user or token")
            url = below_mount(question.url, scope)
            found = await self._urls.explain(url, user=user, token=question.token)
        else:
            if user is None or question.token:
                raise InvalidRequest("expected url, or user with plugin and path")
            plugin, path = question.plugin or "", question.path or ""
            found = await self._files.explain(user, plugin, path)
        return json_answer(found.as_json())


def below_mount(url: str, scope: Scope) -> str:
    """The URL as the gateway sees it, where an application has mounted it below a prefix."""
    root_path = scope.get("root_path", "")
    try:
        parts = urlsplit(url)
    except ValueError:  # UrlExplainer says so
        return url
    for prefix in (root_path, quote(root_path)):
        if prefix and parts.path.startswith(f"{prefix}/"):
            return parts.path.removeprefix(prefix) + (f"?{parts.query}" if parts.query else "")
    return url


def _resolve(
    explanation: Explanation, route: AssetRoute, scope: Scope, headers: Headers, below: bytes
) -> Resolution:
    """The decision of the route. Notes who asks, before a refusal can end it."""
    if isinstance(route, OwnAssets):
        explanation.plugin = _plugin_in(below)
        if explanation.user is not None:
            explanation.note("caller", explanation.user, "given")
            return route.resolver.resolve(explanation, explanation.user, parse_target(below))
        user = route.identity.identify(explanation, scope, headers)
        explanation.note("caller", user, "credential")
    elif isinstance(route, SignedAssets):
        token, _, rest = below.partition(b"/plugins/")
        explanation.plugin = _plugin_in(rest)
        capability = route.signed.verify(token.decode("latin-1"), time.time())
        explanation.user = capability.user
        remaining_s = capability.expires_s - time.time()
        outcome = f"{capability.user}, {capability.slug}, for {remaining_s:.0f} s more"
        explanation.note("caller", outcome, "signed URL")
    else:
        explanation.plugin = _plugin_in(below)
        explanation.note("caller", "anybody", "access.public")
    return route.resolve(explanation, scope, headers, below)


def _plugin_in(below: bytes) -> str:
    return unquote(below.partition(b"/")[0].decode("latin-1"))


def _scope_of(url: str, token: str | None) -> Scope:
    """An ASGI scope as `serve` makes it of a GET by a peer that is not trusted.

    Raises: InvalidRequest.
    """
    try:
        parts = urlsplit(url)
        raw_path = quote(parts.path, safe=_AS_IT_IS).encode("ascii")
        query = quote(parts.query, safe=_AS_IT_IS + "?").encode("ascii")
    except ValueError as error:
        raise InvalidRequest(f"url: not a URL: {error}") from None
    if not raw_path.startswith(b"/"):
        raise InvalidRequest("url: expected a URL, or its path, which begins with '/'")
    credential = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    return {
        "type": "http",
        "method": "GET",
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "root_path": "",
        "query_string": query,
        "headers": credential,
        "client": None,
        "server": ("", 0),
    }
