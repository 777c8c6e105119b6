"""What a user has: his plugins and modules, from the tables, his JSON and the disk together."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import anyio.to_thread

from gateway.basis import AtHand, Basis
from gateway.database import ModuleDetails, PluginDatabase, PluginDetails
from gateway.errors import GatewayError, SourceUnavailable, UnknownPlugin
from gateway.formats import (
    JsonObject,
    bare_plugin,
    manifest_key,
    manifest_plugin,
    module_objects,
    plugin_facts,
    relative_bundle_location,
    to_json,
    verbatim_bundle_location,
)
from gateway.lookups import Lookups
from gateway.metadata import DEFAULT_ENTRY
from gateway.names import (
    AssetPath,
    Pin,
    Slug,
    UserId,
    Version,
    parse_asset_path,
    parse_slug,
    parse_version,
)
from gateway.representation import Variant, json_variant
from gateway.settings import Settings
from gateway.shared_versions import SharedVersions
from gateway.storage import BrokenInstallations, InstallationMetadata, metadata_of
from gateway.ttl_cache import TTLCache

# Some thousands of manifests; the less recently used are made anew.
_MAX_MANIFEST_BYTES = 64 * 2**20
_NO_FILES = {
    "bundle_exists": False,
    "bundle_size": 0,
    "package_json_valid": False,
    "assets_present": False,
}


class Catalogue:
    """Answers about a user's plugins, shaped by formats.py."""

    def __init__(
        self,
        lookups: Lookups,
        database: PluginDatabase,
        versions: SharedVersions,
        settings: Settings,
    ) -> None:
        self._lookups = lookups
        self._database = database
        self._versions = versions
        self._pin_manifest = settings.http.pin_manifest
        lookup = settings.cache.versions
        self.manifests: TTLCache[tuple[UserId, bool], Variant] = TTLCache(
            self._load_manifest,
            # A manifest holds pins, which hold for as long as a look at a folder does.
            ttl_s=min(lookup.ttl, settings.cache.assets.revalidate),
            stale_if_error_s=lookup.stale_if_error,
            max_size=_MAX_MANIFEST_BYTES,
            size_of=lambda variant: variant.size,
        )
        """Finished manifests by user, with modules or without."""

    def manifest(self, basis: AtHand, user: UserId, *, with_modules: bool) -> Variant:
        """The enabled rows that pass the installation rule, by slug, in bytewise order.

        Raises: Pending.
        """
        return basis.ask("manifest", self.manifests, (user, with_modules))

    def forget_user(self, user: UserId) -> None:
        self.manifests.purge((user, True))
        self.manifests.purge((user, False))

    async def _load_manifest(self, key: tuple[UserId, bool]) -> Variant:
        user, with_modules = key
        plugins, metadata = await asyncio.gather(
            self._database.read_plugins(user), self._metadata(user)
        )
        listed = [plugin for plugin in plugins if plugin.enabled and _passes(plugin, metadata)]
        modules = _by_plugin(await self._database.read_modules(user)) if with_modules else {}
        answer = {}
        for plugin in listed:
            entry = manifest_plugin(
                plugin,
                await self._bundle_location(plugin),
                (metadata or {}).get(plugin.plugin_slug or "", {}),
            )
            if with_modules:
                entry["modules"] = module_objects(modules.get(plugin.id, ()), entry["id"])
            answer[manifest_key(plugin)] = entry
        return json_variant(to_json(answer))

    async def by_slug(self, user: UserId, slug: str) -> JsonObject:
        """Raises: UnknownPlugin, SourceUnavailable."""
        for plugin in await self._database.read_plugins(user):
            if plugin.plugin_slug == slug:
                return bare_plugin(plugin)
        raise UnknownPlugin(f"Plugin {slug} not found")

    async def info(self, user: UserId, database_id: str) -> JsonObject:
        """One plugin with its modules, disabled or not.

        Raises: UnknownPlugin, SourceUnavailable.
        """
        plugin = await self._own_plugin(user, database_id, f"Plugin {database_id} not found")
        modules = await self._modules_of(user, plugin)
        return {**bare_plugin(plugin), "modules": module_objects(modules, plugin.id)}

    async def modules(self, user: UserId, database_id: str) -> JsonObject:
        """Raises: UnknownPlugin, SourceUnavailable."""
        plugin = await self._own_plugin(
            user,
            database_id,
            f"Plugin {database_id} not found or you don't have permission",
        )
        return {"modules": module_objects(await self._modules_of(user, plugin), plugin.id)}

    async def module(self, user: UserId, database_id: str, module_id: str) -> JsonObject:
        """One module, by its id or name. Raises: UnknownPlugin, SourceUnavailable."""
        missing = f"Module {module_id} not found in plugin {database_id}"
        plugin = await self._own_plugin(user, database_id, missing)
        for module in await self._modules_of(user, plugin):
            if module_id in (module.id, module.name):
                return module_objects([module], plugin.id)[0]
        raise UnknownPlugin(missing)

    async def status(self, user: UserId, asked: str) -> JsonObject:
        """The envelope of a status; about the user's own version, whatever else is on disk.

        Raises: SourceUnavailable.
        """
        plugins, metadata = await asyncio.gather(
            self._database.read_plugins(user), self._metadata(user)
        )
        named = [plugin for plugin in plugins if asked in (plugin.plugin_slug, plugin.id)]
        if not named:
            facts: JsonObject = {"plugin_slug": asked, "exists": False, "status": "not_installed"}
            return {"status": "success", "data": facts}
        plugin = named[0]
        health = await self._health(plugin)
        if not _passes(plugin, metadata):
            status = "not_installed"
        else:
            healthy = health["bundle_exists"] and health["package_json_valid"]
            status = "healthy" if healthy else "unhealthy"
        return {
            "status": "success",
            "data": {
                "plugin_slug": plugin.plugin_slug or plugin.id,
                "exists": True,
                "status": status,
                "plugin_id": plugin.id,
                "plugin_info": plugin_facts(plugin),
                "health_details": health,
                "installation_metadata": (metadata or {}).get(plugin.plugin_slug or ""),
            },
        }

    async def _own_plugin(self, user: UserId, database_id: str, missing: str) -> PluginDetails:
        for plugin in await self._database.read_plugins(user):
            if plugin.id == database_id:
                return plugin
        raise UnknownPlugin(missing)

    async def _modules_of(self, user: UserId, plugin: PluginDetails) -> Iterable[ModuleDetails]:
        return _by_plugin(await self._database.read_modules(user)).get(plugin.id, ())

    async def _metadata(self, user: UserId) -> dict[str, InstallationMetadata] | None:
        """Installation metadata by slug; None where the table alone decides."""
        installations = (await self._lookups.installations.get(user)).said
        if self._lookups.table_decides(installations):
            return None
        try:
            document, _ = await self._lookups.read_document(user)
        except BrokenInstallations:
            return {}
        return {slug: metadata_of(inner) for slug, inner in (document or {}).items()}

    async def _bundle_location(self, plugin: PluginDetails) -> str | None:
        """Pinned where the version's folder is there to be pinned; otherwise verbatim."""
        verbatim = verbatim_bundle_location(plugin)
        relative = relative_bundle_location(plugin)
        if not self._pin_manifest or relative is None:
            return verbatim
        try:
            slug, version, _ = _asset_names(plugin, relative)
            shared = await Basis().settled(self._versions.get, slug, version)
        except (ValueError, GatewayError):  # a name that is no path, a disk that fails
            return verbatim
        return f"{Pin(version, shared.state.build)}/{relative}" if shared else verbatim

    async def _health(self, plugin: PluginDetails) -> dict[str, Any]:
        """What the version's files look like, of the user's own version."""
        try:
            slug, version = parse_slug(plugin.plugin_slug), parse_version(plugin.version)
            shared = await Basis().settled(self._versions.get, slug, version)
        except (ValueError, SourceUnavailable):  # a name that is no folder, a disk that fails
            shared = None
        if shared is None:
            return dict(_NO_FILES)
        size = shared.size_bytes(relative_bundle_location(plugin) or DEFAULT_ENTRY)
        return {
            "bundle_exists": size > 0,
            "bundle_size": size,
            "package_json_valid": await anyio.to_thread.run_sync(
                lambda: shared.package_json_is_valid
            ),
            "assets_present": shared.has_folder("assets"),
        }


def _asset_names(plugin: PluginDetails, relative: str) -> tuple[Slug, Version, AssetPath]:
    """Raises: ValueError, NotServed, AssetTypeNotAllowed."""
    return (
        parse_slug(plugin.plugin_slug),
        parse_version(plugin.version),
        parse_asset_path(relative),
    )


def _passes(plugin: PluginDetails, metadata: Mapping[str, Any] | None) -> bool:
    """The installation rule; `metadata` is None where the table alone decides."""
    return metadata is None or plugin.plugin_slug in metadata


def _by_plugin(modules: Iterable[ModuleDetails]) -> dict[str, list[ModuleDetails]]:
    grouped: dict[str, list[ModuleDetails]] = defaultdict(list)
    for module in modules:
        grouped[module.plugin_id].append(module)
    return grouped
