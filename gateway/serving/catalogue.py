"""Single plugins and modules of a user, from the tables, the user's JSON and the disk. Uncached."""

import asyncio
from collections.abc import Mapping
from typing import Literal

import anyio.to_thread

from gateway.caching.basis import Basis
from gateway.database.details import ModuleDetails, PluginDetails
from gateway.database.plugin_database import PluginDatabase
from gateway.disk.metadata import DEFAULT_ENTRY
from gateway.disk.users_folder import InstallationMetadata
from gateway.errors import SourceUnavailable, UnknownPlugin
from gateway.names import UserId, parse_slug, parse_version
from gateway.serving.formats import (
    bare_plugin,
    module_objects,
    plugin_info,
    relative_bundle_location,
)
from gateway.serving.plugin_types import (
    Module,
    Modules,
    NoPluginStatus,
    Plugin,
    PluginHealth,
    PluginStatus,
    PluginWithModules,
    StatusAnswer,
)
from gateway.serving.shared_versions import SharedVersions
from gateway.serving.user_files import UserFiles

_NO_FILES: PluginHealth = {
    "bundle_exists": False,
    "bundle_size": 0,
    "package_json_valid": False,
    "assets_present": False,
}


class Catalogue:
    """Answers about a user's plugins, in the shapes of formats.py.

    All methods raise SourceUnavailable; all but `status` raise UnknownPlugin if nothing is found.
    """

    def __init__(
        self, user_files: UserFiles, database: PluginDatabase, shared_versions: SharedVersions
    ) -> None:
        self._user_files = user_files
        self._database = database
        self._shared_versions = shared_versions

    async def by_slug(self, user: UserId, slug: str) -> Plugin:
        for plugin in await self._database.read_plugins(user):
            if plugin.plugin_slug == slug:
                return bare_plugin(plugin)
        raise UnknownPlugin(f"Plugin {slug} not found")

    async def info(self, user: UserId, database_id: str) -> PluginWithModules:
        """One plugin with its modules, disabled or not."""
        plugin = await self._own_plugin(user, database_id, f"Plugin {database_id} not found")
        modules = await self._modules_of(user, plugin)
        return {**bare_plugin(plugin), "modules": module_objects(modules, plugin.id)}

    async def modules(self, user: UserId, database_id: str) -> Modules:
        error_text = f"Plugin {database_id} not found or you don't have permission"
        plugin = await self._own_plugin(user, database_id, error_text)
        return {"modules": module_objects(await self._modules_of(user, plugin), plugin.id)}

    async def module(self, user: UserId, database_id: str, module_id: str) -> Module:
        """One module, by its id or name."""
        error_text = f"Module {module_id} not found in plugin {database_id}"
        plugin = await self._own_plugin(user, database_id, error_text)
        for module in await self._modules_of(user, plugin):
            if module_id in (module.id, module.name):
                return module_objects([module], plugin.id)[0]
        raise UnknownPlugin(error_text)

    async def status(self, user: UserId, reference: str) -> StatusAnswer:
        """The status of a plugin, by slug or database id, at the user's own version."""
        plugins, metadata = await asyncio.gather(
            self._database.read_plugins(user), self._metadata(user)
        )
        for plugin in plugins:
            if reference in (plugin.plugin_slug, plugin.id):
                return {"status": "success", "data": await self._status_of(plugin, metadata)}
        none: NoPluginStatus = {
            "plugin_slug": reference,
            "exists": False,
            "status": "not_installed",
        }
        return {"status": "success", "data": none}

    async def _status_of(
        self, plugin: PluginDetails, metadata: Mapping[str, InstallationMetadata] | None
    ) -> PluginStatus:
        health = await self._health(plugin)
        status: Literal["healthy", "unhealthy", "not_installed"]
        if metadata is not None and plugin.plugin_slug not in metadata:
            status = "not_installed"
        elif health["bundle_exists"] and health["package_json_valid"]:
            status = "healthy"
        else:
            status = "unhealthy"
        return {
            "plugin_slug": plugin.plugin_slug or plugin.id,
            "exists": True,
            "status": status,
            "plugin_id": plugin.id,
            "plugin_info": plugin_info(plugin),
            "health_details": health,
            "installation_metadata": (metadata or {}).get(plugin.plugin_slug or ""),
        }

    async def _own_plugin(self, user: UserId, database_id: str, error_text: str) -> PluginDetails:
        for plugin in await self._database.read_plugins(user):
            if plugin.id == database_id:
                return plugin
        raise UnknownPlugin(error_text)

    async def _modules_of(self, user: UserId, plugin: PluginDetails) -> list[ModuleDetails]:
        modules = await self._database.read_modules(user)
        return [module for module in modules if module.plugin_id == plugin.id]

    async def _metadata(self, user: UserId) -> Mapping[str, InstallationMetadata] | None:
        document = self._user_files.begin_documents([user])[user]
        return (await asyncio.shield(document)).metadata()

    async def _health(self, plugin: PluginDetails) -> PluginHealth:
        """What the files of the user's own version look like."""
        try:
            slug, version = parse_slug(plugin.plugin_slug), parse_version(plugin.version)
            shared = await Basis().settled(self._shared_versions.get, slug, version)
        except (ValueError, SourceUnavailable):  # no name of a folder, or a disk that fails
            shared = None
        if shared is None:
            return {**_NO_FILES}
        size = shared.size_bytes(relative_bundle_location(plugin) or DEFAULT_ENTRY)
        return {
            "bundle_exists": size > 0,
            "bundle_size": size,
            "package_json_valid": await anyio.to_thread.run_sync(
                lambda: shared.package_json_is_valid
            ),
            "assets_present": shared.has_folder("assets"),
        }
