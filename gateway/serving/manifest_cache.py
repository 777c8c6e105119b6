"""The cache of manifests, whose locations get their pins when a manifest is asked for."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from gateway.caching.basis import AtHand, PendingValue
from gateway.caching.ttl_cache import TTLCache
from gateway.database.connections import Row
from gateway.database.plugin_database import PluginDatabase
from gateway.names import UserId
from gateway.serving.file_reader import UserDocument
from gateway.serving.lookup_cache import build_lookup_cache
from gateway.serving.lookups import Lookups
from gateway.serving.manifests import Manifest, Part, Parts, PluginPart
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import Settings

Key = tuple[UserId, bool]
"""A user, and whether their modules are shown."""
Rows = tuple[Sequence[Row], Sequence[Sequence[Row]] | None]
"""A user's rows of `plugin`, and those of `module` by plugin; None: they are not shown."""
# 16 manifests take 2 ms. Then other requests are answered before the next are built.
_MOST_BUILT_AT_ONCE = 16
# Of which rows are kept until the next commit. The rows of a user with five plugins take 8 KiB.
_MOST_COMPARED = 128


class ManifestCache:
    """Manifests by user, with modules or without."""

    def __init__(
        self,
        lookups: Lookups,
        database: PluginDatabase,
        shared_versions: SharedVersions,
        settings: Settings,
    ) -> None:
        self._user_files = lookups.user_files
        self._records = lookups.records
        self._database = database
        self._shared_versions = shared_versions
        self._parts = Parts(pins=settings.http.pin_manifest)
        self.cache: TTLCache[Key, Manifest] = build_lookup_cache(
            settings.cache.versions,
            lookups.clock,
            load_many=self._load,
            is_negative=lambda manifest: not manifest.parts,
            name="manifest",
        )
        """As the database says. The pins of locations are added later."""
        lookups.also_confirm(self.cache)
        self._last_read: dict[Key, tuple[Manifest, Rows]] = {}
        """The last manifests that were built, and from what."""

    def get(self, basis: AtHand, user: UserId, *, with_modules: bool) -> Manifest:
        """The enabled rows that pass the installation rule, by slug, in bytewise order.

        The caller takes its text at once, because pins are right at this moment only.
        Raises: Pending.
        """
        manifest = self._find(basis, (user, with_modules))
        self._pin(basis, manifest.parts)
        if self._shared_versions.requires_integrity:
            return manifest.only_with_integrity()
        return manifest

    def _find(self, basis: AtHand, key: Key) -> Manifest:
        """A manifest that was made from the same state of the user's file as the installations."""
        manifest = basis.ask("manifest", self.cache, key)
        file = basis.ask("installations", self._user_files.cache, key[0])
        if manifest.fingerprint != file.fingerprint:
            manifest = basis.ask("manifest", self.cache, key, max_age_s=0.0)
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
            if not is_due or not isinstance(part, PluginPart) or part.place is None:
                continue
            try:
                part.pin(*self._shared_versions.find_entry(basis, *part.place), epoch)
            except PendingValue as pending:
                basis.begin(pending.layer, pending.cache, pending.key)
                first = first or pending
        if first is not None:
            raise first

    def forget_user(self, user: UserId, *, hard: bool) -> None:
        """The user's JSON or rows changed. Not `hard`: the old manifest stands in on errors."""
        for with_modules in (True, False):
            if hard:
                self.cache.purge((user, with_modules))
            else:
                self.cache.expire((user, with_modules))

    async def _load(self, keys: Sequence[Key]) -> Mapping[Key, Manifest | asyncio.Future[Manifest]]:
        """Runs one query for all plugins and one for all modules, while the files are read.

        The rows of plugins also fill the cache of records: the files that a page asks for next
        need no other query.
        """
        users = list({user: None for user, _ in keys})
        documents = self._user_files.begin_documents(users)
        with self._records.bringing(users) as bring_records:
            rows = await self._database.fetch_plugins(users, bring_records)
        with_modules = [user for user, has_modules in keys if has_modules]
        modules = _by_plugin_id(
            await self._database.fetch_modules(with_modules) if with_modules else ()
        )
        manifests: dict[Key, Manifest | asyncio.Future[Manifest]] = {}
        for number, key in enumerate(keys, 1):
            user, has_modules = key
            build = partial(self._build, key, rows[user], modules if has_modules else None)
            manifests[key] = _when_read(documents[user], build)
            if number % _MOST_BUILT_AT_ONCE == 0:
                await asyncio.sleep(0)
        return manifests

    def _build(
        self,
        key: Key,
        plugins: Sequence[Row],
        modules: Mapping[str, Sequence[Row]] | None,
        document: UserDocument,
    ) -> Manifest:
        user, _ = key
        document = self._user_files.reconcile(user, document)
        metadata, fingerprint = document.metadata(), document.file.fingerprint
        manifest = self._parts.assemble(user, plugins, modules, metadata, fingerprint)
        self._last_read.pop(key, None)
        self._last_read[key] = manifest, _rows(plugins, modules)
        if len(self._last_read) > _MOST_COMPARED:
            del self._last_read[next(iter(self._last_read))]
        return manifest

    def users_read_since(self, moment: float) -> set[UserId]:
        """Users whose manifest was read at or after `moment`, from rows that are still known."""
        landed = self.cache.landings.since(moment)
        return {key[0] for key in self._last_read if key in landed}

    def confirm_rows(self, plugins: Mapping[UserId, Sequence[Row]], modules: Iterable[Row]) -> None:
        """The database holds these rows, all at one moment: manifests that were built from equal
        ones are right. Forgets from what manifests were built.
        """
        by_plugin = _by_plugin_id(modules)
        agreeing = set()
        for key, (manifest, read) in self._last_read.items():
            user, has_modules = key
            entry = self.cache.peek(key)
            if entry is None or entry.value is not manifest or user not in plugins:
                continue
            if read == _rows(plugins[user], by_plugin if has_modules else None):
                agreeing.add(key)
        self._last_read.clear()
        self.cache.landings.confirm(agreeing)


def _rows(plugins: Sequence[Row], modules: Mapping[str, Sequence[Row]] | None) -> Rows:
    if modules is None:
        return plugins, None
    return plugins, [modules.get(row[0], ()) for row in plugins]


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
