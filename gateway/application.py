"""HTTP around the core: settings in, ASGI application out."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import quote

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.core import Core
from gateway.delivery.modes import delivery_modes
from gateway.development.dev_server import DevServer
from gateway.development.development import Development
from gateway.endpoints.assets import AssetRoute, OwnAssets, PublicAssets, SignedAssets
from gateway.endpoints.auditing import AuditTrail
from gateway.endpoints.authorize import Authorization
from gateway.endpoints.caches import Caches
from gateway.endpoints.console import Console
from gateway.endpoints.debugging import DebugHeaders
from gateway.endpoints.developer_pages import DeveloperPages
from gateway.endpoints.dictionary_requests import DictionaryRequests
from gateway.endpoints.event_stream import StreamEnd
from gateway.endpoints.explaining import Explanations, UrlExplainer
from gateway.endpoints.findings import Findings
from gateway.endpoints.health import Health
from gateway.endpoints.integrity import IntegrityRoute, IntegrityTexts
from gateway.endpoints.lifecycle import LifecycleRoutes, route_without_methods
from gateway.endpoints.metrics import Metrics
from gateway.endpoints.openapi.route import OpenApi
from gateway.endpoints.passing_on import PassingOn
from gateway.endpoints.people import People
from gateway.endpoints.plugin_schema import PluginSchema
from gateway.endpoints.plugins import ManifestRoute, PluginRoutes
from gateway.endpoints.queries import Admission
from gateway.endpoints.sending import AssetServer
from gateway.errors import ConfigurationError, RequestError, TooManyQuestions
from gateway.hot_path.counting import RouteClasses
from gateway.hot_path.front import Front, HotRoute
from gateway.hot_path.traced_front import RequestTraces, TracedFront
from gateway.http.answers import internal_error, on_http_exception, on_request_error
from gateway.http.cors import CorsPolicy
from gateway.http.json_types import JsonObject
from gateway.http.request_id import RequestIds
from gateway.identity.application import UserFunction
from gateway.identity.callers import Callers
from gateway.identity.chain import IdentityChain
from gateway.identity.peers import TrustedPeers
from gateway.identity.signed import SignedPaths
from gateway.metrics.catalogue import RouteClass
from gateway.metrics.requests import RequestCounts
from gateway.overview.overview import Membership
from gateway.serving.user_listing import UserListing
from gateway.settings import Settings, describe_no_site, load_settings
from gateway.site import Site
from gateway.tracing.starting import request_tracer

logger = logging.getLogger(__name__)

# Of administrators, in each worker: what they ask may take the database or the disk seconds.
_QUESTIONS_AT_ONCE = 8


class Gateway:
    """The ASGI application: a core that knows the answers, and a front that sends them.

    A server runs its lifespan. An application that mounts it must do so in its own lifespan,
    for Starlette does not run the lifespans of mounted applications:

        async with gateway.running(): ...

    If nobody did, the first request starts it, and nothing stops it.
    """

    def __init__(
        self,
        settings: Settings,
        identity: IdentityChain | None = None,
        membership: Membership | None = None,
        development: Development | None = None,
    ) -> None:
        """See `Core`. Raises: ConfigurationError."""
        self.core = core = Core(settings, identity, membership, development)
        self.site = Site(settings, core.storage, core.lifecycle, core.announcer.announce)
        """What the application itself does with plugins."""
        self.health = Health(core.database, list(core.required_folders.values()), settings)
        core.overview.is_draining = self._is_draining
        self.stream_end = StreamEnd()
        self._callers = Callers(settings, core.identity)
        self._cors = CorsPolicy(settings.http.cors_origins, any_localhost=settings.dev.enabled)
        self._trusted = TrustedPeers(settings.identity.proxy.trusted)
        self._plugins_prefix = f"{settings.http.api_prefix}/plugins"
        self._file_routes = self._make_file_routes()
        self._integrity_texts = IntegrityTexts(settings.http.allowed_suffixes)
        self._manifest_routes = {
            "/manifest": ManifestRoute(core.manifests, core.identity, with_modules=False),
            "/manifest/designer": ManifestRoute(core.manifests, core.identity, with_modules=True),
        }
        groups = self._make_routes()
        self.routes: list[BaseRoute] = [route for _, routes in groups for route in routes]
        self.url_explainer = UrlExplainer(self.routes, core.explainer, settings)
        self._openapi = OpenApi(self.routes, settings)
        routes_about_routes = self._make_routes_about_routes()
        self.routes += routes_about_routes
        groups.append((RouteClass.OPERATIONS, routes_about_routes))
        self.front = self._make_front(groups)
        self._starting = ServerErrorMiddleware(self._start_first, self._could_not_start)
        self._start_lock = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.core.is_running:
            await self._starting(scope, receive, send)
        else:
            await self.front(scope, receive, send)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Opens the database, follows changes, and closes all at the end.

        Raises: ConfigurationError, if the database or a table is not what it should be.
        """
        return self.core.running()

    def openapi(self) -> JsonObject:
        """The OpenAPI document, without `servers`. The first call takes 0.1 s, and blocks."""
        return self._openapi.document

    def _is_draining(self) -> bool:
        """Also when the worker is being replaced, of which load balancers need not know."""
        return self.health.draining or self.stream_end.is_ordered

    async def _start_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._start_lock:
            if not self.core.is_running:
                logger.warning(
                    "nobody ran the gateway's lifespan: started at the first request; an"
                    " application that mounts it should enter gateway.running() in its own"
                )
                await self.core.run_until_exit()
        await self.front(scope, receive, send)

    async def _could_not_start(self, _request: Request, _error: Exception) -> Response:
        answer = internal_error()
        self.front.counts.count_refused(answer.status_code, answer.code, len(answer.body))
        return answer

    def _make_front(self, groups: Sequence[tuple[RouteClass, Sequence[Route]]]) -> Front:
        core = self.core
        counts = RequestCounts(core.metrics.column)
        core.metrics.copy_with(counts.copy)
        arguments = (
            self._make_router(),
            *self._hot_routes(),
            self._cors,
            counts,
            RouteClasses.of(groups),
            core.overview.recent,
            RequestIds(self._trusted),
            core.turns,
        )
        if not core.settings.observability.traces:
            return Front(*arguments)
        routes = [route for _, routes in groups for route in routes]
        return TracedFront(RequestTraces(request_tracer(), self._trusted, routes), *arguments)

    def _make_router(self) -> ASGIApp:
        """Answers what the front has no hot route for, and runs the lifespan."""
        application = Starlette(
            routes=self.routes,
            exception_handlers={
                RequestError: on_request_error,
                HTTPException: on_http_exception,
                Exception: internal_error,
            },
            lifespan=lambda _app: self.running(),
        )
        # A redirect names the Host that the client sent, and none of our URLs needs a redirect.
        application.router.redirect_slashes = False
        router: ASGIApp = application
        plugin = self.core.development
        if plugin is not None and plugin.dev_server is not None:
            router = PassingOn(router, self._file_routes, plugin, DevServer(plugin.dev_server))
        has_debug_headers = self.core.settings.observability.debug_headers
        return DebugHeaders(router) if has_debug_headers else router

    def _make_routes(self) -> list[tuple[RouteClass, Sequence[Route]]]:
        """By class, in the order in which they are tried."""
        core, settings = self.core, self.core.settings
        operations = [
            *self.health.routes,
            PluginSchema().route,
            *self._make_administration_routes(),
        ]
        if settings.observability.metrics:
            allowed = TrustedPeers(settings.observability.metrics_allow)
            operations.append(Metrics(core, allowed, self._callers).route)
        files, prefix = self._file_routes, self._plugins_prefix
        ttl_s = settings.delivery.authorize_ttl
        authorization = Authorization(
            files, core.shared_versions, core.pinned_trees, self._trusted, ttl_s
        )
        return [
            (RouteClass.OPERATIONS, operations),
            (RouteClass.AUTHORIZE, [authorization.route]),
            (
                RouteClass.MANIFEST,
                [
                    Route(prefix + path, route, methods=["GET"])
                    for path, route in self._manifest_routes.items()
                ],
            ),
            (RouteClass.PLUGIN, PluginRoutes(prefix, core.catalogue, core.identity).routes),
            (RouteClass.CHANGES, self._make_lifecycle_routes()),
            *((route.route_class, self._routes_of_files(route)) for route in files),
        ]

    def _routes_of_files(self, files: AssetRoute) -> list[Route]:
        return [
            IntegrityRoute(files, self._integrity_texts).route,
            Route(files.pattern, files),
        ]

    def _make_administration_routes(self) -> list[Route]:
        core, callers = self.core, self._callers
        admission = Admission(_QUESTIONS_AT_ONCE, TooManyQuestions)
        listing = UserListing(core.directory, core.storage, core.settings.access)
        return [
            *Caches(core, callers).routes,
            AuditTrail(core.storage.audit, callers, admission).route,
            People(listing, callers, admission).route,
            Findings(core.settings, callers, self.stream_end).route,
            *Console(core.overview, callers, self.stream_end).routes,
        ]

    def _make_routes_about_routes(self) -> list[Route]:
        """Those that know all others."""
        core, urls = self.core, self.url_explainer
        explanations = Explanations(urls, core.explainer, self._callers)
        routes = [explanations.route, self._openapi.route]
        if core.development is not None:
            pages = DeveloperPages(core.development, urls, self._cors, self.stream_end)
            routes += pages.routes
        return routes

    def _make_lifecycle_routes(self) -> list[Route]:
        prefix, changes = self._plugins_prefix, self.core.settings.access.changes
        if changes == "off":
            return [route_without_methods(prefix)]
        return LifecycleRoutes(
            prefix, self.core.lifecycle, self._callers, self._cors, admins_only=changes == "admins"
        ).routes

    def _make_file_routes(self) -> list[AssetRoute]:
        core, settings = self.core, self.core.settings
        api = settings.http.api_prefix
        modes = delivery_modes(settings, core.storage, core.encoder)
        requests = DictionaryRequests(self._cors, self._trusted, https_alone=settings.http.https)
        server = AssetServer(
            settings, core.assets, core.shared_versions, modes, core.difference_finder, requests
        )
        self.own_assets = OwnAssets(server, core.resolver, f"{api}/plugins/", core.identity)
        routes: list[AssetRoute] = [self.own_assets]
        if settings.access.public:
            routes.append(PublicAssets(server, core.resolver, f"{api}/public/plugins/"))
        signed_paths = SignedPaths(settings.identity.signed)
        if signed_paths.enabled:
            routes.append(SignedAssets(server, core.resolver, f"{api}/signed/", signed_paths))
        return routes

    def _hot_routes(
        self,
    ) -> tuple[Mapping[bytes, HotRoute], Sequence[tuple[bytes, HotRoute]]]:
        """The front's routes, by whole paths and by prefixes, both percent-encoded.

        There are none with debug headers, which only the router's answers have, and none with a
        dev server: it is asked before the router.
        """
        plugin = self.core.development
        has_dev_server = plugin is not None and plugin.dev_server is not None
        if self.core.settings.observability.debug_headers or has_dev_server:
            return {}, ()
        exact = {
            quote(self._plugins_prefix + path).encode(): route
            for path, route in self._manifest_routes.items()
        }
        return exact, [(route.raw_prefix, route) for route in self._file_routes]


def create_app(settings: Settings | None = None, *, user: UserFunction | None = None) -> Gateway:
    """The gateway as an ASGI application; without `settings` they are read as `serve` does.

    `user`: who sends a request, in the place of `identity.chain`: see `UserFunction`. The ids in
    `identity.admin_users` are administrators here too.

    Raises: ConfigurationError, also in a folder that is no site's.
    """
    settings = load_settings() if settings is None else settings
    if describe_no_site(settings):
        raise ConfigurationError(
            f"no site here: neither settings nor a database in {Path.cwd()}; start in the site's"
            " folder, or name its file: GATEWAY_CONFIG, or create_app(load_settings(FILE))"
        )
    identity = None if user is None else IdentityChain.of_application(settings, user)
    return Gateway(settings, identity)
