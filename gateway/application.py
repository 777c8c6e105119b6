"""The composition root: settings in, ASGI application out. The only place that knows all."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.assets import AssetStore
from gateway.builds import BuildIndex
from gateway.catalogue import Catalogue
from gateway.connections import connect
from gateway.cors import CorsPolicy
from gateway.database import PluginDatabase
from gateway.delivery.memory import send_content
from gateway.endpoints.answers import on_bug, on_http_exception, on_request_error
from gateway.endpoints.assets import AssetServer, OwnAssets, PublicAssets, SignedAssets
from gateway.endpoints.operations import operation_routes
from gateway.endpoints.plugins import plugin_routes
from gateway.errors import ConfigurationError, RequestError
from gateway.identity import IdentityChain, IdentitySource
from gateway.identity.dev import DevIdentity
from gateway.identity.jwt import JwtIdentity
from gateway.identity.proxy import ProxyIdentity
from gateway.identity.signed import SignedPaths
from gateway.lookups import Lookups
from gateway.resolver import Resolver
from gateway.settings import Settings, load_settings
from gateway.storage import PluginStorage

logger = logging.getLogger(__name__)


class Gateway:
    """The ASGI application.

    A server runs its lifespan. An application that mounts it must do so in its own lifespan,
    for Starlette does not run the lifespans of mounted applications:

        async with gateway.running(): ...

    Where nobody did, the first request starts it, and nothing stops it.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises: ConfigurationError."""
        self.settings = settings
        self.storage = PluginStorage(settings.plugins_dir)
        self.database = PluginDatabase(connect(settings))
        self.lookups = Lookups(
            self.storage, self.database, settings.cache, settings.access, self._on_change
        )
        self.builds = BuildIndex(self.storage, settings.cache.assets.revalidate, self._on_change)
        self.assets = AssetStore(self.storage, settings.cache.assets, self._on_change)
        self.resolver = Resolver(self.lookups, self.builds, settings.http.allowed_suffixes)
        self.identity = IdentityChain(_identity_sources(settings))
        self._cors = CorsPolicy(settings.http.cors_origins, any_localhost=settings.dev.enabled)
        self._starlette = Starlette(
            routes=self._routes(),
            exception_handlers={
                RequestError: on_request_error,
                HTTPException: on_http_exception,
                Exception: on_bug,
            },
            lifespan=self._lifespan,
        )
        self._app: ASGIApp = self._starlette
        self._started = False
        self._start_lock = anyio.Lock()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Opens the database and closes all that was opened.

        Raises: ConfigurationError, where the database or a table is not what it should be.
        """
        async with AsyncExitStack() as stack:
            await self.database.open()
            stack.push_async_callback(self.database.close)
            stack.push_async_callback(self.assets.close)
            stack.push_async_callback(self.builds.close)
            stack.push_async_callback(self.lookups.close)
            self._started = True
            try:
                yield
            finally:
                self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not self._started:
                await self._start_unasked()
            if self._cors.enabled:
                await self._with_cors(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _with_cors(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if (
            origin is not None
            and scope["method"] == "OPTIONS"
            and b"access-control-request-method" in headers
        ):
            preflight = self._cors.preflight(origin)
            await send_content(send, preflight.status, preflight.fields, preflight.body)
            return
        fields = self._cors.fields(origin)

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *fields]}
            await send(message)

        await self._app(scope, receive, send_with_fields)

    def _routes(self) -> list[BaseRoute]:
        settings = self.settings
        api = settings.http.api_prefix
        catalogue = Catalogue(
            self.lookups,
            self.database,
            self.storage,
            self.builds,
            pin_manifest=settings.http.pin_manifest,
        )
        server = AssetServer(settings, self.storage, self.assets, self.builds)
        own = OwnAssets(server, self.resolver, self.identity, f"{api}/plugins/")
        routes: list[BaseRoute] = [
            *operation_routes(self.database, self.storage),
            *plugin_routes(f"{api}/plugins", catalogue, self.identity),
            Route(f"{api}/plugins/{{plugin}}/{{path:path}}", own),
        ]
        if settings.access.public:
            public = PublicAssets(server, self.resolver, f"{api}/public/plugins/")
            routes.append(Route(f"{api}/public/plugins/{{plugin}}/{{path:path}}", public))
        signed_paths = SignedPaths(settings.identity.signed)
        if signed_paths.enabled:
            signed = SignedAssets(server, self.resolver, signed_paths, f"{api}/signed/")
            routes.append(Route(f"{api}/signed/{{token}}/plugins/{{plugin}}/{{path:path}}", signed))
        return routes

    def _on_change(self) -> None:
        """What was told may no longer hold. Finished decisions are dropped here."""

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with self.running():
            yield

    async def _start_unasked(self) -> None:
        async with self._start_lock:
            if not self._started:
                logger.warning(
                    "nobody ran the gateway's lifespan: started at the first request; an"
                    " application that mounts it should enter gateway.running() in its own"
                )
                await self.database.open()
                self.database.close_at_exit()
                self._started = True


def create_app(settings: Settings | None = None) -> Gateway:
    """The gateway as an ASGI application; without `settings` they are read as `serve` does.

    Raises: ConfigurationError.
    """
    return Gateway(settings if settings is not None else load_settings())


def _identity_sources(settings: Settings) -> list[IdentitySource]:
    sources: list[IdentitySource] = []
    for name in settings.identity.chain:
        if name == "jwt":
            sources.append(JwtIdentity(settings))
        elif name == "proxy":
            sources.append(ProxyIdentity(settings.identity.proxy))
        else:
            _refuse_beyond_loopback(settings)
            sources.append(DevIdentity())
    return sources


def _refuse_beyond_loopback(settings: Settings) -> None:
    server = settings.server
    if not server.uds and server.host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigurationError(
            f"identity.chain: 'dev' lets anyone be anyone; server.host {server.host}"
            " is not loopback"
        )
