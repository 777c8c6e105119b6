"""A user's plugins and modules, put together from the tables, the user's JSON and the disk."""

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
    plugin_info,
    relative_bundle_location,
)
from gateway.serving.lookup_cache import build_lookup_cache
from gateway.serving.lookups import Lookups
from gateway.serving.manifests import Manifest, Part, Parts, PluginPart
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import Settings

Key = tuple[UserId, bool]
"""A user, and whether their modules are shown."""
# 16 manifests take 2 ms. Then other requests are answered before the next are built.
_MOST_BUILT_AT_ONCE = 16
_NO_FILES = {
    "bundle_exists": False,
    "bundle_size": 0,
    "package_json_valid": False,
    "assets_present": False,
}


class Catalogue:
    """Answers about a user's plugins, in the shapes of formats.py."""

    def __init__(
        self,
        lookups: Lookups,
        database: PluginDatabase,
        shared_versions: SharedVersions,
        settings: Settings,
    ) -> None:
        self._lookups = lookups
        self._database = database
        self._shared_versions = shared_versions
        self._parts = Parts(pins=settings.http.pin_manifest)
        self.manifests: TTLCache[Key, Manifest] = build_lookup_cache(
            settings.cache.versions,
            lookups.clock,
            load_many=self._load_manifests,
            is_negative=lambda manifest: not manifest.parts,
        )
        """As the database says. The pins of locations are added later."""
        lookups.database_caches.append(self.manifests)

    def manifest(self, basis: AtHand, user: UserId, *, with_modules: bool) -> Manifest:
        """The enabled rows that pass the installation rule, by slug, in bytewise order.

        The caller takes its text at once, because pins are right at this moment only.
        Raises: Pending.
        """
        manifest = self._find_manifest(basis, (user, with_modules))
        self._pin(basis, manifest.parts)
        return manifest

    def _find_manifest(self, basis: AtHand, key: Key) -> Manifest:
        """A manifest that was made from the same state of the user's file as the installations."""
        manifest = basis.ask("manifest", self.manifests, key)
        file = basis.ask("installations", self._lookups.installations, key[0])
        if manifest.fingerprint != file.fingerprint:
            manifest = basis.ask("manifest", self.manifests, key, max_age_s=0.0)
        return manifest

    def _pin(self, basis: AtHand, parts: Sequence[Part]) -> None:
        """Gives each location the pin of the build that its folder has."""
        now, epoch = self._shared_versions.clock(), self._shared_versions.epoch
        for part in parts:
            if part.until <= now or part.epoch < epoch:
                self._renew_pins(basis, parts)
                return

    def _renew_pins(self, basis: AtHand, parts: Sequence[Part]) -> None:
        """Begins all looks at folders before it waits for the first. Raises: Pending."""
        now, first = self._shared_versions.clock(), None
        for part in parts:
            epoch = self._shared_versions.epoch
            is_due = part.until <= now or part.epoch < epoch
            if not is_due or not isinstance(part, PluginPart) or part.folder is None:
                continue
            try:
                part.pin(*self._shared_versions.find_build(basis, *part.folder), epoch)
            except Pending as pending:
                basis.begin(pending.layer, pending.cache, pending.key)
                first = first or pending
        if first is not None:
            raise first

    def forget_user(self, user: UserId, *, hard: bool) -> None:
        """The user's JSON or rows changed. Not `hard`: the old manifest stands in on errors."""
        for with_modules in (True, False):
            if hard:
                self.manifests.purge((user, with_modules))
            else:
                self.manifests.expire((user, with_modules))

    async def _load_manifests(
        self, keys: Sequence[Key]
    ) -> Mapping[Key, Manifest | asyncio.Future[Manifest]]:
        """Runs one query for all plugins and one for all modules, while the files are read."""
        users = list({user: None for user, _ in keys})
        documents = self._lookups.user_files.begin_documents(users)
        rows = await self._database.fetch_plugins(users)
        designers = [user for user, with_modules in keys if with_modules]
        modules = _by_plugin_id(await self._database.fetch_modules(designers) if designers else ())
        manifests: dict[Key, Manifest | asyncio.Future[Manifest]] = {}
        for number, key in enumerate(keys, 1):
            user, with_modules = key
            build = partial(self._build, user, rows[user], modules if with_modules else None)
            manifests[key] = _when_read(documents[user], build)
            if number % _MOST_BUILT_AT_ONCE == 0:
                await asyncio.sleep(0)
        return manifests

    def _build(
        self,
        user: UserId,
        rows: Sequence[Row],
        modules: Mapping[str, Sequence[Row]] | None,
        document: UserDocument,
    ) -> Manifest:
        document = self._lookups.user_files.reconcile(user, document)
        metadata = _metadata_in(document)
        return self._parts.assemble(user, rows, modules, metadata, document.file.fingerprint)

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
        error_text = f"Plugin {database_id} not found or you don't have permission"
        plugin = await self._own_plugin(user, database_id, error_text)
        return {"modules": module_objects(await self._modules_of(user, plugin), plugin.id)}

    async def module(self, user: UserId, database_id: str, module_id: str) -> JsonObject:
        """One module, by its id or name. Raises: UnknownPlugin, SourceUnavailable."""
        error_text = f"Module {module_id} not found in plugin {database_id}"
        plugin = await self._own_plugin(user, database_id, error_text)
        for module in await self._modules_of(user, plugin):
            if module_id in (module.id, module.name):
                return module_objects([module], plugin.id)[0]
        raise UnknownPlugin(error_text)

    async def status(self, user: UserId, reference: str) -> JsonObject:
        """The status of a plugin, by slug or database id, at the user's own version.

        Raises: SourceUnavailable.
        """
        plugins, metadata = await asyncio.gather(
            self._database.read_plugins(user), self._metadata(user)
        )
        data: JsonObject = {"plugin_slug": reference, "exists": False, "status": "not_installed"}
        for plugin in plugins:
            if reference in (plugin.plugin_slug, plugin.id):
                data = await self._status_of(plugin, metadata)
                break
        return {"status": "success", "data": data}

    async def _status_of(
        self, plugin: PluginDetails, metadata: Mapping[str, InstallationMetadata] | None
    ) -> JsonObject:
        health = await self._health(plugin)
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
        document = self._lookups.user_files.begin_documents([user])[user]
        return _metadata_in(await asyncio.shield(document))

    async def _health(self, plugin: PluginDetails) -> dict[str, Any]:
        """What the files of the user's own version look like."""
        try:
            slug, version = parse_slug(plugin.plugin_slug), parse_version(plugin.version)
            shared = await Basis().settled(self._shared_versions.get, slug, version)
        except (ValueError, SourceUnavailable):  # no name of a folder, or a disk that fails
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


def _metadata_in(document: UserDocument) -> Mapping[str, InstallationMetadata] | None:
    """Installation metadata by slug; None where the table alone decides."""
    if document.file.installations.table_decides:
        return None
    return {slug: metadata_of(inner) for slug, inner in document.content.items()}


def _by_plugin_id(modules: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for module in modules:
        grouped[module[1]].append(module)
    return grouped


def _when_read(
    document: asyncio.Future[UserDocument], build: Callable[[UserDocument], Manifest]
) -> Manifest | asyncio.Future[Manifest]:
    """Builds a manifest at once, or when the document has been read. An error concerns this
    manifest alone.
    """

    async def built() -> Manifest:
        return build(await asyncio.shield(document))

    if not document.done() or document.cancelled() or document.exception():
        return asyncio.ensure_future(built())
    try:
        return build(document.result())
    except Exception as error:  # an unusable row
        failed: asyncio.Future[Manifest] = asyncio.get_running_loop().create_future()
        failed.set_exception(error)
        return failed
