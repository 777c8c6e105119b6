"""What a user has: their plugins and modules, from the tables, their JSON and the disk together."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio.to_thread

from gateway.caching.basis import AtHand, Basis, Pending
from gateway.caching.ttl_cache import TTLCache
from gateway.database.connections import Row
from gateway.database.tables import ModuleDetails, PluginDatabase, PluginDetails
from gateway.disk.metadata import DEFAULT_ENTRY
from gateway.disk.storage import InstallationMetadata, metadata_of
from gateway.errors import SourceUnavailable, UnknownPlugin
from gateway.names import UserId, parse_slug, parse_version
from gateway.serving.file_reader import UserDocument
from gateway.serving.formats import (
    JsonObject,
    bare_plugin,
    module_objects,
    plugin_facts,
    relative_bundle_location,
)
from gateway.serving.lookup_cache import build_lookup_cache
from gateway.serving.lookups import Lookups
from gateway.serving.manifests import Manifest, Part, Parts, PluginPart
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import Settings

Key = tuple[UserId, bool]
"""A user, and whether their modules are shown."""
# They take 2 ms, and whoever needs nothing is answered in between.
_MOST_BUILT_AT_ONCE = 16
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
        self._parts = Parts(pins=settings.http.pin_manifest)
        self.manifests: TTLCache[Key, Manifest] = build_lookup_cache(
            settings.cache.versions,
            lookups.clock,
            load_many=self._load_manifests,
            is_negative=lambda manifest: not manifest.parts,
        )
        """By user, with modules or without, as the database says; pins are looked at later."""
        lookups.database_caches.append(self.manifests)

    def manifest(self, basis: AtHand, user: UserId, *, with_modules: bool) -> Manifest:
        """The enabled rows that pass the installation rule, by slug, in bytewise order.

        Its text is to be taken at once: pins are those of this moment. Raises: Pending.
        """
        manifest = self._find_manifest(basis, (user, with_modules))
        self._pin(basis, manifest.parts)
        return manifest

    def _find_manifest(self, basis: AtHand, key: Key) -> Manifest:
        """One that was made of the user's file as it is, and as installations know it."""
        manifest = basis.ask("manifest", self.manifests, key)
        file = basis.ask("installations", self._lookups.installations, key[0])
        if manifest.fingerprint != file.fingerprint:
            manifest = basis.ask("manifest", self.manifests, key, max_age_s=0.0)
        return manifest

    def _pin(self, basis: AtHand, parts: Sequence[Part]) -> None:
        """Gives each location the pin that the last look at its folder has found."""
        now, epoch = self._versions.clock(), self._versions.epoch
        for part in parts:
            if part.until <= now or part.epoch < epoch:
                self._look_at_folders(basis, parts)
                return

    def _look_at_folders(self, basis: AtHand, parts: Sequence[Part]) -> None:
        """All that are not known are looked at beside each other. Raises: Pending."""
        now, missing = self._versions.clock(), None
        for part in parts:
            epoch = self._versions.epoch
            is_due = part.until <= now or part.epoch < epoch
            if not is_due or not isinstance(part, PluginPart) or part.folder is None:
                continue
            try:
                part.pin(*self._versions.find_build(basis, *part.folder), epoch)
            except Pending as pending:
                basis.begin(pending.layer, pending.cache, pending.key)
                missing = missing or pending
        if missing is not None:
            raise missing

    def forget_user(self, user: UserId, *, hard: bool) -> None:
        """The user's JSON or rows changed. Soft: what was known stands in on errors."""
        for with_modules in (True, False):
            if hard:
                self.manifests.purge((user, with_modules))
            else:
                self.manifests.expire((user, with_modules))

    async def _load_manifests(
        self, keys: Sequence[Key]
    ) -> Mapping[Key, Manifest | asyncio.Future[Manifest]]:
        """One query for all of them, and one for the modules; beside them files are read."""
        users = list({user: None for user, _ in keys})
        documents = self._lookups.user_files.begin_documents(users)
        rows = await self._database.fetch_plugins(users)
        designers = [user for user, with_modules in keys if with_modules]
        modules = _by_plugin_id(await self._database.fetch_modules(designers) if designers else ())
        found: dict[Key, Manifest | asyncio.Future[Manifest]] = {}
        for number, key in enumerate(keys, 1):
            user, with_modules = key
            build = partial(self._build, user, rows[user], modules if with_modules else None)
            found[key] = _when_read(documents[user], build)
            if number % _MOST_BUILT_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    def _build(
        self,
        user: UserId,
        rows: Sequence[Row],
        modules: Mapping[str, Sequence[Row]] | None,
        found: UserDocument,
    ) -> Manifest:
        found = self._lookups.user_files.reconcile(user, found)
        metadata = self._metadata_in(found)
        return self._parts.assemble(user, rows, modules, metadata, found.file.fingerprint)

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

    async def _metadata(self, user: UserId) -> Mapping[str, InstallationMetadata] | None:
        document = self._lookups.user_files.begin_documents([user])[user]
        return self._metadata_in(await asyncio.shield(document))

    def _metadata_in(self, found: UserDocument) -> Mapping[str, InstallationMetadata] | None:
        """Installation metadata by slug; None where the table alone decides."""
        if found.file.installations.table_decides:
            return None
        return {slug: metadata_of(inner) for slug, inner in found.document.items()}

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


def _passes(plugin: PluginDetails, metadata: Mapping[str, Any] | None) -> bool:
    """The installation rule; `metadata` is None where the table alone decides."""
    return metadata is None or plugin.plugin_slug in metadata


def _by_plugin(modules: Iterable[ModuleDetails]) -> dict[str, list[ModuleDetails]]:
    grouped: dict[str, list[ModuleDetails]] = defaultdict(list)
    for module in modules:
        grouped[module.plugin_id].append(module)
    return grouped


def _by_plugin_id(modules: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for module in modules:
        grouped[module[1]].append(module)
    return grouped


def _when_read(
    document: asyncio.Future[UserDocument], build: Callable[[UserDocument], Manifest]
) -> Manifest | asyncio.Future[Manifest]:
    """Builds a manifest now, or when the document has been read. A manifest that cannot be built
    fails for its user alone.
    """

    async def built() -> Manifest:
        return build(await asyncio.shield(document))

    if not document.done() or document.cancelled() or document.exception():
        return asyncio.ensure_future(built())
    try:
        return build(document.result())
    except Exception as error:  # a row that nothing can be made of
        failed: asyncio.Future[Manifest] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed
