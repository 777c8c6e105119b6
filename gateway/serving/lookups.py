"""The lookups that stand between a request and a path, each behind a TTL cache.

    installations   user → what their installed_plugins.json says  (one file read for a page)
    records         user → their rows of `plugin`                  (one query for a page)
    owners          database id → the user of that row             (ids without the usual shape)
    held_versions   slug → versions over all users                 (bare slugs, public route)
    published       names in `shared/`                             (one look for all slugs)

All but the first share the settings of `[cache.versions]`. The last three answer the public
route, where anybody can ask for any name: no table is asked for a name that is not published.
Changes purge and expire them through freshness/invalidation.py alone.

Users who are missed while others are being loaded wait for the next load, and share it: one query
for the rows of all of them, and beside it one trip through a thread for all of their files.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from anyio.to_thread import run_sync

from gateway.caching.basis import AtHand, Pending
from gateway.caching.ttl_cache import TTLCache
from gateway.database.connections import Row
from gateway.database.plugin_database import PluginDatabase
from gateway.database.records import PluginRecord, UserRecords
from gateway.disk.storage import PluginStorage
from gateway.errors import SourceUnavailable
from gateway.errors.sentences import sentence_of
from gateway.metrics.sources import SourceCounts
from gateway.names import UserId, Version, parse_user_id
from gateway.serving.file_reader import Installations, UserFileReader
from gateway.serving.lookup_cache import build_lookup_cache
from gateway.serving.user_files import UserFiles
from gateway.settings import AccessSettings, CacheSettings
from gateway.tracing import span

AnyCache = TTLCache[Any, Any]


class Lookups:
    """The caches with their loaders, and how long a "no" is believed. `clock` gives all moments."""

    def __init__(
        self,
        storage: PluginStorage,
        database: PluginDatabase,
        cache: CacheSettings,
        access: AccessSettings,
        clock: Callable[[], float] = time.monotonic,
        users_counts: SourceCounts | None = None,
        shared_counts: SourceCounts | None = None,
    ) -> None:
        """`users_counts` takes the reads of users' files, `shared_counts` those of `shared/`."""
        self.clock = clock
        self._storage = storage
        self._database = database
        self._shared_counts = shared_counts or SourceCounts.alone("shared")
        self._no_installation_max_age_s = cache.installations.negative_ttl
        self._no_record_max_age_s = cache.versions.negative_ttl
        self.file_reader = UserFileReader(storage, cache.installations, access, clock, users_counts)
        self.user_files = UserFiles(self.file_reader, cache.installations, clock)
        self.installations = self.user_files.cache
        build = partial(build_lookup_cache, cache.versions, clock)
        self.records: TTLCache[UserId, UserRecords] = build(
            load_many=database.read_records,
            is_negative=lambda records: not records.by_slug,
            name="versions",
        )
        self.owners: TTLCache[str, UserId | None] = build(
            database.read_owner, is_negative=lambda owner: owner is None, name="owners"
        )
        self.held_versions: TTLCache[str, frozenset[Version]] = build(
            database.read_enabled_versions,
            is_negative=lambda versions: not versions,
            name="held_versions",
        )
        self.published: TTLCache[None, frozenset[str]] = build(
            self._load_published, name="published"
        )
        self._database_caches: list[AnyCache] = [self.records, self.owners, self.held_versions]

    @property
    def caches(self) -> dict[str, AnyCache]:
        """All of them, under the names that Cache-Status shows."""
        return {
            "installations": self.installations,
            "versions": self.records,
            "owners": self.owners,
            "held_versions": self.held_versions,
            "published": self.published,
        }

    def also_confirm(self, cache: AnyCache) -> None:
        """Makes `confirm_database` confirm one more cache, whose values come from the database."""
        self._database_caches.append(cache)

    def of_user(self, basis: AtHand, user: UserId) -> tuple[UserRecords, Installations]:
        """The user's rows and what is in their JSON; both are loaded at the same time."""
        try:
            records = basis.ask("versions", self.records, user)
        except Pending:
            basis.begin("installations", self.installations, user)
            raise
        return records, basis.ask("installations", self.installations, user).installations

    def is_installed(self, basis: AtHand, user: UserId, slug: str) -> bool:
        """Whether the user's JSON allows the plugin. A "no" is never older than `negative_ttl`."""
        for max_age_s in (None, self._no_installation_max_age_s):
            file = basis.ask("installations", self.installations, user, max_age_s)
            if file.installations.allow(slug):
                return True
        return False

    def source_of(self, user: UserId) -> str:
        """For people: what `is_installed` was last answered from."""
        entry = self.installations.peek(user)
        if entry is None or entry.value.fingerprint is not None:
            return f"users/user_{user}"
        if entry.value.installations.table_decides:
            return 'no file, access.missing_installations = "allow"'
        return f"no file in users/user_{user}"

    def find_record(self, basis: AtHand, user: UserId, plugin: str) -> PluginRecord | None:
        """The user's row, by slug or database id. A "no" is never older than `negative_ttl`."""
        record = None
        for max_age_s in (None, self._no_record_max_age_s):
            record = basis.ask("versions", self.records, user, max_age_s).find(plugin)
            if record is not None and record.enabled:
                break
        return record

    def find_owner(self, basis: AtHand, database_id: str) -> UserId | None:
        """The user of the row with this id: its `user_id` column, not the id's prefix.

        If the rows of the user whom the prefix names are cached, they are asked first: the next
        question is about them anyway, and they are one query for all of a page's plugins. If they
        are not cached, the prefix may be anybody's invention, and loads nothing.
        """
        user = _prefix_user(database_id)
        if user is not None and self.records.peek(user) is not None:
            records = basis.ask("versions", self.records, user)
            if records.find_by_id(database_id) is not None:
                return user
        return basis.ask("owners", self.owners, database_id)

    def find_held_versions(self, basis: AtHand, slug: str) -> frozenset[Version]:
        """Versions in the enabled rows of `slug`, over all users; none if it is not published."""
        if not self._is_published(basis, slug):
            return frozenset()
        return basis.ask("held_versions", self.held_versions, slug)

    def _is_published(self, basis: AtHand, slug: str) -> bool:
        """Whether `shared/` has the name in any case: some disks ignore case."""
        for max_age_s in (None, self._no_record_max_age_s):
            if slug.casefold() in basis.ask("published", self.published, None, max_age_s):
                return True
        return False

    def forget_user(self, user: UserId, *, hard: bool) -> None:
        """The user's JSON or rows changed: the next request reads them anew. Not `hard`: the old
        values stand in if they cannot be read.
        """
        if hard:
            self.installations.purge(user)
            self.records.purge(user)
        else:
            self.installations.expire(user)
            self.records.expire(user)
        self.owners.expire_all()
        self.held_versions.expire_all()

    def expire_all(self) -> None:
        """Anything may have changed: everything is loaded again at its next use."""
        for cache in self.caches.values():
            cache.expire_all()

    def users_read_since(self, moment: float) -> set[UserId]:
        """Users whose rows came from the database at or after `moment`."""
        return self.records.landings.since(moment)

    def confirm_rows(self, rows: Mapping[UserId, Sequence[Row]]) -> None:
        """The database holds these rows, with the RECORD_COLUMNS: entries that agree are right."""
        of_user = self._database.records.of_user
        agreeing = {
            user
            for user, own in rows.items()
            if (entry := self.records.peek(user)) is not None and entry.value == of_user(user, own)
        }
        self.records.landings.confirm(agreeing)

    def expire_read_since(self, moment: float) -> None:
        """What was read from the database since `moment` is loaded again, unless confirmed."""
        for cache in self._database_caches:
            cache.expire_landed_since(moment)

    def confirm_database(self, at: float) -> None:
        """All values from the database were right at the moment `at` of the clock: every commit
        before it was told, and the values that it may concern have been expired. In any thread, if
        one source alone calls this.
        """
        for cache in self._database_caches:
            cache.confirm_all(at)

    def database_answers(self) -> None:
        """A source of changes has reached the database: after an outage the next request asks it,
        and not only the one after the breaker's pause.
        """
        self._database.close_circuits()

    def purge_all(self) -> None:
        for cache in self.caches.values():
            cache.purge_all()

    async def close(self) -> None:
        await self.user_files.close()
        await self.file_reader.close()
        await asyncio.gather(*(cache.close() for cache in self.caches.values()))

    async def _load_published(self, _key: None) -> frozenset[str]:
        with self._shared_counts.load(), span("list the published plugins"):
            try:
                names = await run_sync(self._storage.shared.names)
            except OSError as error:
                reason = f"{self._storage.shared.path}: {sentence_of(error)}"
                raise SourceUnavailable(reason=reason) from error
        return frozenset(name.casefold() for name in names)


def _prefix_user(database_id: str) -> UserId | None:
    """The user whom the usual shape of ids names; None for other ids."""
    prefix, separator, _ = database_id.partition("_")
    try:
        return parse_user_id(prefix) if separator else None
    except ValueError:
        return None
