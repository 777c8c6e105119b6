"""Explains what a GET of a whole URL would be answered: by the route's own decision."""

import time
from collections.abc import Sequence
from urllib.parse import quote, unquote, urlsplit

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from gateway.endpoints.assets import AssetRoute, OwnAssets, SignedAssets
from gateway.errors import ConfigurationError
from gateway.http.heads import Headers
from gateway.names import UserId, parse_target
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

        Raises: ConfigurationError, if another route than that of a file answers the URL.
        """
        scope = _scope_of(url, token)
        explanation = Explanation(user)
        route = self._route_of(scope)
        if route is None:
            explanation.answer = "404 not_found: the gateway has no such URL"
            explanation.advice = self._advice_on(scope["path"])
            return explanation
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

    def _route_of(self, scope: Scope) -> AssetRoute | None:
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] is Match.FULL:
                if isinstance(route.endpoint, AssetRoute):
                    return route.endpoint
                raise ConfigurationError(
                    f"--url: expected the URL of a plugin's file; {route.path} is another route"
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


def _resolve(
    explanation: Explanation, route: AssetRoute, scope: Scope, headers: Headers, below: bytes
) -> Resolution:
    """The decision of the route. Notes who asks, before a refusal can end it."""
    if isinstance(route, OwnAssets):
        explanation.plugin = _plugin_in(below)
        if explanation.user is not None:
            explanation.note("caller", explanation.user, "--user")
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

    Raises: ConfigurationError.
    """
    try:
        parts = urlsplit(url)
        raw_path = quote(parts.path, safe=_AS_IT_IS).encode("ascii")
        query = quote(parts.query, safe=_AS_IT_IS + "?").encode("ascii")
    except ValueError as error:
        raise ConfigurationError(f"--url: not a URL: {error}") from None
    if not raw_path.startswith(b"/"):
        raise ConfigurationError("--url: expected a URL, or its path, which begins with '/'")
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
