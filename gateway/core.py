"""What requests are answered from: storage, database, caches, and the decisions made with them.

It knows no HTTP. application.py puts HTTP around it; `check`, `list` and `explain` ask it directly.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway.caching.ttl_cache import TTLCache
from gateway.caching.turns import Turns
from gateway.changes import Change
from gateway.database.connections import connect
from gateway.database.directory import UserDirectory
from gateway.database.plugin_database import PluginDatabase
from gateway.development.development import Development
from gateway.disk.builds import FolderState
from gateway.disk.differences import Differences
from gateway.disk.encoder import Encoder
from gateway.disk.pinned_trees import PinnedTrees
from gateway.disk.storage import PluginStorage
from gateway.disk.tree_differences import TreeDifferences
from gateway.errors import ConfigurationError
from gateway.freshness import FreshnessSource, following
from gateway.freshness.announcing import Announcer
from gateway.freshness.change_log import ChangeLog
from gateway.freshness.invalidation import Invalidation
from gateway.freshness.pinned_trees import PinnedTreesSource
from gateway.freshness.postgres import postgres_source
from gateway.freshness.sqlite import SqliteSource
from gateway.freshness.users_folder import UsersFolderSource
from gateway.freshness.workers import WorkersSource
from gateway.identity.chain import IdentityChain, require_loopback
from gateway.lifecycle.installing import Lifecycle
from gateway.metrics.caches import CacheNumbers
from gateway.metrics.catalogue import REQUESTS
from gateway.metrics.changes import THIS_WORKER, AllChanges
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.sources import AllSources
from gateway.names import Slug, Version
from gateway.overview.overview import About, Membership, Overview
from gateway.serving.asset_store import AssetStore
from gateway.serving.catalogue import Catalogue
from gateway.serving.differences import DifferenceFinder
from gateway.serving.explain import Explainer
from gateway.serving.lookups import Lookups
from gateway.serving.manifest_cache import ManifestCache
from gateway.serving.resolver import Resolver
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import AssetCacheSettings, Settings


class Core:
    """Builds the parts, opens them and closes them. Several can live in one process."""

    def __init__(
        self,
        settings: Settings,
        identity: IdentityChain | None = None,
        membership: Membership | None = None,
        development: Development | None = None,
    ) -> None:
        """`identity`: by default that of the settings. `membership`: None, if the process serves
        alone. `development`: for `gateway dev` alone.

        Raises: ConfigurationError.
        """
        _require_consistent(settings)
        self.settings = settings
        self._development = development
        self.development = None if development is None else development.plugin
        """None, but for `gateway dev`."""
        self.metrics = ProcessMetrics.alone() if membership is None else membership.metrics
        self.sources = AllSources(self.metrics)
        self.changes = AllChanges(self.metrics)
        self.turns = Turns(partial(self.metrics.column.total, REQUESTS))
        self.is_running = False
        self._follows_changes = False
        self.storage = (
            PluginStorage(settings.plugins_dir)
            if development is None
            else development.storage(settings)
        )
        self.encoder = None if settings.dev.enabled else Encoder(self.storage.cache.encoded)
        self.differences = Differences(self.storage.cache, settings.cache.differences.max_bytes)
        self.pinned_trees = _pinned_trees(settings, self.storage, self.encoder)
        self.tree_differences = self._make_tree_differences()
        self.identity = IdentityChain.of(settings) if identity is None else identity
        self._make_what_answers()
        self._make_what_changes()
        self.overview = Overview(
            _about(settings),
            self.metrics,
            self.sources,
            self.changes,
            self.required_folders,
            self.turns,
            None if membership is None else membership.memory,
        )
        self.metrics.copy_with(CacheNumbers(self.caches).copy)

    def _make_what_answers(self) -> None:
        """The database, the caches, and the decisions made with them."""
        settings, storage, sources = self.settings, self.storage, self.sources
        asset_cache = _asset_cache(settings)
        make_database = self._development.database if self._development else PluginDatabase
        self.database = make_database(
            connect(settings), connect(settings, rarely_asked=True), sources.database
        )
        self.directory = UserDirectory(self.database.tables, connect(settings, rarely_asked=True))
        self.lookups = Lookups(
            storage,
            self.database,
            settings.cache,
            settings.access,
            users_counts=sources.users,
            shared_counts=sources.shared,
        )
        self.shared_versions = SharedVersions(
            storage,
            self.encoder,
            asset_cache.revalidate,
            on_look=self._on_look,
            counts=sources.shared,
            requires_integrity=settings.http.require_integrity,
        )
        self.assets = AssetStore(
            storage,
            asset_cache,
            self.encoder,
            counts=sources.shared,
            dictionaries=_has_dictionaries(settings),
        )
        self.difference_finder = (
            DifferenceFinder(
                storage,
                self.differences,
                self.assets,
                counts=sources.shared,
                keep_for_proxy=None if self.tree_differences is None else self.tree_differences.add,
            )
            if _has_dictionaries(settings)
            else None
        )
        """None, if no difference is sent."""
        self.manifests = ManifestCache(self.lookups, self.database, self.shared_versions, settings)
        self.catalogue = Catalogue(self.lookups.user_files, self.database, self.shared_versions)
        self.resolver = Resolver(self.lookups, self.shared_versions, settings.http.allowed_suffixes)
        self.explainer = Explainer(
            self.resolver, storage, self.assets, self.database, settings.access
        )

    def _make_tree_differences(self) -> TreeDifferences | None:
        """None if trees get no differences from earlier versions."""
        settings, trees = self.settings, self.pinned_trees
        if (
            trees is None
            or not settings.cache.differences.max_bytes
            or not _has_dictionaries(settings)
        ):
            return None
        max_file_bytes = settings.cache.assets.max_file_bytes
        return TreeDifferences(self.storage, self.differences, trees, max_file_bytes)

    def _make_what_changes(self) -> None:
        """What makes changes, tells others of them, and applies them here."""
        self.invalidation = Invalidation(
            self.lookups,
            self.manifests,
            self.shared_versions,
            self.assets,
            self.difference_finder,
            self.identity,
        )
        self.change_log = ChangeLog(self.storage.cache)
        self._nodes = postgres_source(self.settings, self.lookups)
        self.announcer = Announcer(self.change_log, self._nodes, self._apply_own)
        self.lifecycle = Lifecycle(self.settings, self.storage, self.announcer.announce)

    @asynccontextmanager
    async def running(self, *, follow_changes: bool = True) -> AsyncIterator[None]:
        """Opens the database, and closes all parts at the end.

        `follow_changes` False: for a command that asks once. Nothing is written then.

        Raises: ConfigurationError, if the database or a table is not what it should be.
        """
        async with AsyncExitStack() as stack:
            await self.database.open()
            stack.push_async_callback(self.database.close)
            await self.directory.open()
            stack.push_async_callback(self.directory.close)
            stack.push_async_callback(self.assets.close)
            if self.difference_finder is not None:
                stack.push_async_callback(self.difference_finder.close)
            stack.push_async_callback(self.shared_versions.close)
            stack.push_async_callback(self.lookups.close)
            stack.push_async_callback(self.manifests.cache.close)
            if follow_changes:
                await stack.enter_async_context(self._following_changes())
                await stack.enter_async_context(self.overview.running())
            self.is_running = True
            try:
                yield
            finally:
                self.is_running = self._follows_changes = False

    async def run_until_exit(self) -> None:
        """Opens the database for as long as the process lives. Changes are noticed by TTLs alone.

        Raises: ConfigurationError, as `running`.
        """
        await self.database.open()
        self.database.close_at_exit()
        await self.directory.open()
        self.directory.close_at_exit()
        self.is_running = True

    @asynccontextmanager
    async def _following_changes(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(self.change_log.close)
            if self.pinned_trees is not None:
                stack.push_async_callback(self.pinned_trees.close)
            self._follows_changes = True
            sources = self.freshness_sources()
            await stack.enter_async_context(
                following(sources, self.invalidation.apply, self.changes)
            )
            yield

    def freshness_sources(self) -> list[FreshnessSource]:
        """The sources of changes that the settings ask for."""
        settings, heard = self.settings, self.changes.of
        sources: list[FreshnessSource] = [
            WorkersSource(self.change_log, heard("workers"), self.turns)
        ]
        if self.pinned_trees is not None:
            sources.append(PinnedTreesSource(self.pinned_trees, self.tree_differences))
        if settings.freshness.watch_users:
            sources.append(UsersFolderSource(self.lookups, heard("users_folder"), self.turns))
        if settings.database_dialect == "sqlite" and settings.freshness.sqlite_poll:
            sources.append(
                SqliteSource(
                    settings.sqlite_file,
                    settings.freshness.sqlite_poll,
                    settings.database.query_timeout,
                    self.lookups,
                    self.manifests,
                    self.turns,
                )
            )
        if self._nodes is not None:
            sources.append(self._nodes)
        if self._development is not None and self._development.source is not None:
            sources.append(self._development.source)
        return sources

    def _on_look(self, slug: Slug, version: Version, state: FolderState | None) -> None:
        if self.pinned_trees is not None and self._follows_changes:
            self.pinned_trees.keep_soon(slug, version, state)

    def _apply_own(self, change: Change) -> None:
        self.changes.of(THIS_WORKER).heard()
        self.invalidation.apply(change)

    @property
    def required_folders(self) -> dict[str, Path]:
        """The folders without which nobody can be served, by the source that they belong to."""
        folders = {"shared": self.storage.shared.path}
        if self.settings.access.missing_installations != "allow":
            folders["users"] = self.storage.users.path
        return folders

    @property
    def caches(self) -> dict[str, TTLCache[Any, Any]]:
        """All TTL caches, by the names that Cache-Status and metrics show."""
        caches: dict[str, TTLCache[Any, Any]] = {
            **self.lookups.caches,
            "manifest": self.manifests.cache,
            "builds": self.shared_versions.cache,
            "assets": self.assets.cache,
        }
        if self.difference_finder is not None:
            caches["dictionaries"] = self.difference_finder.cache
        return caches


def _about(settings: Settings) -> About:
    # Not imported above: the package imports this module.
    version = import_module("gateway").__version__
    return About(version, settings.access.changes, settings.cache.versions.stale_if_error)


def _has_dictionaries(settings: Settings) -> bool:
    """In development a browser asks each time: it keeps no dictionary."""
    return settings.http.dictionaries and not settings.dev.enabled


def _asset_cache(settings: Settings) -> AssetCacheSettings:
    """In development, every request looks at its file."""
    section = settings.cache.assets
    return section.model_copy(update={"revalidate": 0.0}) if settings.dev.enabled else section


def _require_consistent(settings: Settings) -> None:
    """Raises: ConfigurationError, if one setting rules out what another one asks for."""
    if settings.dev.enabled:
        require_loopback(settings, "dev.enabled: development")
    if settings.http.require_integrity and not settings.http.pin_manifest:
        raise ConfigurationError(
            "http.require_integrity: expected http.pin_manifest = true beside it:"
            " only what has a pin has an integrity"
        )


def _pinned_trees(
    settings: Settings, storage: PluginStorage, encoder: Encoder | None
) -> PinnedTrees | None:
    """None if no proxy sends files from them: in development, or in delivery mode "direct"."""
    if encoder is None or settings.delivery.mode == "direct":
        return None
    max_bytes = settings.cache.assets.max_file_bytes
    return PinnedTrees(
        storage,
        encoder,
        settings.http.allowed_suffixes,
        max_bytes,
        requires_integrity=settings.http.require_integrity,
    )
