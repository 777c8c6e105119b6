"""The lookups that stand between a request and a path, each behind a TTL cache.

    installations   user → slugs in his installed_plugins.json     (one file read for a page)
    records         user → his rows of `plugin`                    (one query for a page)
    owners          database id → the user of that row             (ids without the usual shape)
    held_versions   slug → versions over all users                 (bare slugs, public route)
    published       names in `shared/`                             (one look for all slugs)

All but the first share the settings of `[cache.versions]`. The last three answer the public
route, where anybody can ask for any name: a name that is not published is asked of no table.
changes.py alone purges and expires them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from anyio.to_thread import run_sync

from gateway.basis import AtHand, Pending
from gateway.connections import Row
from gateway.database import PluginDatabase, PluginRecord, UserRecords
from gateway.errors import SourceUnavailable, StorageError
from gateway.names import UserId, Version, parse_user_id
from gateway.population import InThreads
from gateway.settings import Access, Cache, LookupCache
from gateway.storage import (
    BrokenInstallations,
    Document,
    Facts,
    PluginStorage,
)
from gateway.threads import KeyedThreads
from gateway.ttl_cache import ORDER_WITHIN_S, LoadMany, TTLCache

# A program that truncates and rewrites the file is between the two for well under this.
_BROKEN_PAUSE_S = 0.02
_BROKEN_RETRIES = 2

# A source that answers later than this has failed, for those who can be answered without it.
_PATIENCE_S = 0.25

# As many files may hang before the files of other users are not read any more.
_MOST_READERS = 16
_READ_TIMEOUT_S = 2.0

# A list of 20 slugs takes about 1.5 KiB with its key.
_SHARED_INSTALLATIONS = 4_096

Read = tuple[Document | None, Facts]
"""A user's JSON and its facts; None where there is no file."""
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Installations:
    """What a user's installed_plugins.json says, reduced to what serving needs."""

    slugs: tuple[str, ...]
    file_exists: bool
    broken: bool = False
    """The file is no JSON object: nothing is installed, whatever the setting says."""


class ReadInstallations(NamedTuple):
    """What a user's file said when it was read, and the file's facts at that moment."""

    said: Installations
    facts: Facts


class Lookups:
    """The caches with their loaders, and how long a "no" is believed."""

    def __init__(
        self,
        storage: PluginStorage,
        database: PluginDatabase,
        cache: Cache,
        access: Access,
    ) -> None:
        self._storage = storage
        self._database = database
        self._installations_ttl_s = cache.installations.ttl
        self._read: dict[UserId, tuple[float, Facts]] = {}
        """When each user's JSON was read last, and its facts then; the oldest first."""
        self._shared_installations = lru_cache(_SHARED_INSTALLATIONS)(Installations)
        self._reading = KeyedThreads(self._read_installations, _MOST_READERS, _READ_TIMEOUT_S)
        self._closer_looks: set[asyncio.Task[ReadInstallations]] = set()
        self._allow_missing = access.missing_installations == "allow"
        self._no_installation_max_age_s = cache.installations.negative_ttl
        self._no_record_max_age_s = cache.versions.negative_ttl
        self.installations: TTLCache[UserId, ReadInstallations] = self._cache(
            None,
            cache.installations,
            lambda read: not read.said.slugs and not self.table_decides(read.said),
            load_many=self._load_installations,
        )
        self.records: TTLCache[UserId, UserRecords] = self._cache(
            None,
            cache.versions,
            lambda records: records.is_empty,
            load_many=database.read_records,
        )
        self.owners: TTLCache[str, UserId | None] = self._cache(
            database.read_owner, cache.versions, lambda owner: owner is None
        )
        self.held_versions: TTLCache[str, frozenset[Version]] = self._cache(
            database.read_enabled_versions, cache.versions, lambda versions: not versions
        )
        self.published: TTLCache[None, frozenset[str]] = self._cache(
            self._load_published, cache.versions, lambda _names: False
        )
        self.caches: dict[str, TTLCache[Any, Any]] = {
            "installations": self.installations,
            "versions": self.records,
            "owners": self.owners,
            "held_versions": self.held_versions,
            "published": self.published,
        }
        """All of them, under the names that Cache-Status shows."""

    def of_user(self, basis: AtHand, user: UserId) -> tuple[UserRecords, Installations]:
        """The user's rows and what is in their JSON; both are loaded at the same time."""
        try:
            records = basis.ask("versions", self.records, user)
        except Pending:
            basis.begin("installations", self.installations, user)
            raise
        return records, basis.ask("installations", self.installations, user).said

    def is_installed(self, basis: AtHand, user: UserId, slug: str) -> bool:
        """Whether the user's JSON holds the plugin; a "no" is never older than negative_ttl."""
        for max_age_s in (None, self._no_installation_max_age_s):
            read = basis.ask("installations", self.installations, user, max_age_s)
            if self.allows(read.said, slug):
                return True
        return False

    def allows(self, installations: Installations, slug: str) -> bool:
        return slug in installations.slugs or self.table_decides(installations)

    def table_decides(self, installations: Installations) -> bool:
        """Whether there is no file, and the setting says that this denies nothing."""
        return self._allow_missing and not installations.file_exists

    async def read_installations(
        self, users: Sequence[UserId], in_threads: InThreads
    ) -> dict[UserId, Installations]:
        """Of many users, as their files are now; for a command that looks at everybody.

        Raises: SourceUnavailable, if a file cannot be read.
        """
        read = await in_threads(self._try_reading, users)
        return {
            user: self._installations_of(found[0])
            if found
            else (await self._look_closer(user, self._reading.call(user))).said
            for user, found in zip(users, read, strict=True)
        }

    def find_record(self, basis: AtHand, user: UserId, plugin: str) -> PluginRecord | None:
        """The user's row, by slug or database id; a "no" is never older than negative_ttl."""
        record = None
        for max_age_s in (None, self._no_record_max_age_s):
            record = basis.ask("versions", self.records, user, max_age_s).find(plugin)
            if record is not None and record.enabled:
                break
        return record

    def find_owner(self, basis: AtHand, database_id: str) -> UserId | None:
        """The user of the row with this id: its `user_id` column, not the id's prefix.

        The rows of the user whom the prefix names are looked at first if they are known: they
        are wanted next anyway, and are one query for all of a page's plugins. If they are not
        known, the prefix may be anybody's invention, and loads nothing.
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
        """Whether `shared/` has such a name, in any case: some disks make no difference."""
        for max_age_s in (None, self._no_record_max_age_s):
            if slug.casefold() in basis.ask("published", self.published, None, max_age_s):
                return True
        return False

    def forget_user(self, user: UserId, *, hard: bool) -> None:
        """The user's JSON or rows changed: the next request reads them anew. Soft: what was
        known stands in if they cannot be read.
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
        """Anything may have changed: everything is asked for again at its next use."""
        for cache in self.caches.values():
            cache.expire_all()

    def users_read_since(self, moment: float) -> set[UserId]:
        """Users whose rows came from the database at or after `moment`."""
        return self.records.landed_since(moment)

    def confirm_rows(self, rows: Mapping[UserId, Sequence[Row]]) -> None:
        """These are the rows of these users: what was read of them before is right if it agrees.

        `rows` have the RECORD_COLUMNS.
        """
        self.records.confirm_landed(
            {user: self._database.user_records(user, of_user) for user, of_user in rows.items()}
        )

    def expire_read_since(self, moment: float) -> None:
        """What was read of the database since `moment` is asked for again, unless confirmed."""
        for cache in (self.records, self.owners, self.held_versions):
            cache.expire_landed_since(moment)

    def purge_all(self) -> None:
        for cache in self.caches.values():
            cache.purge_all()

    def recently_read(self, turn: int, most: int) -> dict[UserId, Facts]:
        """Facts of the JSON files that fresh entries were read from: all, or with more than
        `most` of them those whose turn it is.
        """
        start = turn * most % len(self._read) if len(self._read) > most else 0
        chosen = islice(self._read.items(), start, start + most)
        return {user: facts for user, (_, facts) in chosen}

    async def close(self) -> None:
        await asyncio.gather(*(cache.close() for cache in self.caches.values()))
        for look in self._closer_looks:
            look.cancel()
        await asyncio.gather(*self._closer_looks, return_exceptions=True)
        self._reading.close()

    async def read_document(self, user: UserId) -> Read:
        """The user's JSON as it is now, and its facts.

        Raises: BrokenInstallations; SourceUnavailable, if it cannot be read, or not in time.
        """
        return await self._read_in_time(user, self._reading.call(user))

    async def _read_in_time(self, user: UserId, reading: Awaitable[Read]) -> Read:
        try:
            return await reading
        except BrokenInstallations:
            raise
        except StorageError as error:
            raise SourceUnavailable(reason=str(error)) from error
        except TimeoutError:
            path = self._storage.installations_file(user)
            raise SourceUnavailable(reason=f"{path}: not read within {_READ_TIMEOUT_S} s") from None

    async def _load_installations(
        self, users: Sequence[UserId]
    ) -> dict[UserId, ReadInstallations | asyncio.Future[ReadInstallations]]:
        """A file that hangs or is broken delays its user and nobody else."""
        read = await self._reading.call_many(users)
        return {
            user: self._begin_closer_look(user, found)
            if isinstance(found, asyncio.Future)
            else self._note_read(user, found)
            for user, found in read.items()
        }

    def _begin_closer_look(
        self, user: UserId, reading: asyncio.Future[Read]
    ) -> asyncio.Future[ReadInstallations]:
        look = asyncio.create_task(self._look_closer(user, reading))
        self._closer_looks.add(look)
        look.add_done_callback(self._closer_looks.discard)
        return look

    async def _look_closer(self, user: UserId, reading: Awaitable[Read]) -> ReadInstallations:
        """Waits for a file that could not be read with the others; reads a broken one again.

        Raises: SourceUnavailable.
        """
        for attempt in range(_BROKEN_RETRIES + 1):
            try:
                read = await self._read_in_time(user, reading)
            except BrokenInstallations:
                if attempt < _BROKEN_RETRIES:
                    await asyncio.sleep(_BROKEN_PAUSE_S)
                    reading = self._reading.call(user)
            else:
                return self._note_read(user, read)
        return ReadInstallations(Installations((), file_exists=True, broken=True), None)

    async def _load_published(self, _key: None) -> frozenset[str]:
        try:
            names = await run_sync(self._storage.published_slugs)
        except OSError as error:
            raise SourceUnavailable(reason=f"{self._storage.shared}: {error}") from error
        return frozenset(name.casefold() for name in names)

    def _read_installations(self, user: UserId) -> Read:
        """Blocking."""
        document, facts = self._storage.read_document_and_facts(user)
        if document is None and not self._allow_missing and not self._storage.users.is_dir():
            raise StorageError(f"{self._storage.users}: the folder of all users is gone")
        return document, facts

    def _try_reading(self, user: UserId) -> Read | None:
        """Blocking. None: what is wrong with the file takes a closer look."""
        try:
            return self._read_installations(user)
        except StorageError:
            return None

    def _installations_of(self, document: Document | None) -> Installations:
        """One object for all users who have the same installed."""
        return self._shared_installations(tuple(document or ()), document is not None)

    def _note_read(self, user: UserId, read: Read) -> ReadInstallations:
        document, facts = read
        now = time.monotonic()
        self._read.pop(user, None)
        self._read[user] = (now, facts)
        # In the order they were read; each is looked at once, so this is one step on average.
        for oldest, (read_at, _) in list(islice(self._read.items(), 2)):
            if now - read_at > self._installations_ttl_s:
                del self._read[oldest]
        return ReadInstallations(self._installations_of(document), facts)

    def _cache(
        self,
        load: Callable[[K], Awaitable[V]] | None,
        settings: LookupCache,
        is_negative: Callable[[V], bool],
        load_many: LoadMany[K, V] | None = None,
    ) -> TTLCache[K, V]:
        return TTLCache(
            load,
            load_many=load_many,
            ttl_s=settings.ttl,
            max_size=settings.max_entries,
            negative_ttl_s=settings.negative_ttl,
            stale_if_error_s=settings.stale_if_error,
            is_negative=is_negative,
            patience_s=_PATIENCE_S,
            order_within_s=ORDER_WITHIN_S,
        )


def _prefix_user(database_id: str) -> UserId | None:
    prefix, separator, _ = database_id.partition("_")
    try:
        return parse_user_id(prefix) if separator else None
    except ValueError:
        return None
