"""The composition root: settings in, ASGI application out. The only place that knows all."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.caching.ttl_cache import TTLCache
from gateway.database.connections import connect, connect_one
from gateway.database.tables import PluginDatabase
from gateway.delivery.accel import AccelRedirect
from gateway.disk.builds import FolderState
from gateway.disk.encoder import Encoder
from gateway.disk.pinned_trees import PinnedTrees
from gateway.disk.storage import PluginStorage
from gateway.endpoints.administration import Administration, CacheState
from gateway.endpoints.assets import AssetRoute, OwnAssets, PublicAssets, SignedAssets
from gateway.endpoints.authorize import authorize_route
from gateway.endpoints.debugging import with_debug_fields
from gateway.endpoints.health import Health
from gateway.endpoints.lifecycle import LifecycleRoutes
from gateway.endpoints.metrics import GatewayCollector, metrics_route
from gateway.endpoints.plugins import ManifestRoute, PluginRoutes
from gateway.endpoints.sending import AssetServer
from gateway.errors import RequestError
from gateway.freshness import FreshnessSource, following
from gateway.freshness.announcing import Announcer
from gateway.freshness.change_log import ChangeLog
from gateway.freshness.invalidation import Invalidation
from gateway.freshness.pinned_trees import PinnedTreesSource
from gateway.freshness.postgres import postgres_source
from gateway.freshness.sqlite import SqliteSource
from gateway.freshness.users_folder import UsersFolderSource
from gateway.freshness.workers import WorkersSource
from gateway.hot_path.front import DirectRoute, Front
from gateway.http.answers import on_bug, on_http_exception, on_routed_error
from gateway.http.cors import CorsPolicy
from gateway.identity.callers import Callers
from gateway.identity.chain import IdentityChain, require_loopback
from gateway.identity.proxy import ProxyIdentity
from gateway.identity.signed import SignedPaths
from gateway.lifecycle.installing import Lifecycle
from gateway.names import Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.serving.catalogue import Catalogue
from gateway.serving.explain import Explainer
from gateway.serving.lookups import Lookups
from gateway.serving.resolver import Resolver
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import Settings, load_settings

logger = logging.getLogger(__name__)


class Gateway(Front):
    """The ASGI application.

    A server runs its lifespan. An application that mounts it must do so in its own lifespan,
    for Starlette does not run the lifespans of mounted applications:

        async with gateway.running(): ...

    Where nobody did, the first request starts it, and nothing stops it.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises: ConfigurationError."""
        if settings.dev.enabled:
            require_loopback(settings, "dev.enabled: development")
        self.settings = settings
        self.storage = PluginStorage(settings.plugins_dir)
        self.database = PluginDatabase(connect(settings), strangers=connect_one(settings))
        self.lookups = Lookups(self.storage, self.database, settings.cache, settings.access)
        # In development a file is looked at for every request, and encoding would be in vain.
        assets = settings.cache.assets
        if settings.dev.enabled:
            assets = assets.model_copy(update={"revalidate": 0.0})
        encoder = None if settings.dev.enabled else Encoder(self.storage.cache / "encoded")
        self.pinned = (
            PinnedTrees(
                self.storage, encoder, settings.http.allowed_suffixes, assets.max_file_bytes
            )
            if encoder is not None and settings.delivery.mode != "direct"
            else None
        )
        self.shared_versions = SharedVersions(
            self.storage, encoder, assets.revalidate, on_look=self._on_look
        )
        self.assets = AssetStore(self.storage, assets, encoder)
        self.catalogue = Catalogue(self.lookups, self.database, self.shared_versions, settings)
        self.identity = IdentityChain.of(settings)
        self.invalidation = Invalidation(
            self.lookups,
            self.catalogue,
            self.shared_versions,
            self.assets,
            self.identity,
        )
        self.change_log = ChangeLog(self.storage.cache)
        self._nodes = postgres_source(settings, self.lookups)
        self.announcer = Announcer(self.change_log, self._nodes, self.invalidation.apply)
        self.resolver = Resolver(self.lookups, self.shared_versions, settings.http.allowed_suffixes)
        self.explainer = Explainer(self.resolver, self.storage, self.assets)
        self.callers = Callers(settings, self.identity)
        self.cors = CorsPolicy(settings.http.cors_origins, any_localhost=settings.dev.enabled)
        self.lifecycle = Lifecycle(settings, self.storage, self.announcer.announce)
        self._accel = (
            AccelRedirect(self.storage, encoder, settings.delivery.accel_prefix)
            if settings.delivery.mode == "accel"
            else None
        )
        self.health = Health(self.database, self._folders(), settings.cache.versions.stale_if_error)
        self._starlette = Starlette(
            routes=self._routes(),
            exception_handlers={
                RequestError: on_routed_error,
                HTTPException: on_http_exception,
                Exception: on_bug,
            },
            lifespan=self._lifespan,
        )
        # A redirect would name a Host that is the client's word, and no URL of ours needs one.
        self._starlette.router.redirect_slashes = False
        self._listening = False
        self._start_lock = anyio.Lock()
        super().__init__(self._route, *self._routes_at_hand(), self.cors)

    @asynccontextmanager
    async def running(self, *, listening: bool = True) -> AsyncIterator[None]:
        """Opens the database and closes all that was opened.

        `listening` False: for a command that asks once and writes nothing, changes included.

        Raises: ConfigurationError, where the database or a table is not what it should be.
        """
        async with AsyncExitStack() as stack:
            await self.database.open()
            stack.push_async_callback(self.database.close)
            stack.push_async_callback(self.assets.close)
            stack.push_async_callback(self.shared_versions.close)
            stack.push_async_callback(self.lookups.close)
            stack.push_async_callback(self.catalogue.manifests.close)
            if listening:
                stack.callback(self.change_log.close)
                if self.pinned is not None:
                    stack.push_async_callback(self.pinned.close)
                self._listening = True
                await anyio.to_thread.run_sync(self._open_change_log)
                following_all = following(self._freshness_sources(), self.invalidation.apply)
                await stack.enter_async_context(following_all)
            self.has_started = True
            try:
                yield
            finally:
                self.has_started = self._listening = False

    def _folders(self) -> list[Path]:
        """Folders of the site without which nobody can be served."""
        if self.settings.access.missing_installations == "allow":
            return [self.storage.shared]
        return [self.storage.shared, self.storage.users]

    @property
    def caches(self) -> dict[str, TTLCache[Any, Any]]:
        """All of them, under the names that Cache-Status and metrics show."""
        return {
            **self.lookups.caches,
            "manifest": self.catalogue.manifests,
            "builds": self.shared_versions.cache,
        }

    def _on_look(self, slug: Slug, version: Version, state: FolderState | None) -> None:
        if self.pinned is not None and self._listening:
            self.pinned.keep_soon(slug, version, state)

    def _metrics_routes(self) -> list[BaseRoute]:
        if not self.settings.observability.metrics:
            return []
        collector = GatewayCollector(self, self.caches, self.database, self.assets)
        return [metrics_route(collector, ProxyIdentity(self.settings.identity.proxy), self.callers)]

    def _open_change_log(self) -> None:
        try:
            self.change_log.reopen_if_replaced()
        except OSError as error:  # a read-only disk: TTLs hold, and it is tried again
            logger.warning("changes by other workers are not heard: %s", error)

    def _freshness_sources(self) -> list[FreshnessSource]:
        settings = self.settings
        sources: list[FreshnessSource] = [WorkersSource(self.change_log)]
        if self.pinned is not None:
            sources.append(PinnedTreesSource(self.pinned))
        if settings.freshness.watch_users:
            sources.append(UsersFolderSource(self.lookups))
        if settings.database_dialect == "sqlite" and settings.freshness.sqlite_poll:
            sources.append(
                SqliteSource(
                    settings.sqlite_file,
                    settings.freshness.sqlite_poll,
                    settings.database.query_timeout,
                    self.lookups,
                )
            )
        if self._nodes is not None:
            sources.append(self._nodes)
        return sources

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.has_started:
            await self._start_unasked()
        if self.settings.observability.debug_headers and scope["type"] == "http":
            send = with_debug_fields(scope, send)
        await self._starlette(scope, receive, send)

    def _routes(self) -> list[BaseRoute]:
        settings = self.settings
        api = settings.http.api_prefix
        server = AssetServer(settings, self.storage, self.assets, self.shared_versions, self._accel)
        self._files = files = self._asset_routes(server)
        self._manifests = {
            path: ManifestRoute(self.catalogue, self.identity, with_modules=with_modules)
            for path, with_modules in (("/manifest", False), ("/manifest/designer", True))
        }
        routes: list[BaseRoute] = [
            *self.health.routes,
            *self._metrics_routes(),
            authorize_route(
                list(files.values()),
                self.shared_versions,
                self.pinned,
                ProxyIdentity(settings.identity.proxy),
                settings.delivery.authorize_ttl,
            ),
            *Administration(
                CacheState(
                    self.caches,
                    self.assets,
                    self.shared_versions,
                    self.invalidation,
                ),
                self.explainer,
                self.announcer.announce,
                self.callers,
                self.cors,
            ).routes,
            *PluginRoutes(f"{api}/plugins", self.catalogue, self.identity, self._manifests).routes,
            *LifecycleRoutes(f"{api}/plugins", self.lifecycle, self.callers, self.cors).routes,
            *(Route(path, endpoint) for path, endpoint in files.items()),
        ]
        return routes

    def _asset_routes(self, server: AssetServer) -> dict[str, AssetRoute]:
        """By the pattern of their paths."""
        api = self.settings.http.api_prefix
        rest = "{plugin}/{path:path}"
        own = self.own_assets = OwnAssets(server, self.resolver, f"{api}/plugins/", self.identity)
        routes: dict[str, AssetRoute] = {own.prefix + rest: own}
        if self.settings.access.public:
            public = PublicAssets(server, self.resolver, f"{api}/public/plugins/")
            routes[public.prefix + rest] = public
        signed_paths = SignedPaths(self.settings.identity.signed)
        if signed_paths.enabled:
            signed = SignedAssets(server, self.resolver, f"{api}/signed/", signed_paths)
            routes[f"{signed.prefix}{{token}}/plugins/{rest}"] = signed
        return routes

    def _routes_at_hand(
        self,
    ) -> tuple[Mapping[bytes, DirectRoute], Sequence[tuple[bytes, DirectRoute]]]:
        """Routes by whole paths and by prefixes, as sent; none where each answer tells how it was
        decided."""
        if self.settings.observability.debug_headers:
            return {}, ()
        plugins = f"{self.settings.http.api_prefix}/plugins"
        exact = {quote(plugins + path).encode(): each for path, each in self._manifests.items()}
        return exact, [(quote(each.prefix).encode(), each) for each in self._files.values()]

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with self.running():
            yield

    async def _start_unasked(self) -> None:
        async with self._start_lock:
            if not self.has_started:
                logger.warning(
                    "nobody ran the gateway's lifespan: started at the first request; an"
                    " application that mounts it should enter gateway.running() in its own"
                )
                await self.database.open()
                self.database.close_at_exit()
                self.has_started = True


def create_app(settings: Settings | None = None) -> Gateway:
    """The gateway as an ASGI application; without `settings` they are read as `serve` does.

    Raises: ConfigurationError.
    """
    return Gateway(settings if settings is not None else load_settings())
