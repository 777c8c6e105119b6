"""The lookups that stand between a request and a path, each behind a TTL cache.

    installations   user → slugs in his installed_plugins.json     (one file read for a page)
    records         user → his rows of `plugin`                    (one query for a page)
    owners          database id → the user of that row             (ids without the usual shape)
    held_versions   slug → versions over all users                 (bare slugs, public route)
    published       names in `shared/`                             (one look for all slugs)

All but the first share the settings of `[cache.versions]`. The last three answer the public
route, where anybody can ask for any name: a name that is not published is asked of no table.
Changes purge and expire them through freshness/invalidation.py alone.

Users who are missed while others are being loaded wait for the next load, and share it: one query
for the rows of all of them, and beside it one trip through a thread for all of their files.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from anyio.to_thread import run_sync

from gateway.caching.basis import AtHand, Pending
from gateway.caching.batches import LoadMany
from gateway.caching.entries import ORDER_WITHIN_S, Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from gateway.database.connections import Row
from gateway.database.tables import PluginDatabase, PluginRecord, UserRecords
from gateway.disk.storage import (
    BrokenInstallations,
    Document,
    Facts,
    PluginStorage,
)
from gateway.errors import SourceUnavailable, StorageError
from gateway.names import UserId, Version, parse_user_id
from gateway.settings import Access, Cache, LookupCache
from gateway.threads import InThreads, KeyedThreads

# A program that truncates and rewrites the file is between the two for well under this.
_BROKEN_PAUSE_S = 0.02
_BROKEN_RETRIES = 2

# A source that answers later than this has failed, for those who can be answered without it.
PATIENCE_S = 0.25

# As many files may hang before the files of other users are not read any more.
_MOST_READERS = 16
_READ_TIMEOUT_S = 2.0

# The clocks of file systems stand still for up to 10 ms, and on FAT for 2 s. A file that is younger
# than this when it is read may be written again without a trace in its facts (git calls it "racy").
_SETTLED_NS = 3 * 10**9

# A list of 20 slugs takes about 1.5 KiB with its key.
_SHARED_INSTALLATIONS = 4_096

Read = tuple[Document | None, Facts]
"""A user's JSON and its facts; None where there is no file."""
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Installations:
    """What a user's installed_plugins.json says, reduced to what serving needs."""

    slugs: tuple[str, ...]
    file_exists: bool
    broken: bool = False
    """The file is no JSON object: nothing is installed, whatever the setting says."""


@dataclass(frozen=True, slots=True)
class ReadInstallations:
    """What a user's file said when it was read, and the file's facts at that moment."""

    said: Installations
    facts: Facts
    vouched_until: float = field(compare=False)
    """As long as the file has these facts it says the same; believed until this moment of the
    clock, and then the file is read again."""


class ReadDocument(NamedTuple):
    """A user's file, and what it says; an empty document where there is none, or a broken one."""

    read: ReadInstallations
    document: Document


class _Began(NamedTuple):
    """The moment before files were read, by the cache's clock and by that of the files."""

    moment: float
    wall_ns: int

    @classmethod
    def now(cls, clock: Callable[[], float]) -> "_Began":
        return cls(clock(), time.time_ns())

    def vouched_until(self, facts: Facts, vouched_s: float) -> float:
        """Until when the facts vouch for what was read: not at all, if the file is young."""
        # The moments of the last write, and of the last change or, on Windows, of the making.
        is_young = facts is not None and max(facts[-2:]) >= self.wall_ns - _SETTLED_NS
        return self.moment + (0.0 if is_young else vouched_s)


class Lookups:
    """The caches with their loaders, and how long a "no" is believed."""

    def __init__(
        self,
        storage: PluginStorage,
        database: PluginDatabase,
        cache: Cache,
        access: Access,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: of all moments that are told to these caches, or by them."""
        self.clock = clock
        self._storage = storage
        self._database = database
        self._vouched_s = max(cache.installations.ttl, cache.installations.max_age)
        self._shared_installations = lru_cache(_SHARED_INSTALLATIONS)(Installations)
        self._reading = KeyedThreads(self._read_installations, _MOST_READERS, _READ_TIMEOUT_S)
        self._looking = KeyedThreads(self.look_at_file, _MOST_READERS, _READ_TIMEOUT_S)
        self._closer_looks: set[asyncio.Task[Any]] = set()
        self._wanted: dict[UserId, asyncio.Future[ReadDocument]] = {}
        """Whose document is wanted from the load of their installations that has begun."""
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
        self.database_caches: list[TTLCache[Any, Any]] = [
            self.records,
            self.owners,
            self.held_versions,
        ]
        """Those that change sources confirm as a whole. One that holds more than RECORD_COLUMNS is
        expired as a whole by a change with `read_since`, as that tells of those columns alone."""

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
            else (await self._read_closely(user)).said
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
        return self.records.landings.since(moment)

    def confirm_rows(self, rows: Mapping[UserId, Sequence[Row]]) -> None:
        """These are the rows of these users: what was read of them before is right if it agrees.

        `rows` have the RECORD_COLUMNS.
        """
        self.records.landings.confirm(
            {user: self._database.user_records(user, of_user) for user, of_user in rows.items()}
        )

    def expire_read_since(self, moment: float) -> None:
        """What was read of the database since `moment` is asked for again, unless confirmed."""
        for cache in self.database_caches:
            cache.expire_landed_since(moment)

    def confirm_database(self, at: float) -> None:
        """All that is held of the database was right at the moment `at` of the clock: every
        commit before it was told, and what it may concern has been expired. In any thread, of one
        source.
        """
        for cache in self.database_caches:
            cache.confirm_all(at)

    def purge_all(self) -> None:
        for cache in self.caches.values():
            cache.purge_all()

    def confirm_file(self, user: UserId, facts: Facts, at: float) -> bool:
        """The user's file had these facts when it was looked at, at the moment `at` or later.

        True: what is known of the file was read of it as it was then, or after `at`.
        """
        entry = self.installations.peek(user)
        if entry is None or entry.loaded_at >= at:
            return True
        if entry.value.facts != facts:
            return False
        if at < entry.value.vouched_until:
            self.installations.confirm(user, at)
        return True

    async def close(self) -> None:
        await asyncio.gather(*(cache.close() for cache in self.caches.values()))
        for pending in (*self._closer_looks, *self._wanted.values()):
            pending.cancel()
        await asyncio.gather(*self._closer_looks, return_exceptions=True)
        self._reading.close()
        self._looking.close()

    def begin_documents(
        self, users: Iterable[UserId]
    ) -> dict[UserId, asyncio.Future[ReadDocument]]:
        """The users' files, read after this call. Where nothing is known of a user, that read
        fills the cache of installations too.

        The futures raise SourceUnavailable.
        """
        found: dict[UserId, asyncio.Future[ReadDocument]] = {}
        known: dict[UserId, asyncio.Future[ReadDocument]] = {}
        for user in users:
            document = self._wanted.get(user)
            if document is None:
                document = asyncio.get_running_loop().create_future()
                document.add_done_callback(_mark_seen)
                (self._wanted if self.installations.begin(user) else known)[user] = document
            found[user] = document
        if known:
            self._begin_closer_look(self._read_known(known))
        return found

    async def _read_known(self, wanted: Mapping[UserId, asyncio.Future[ReadDocument]]) -> None:
        """Of users of whom something is known, or being read."""
        began = _Began.now(self.clock)
        for user, read in (await self._reading.call_many(wanted)).items():
            if isinstance(read, asyncio.Future):
                self._begin_closer_look(self._look_closer(user, read, began, wanted[user]))
            else:
                _give(wanted[user], self._read_at(began, read))

    def agreed(self, user: UserId, found: ReadDocument) -> ReadDocument:
        """With the facts that installations know; if those are others, they are expired."""
        known = self.installations.peek(user)
        if known is not None and known.value == found.read:
            return found._replace(read=known.value)  # one object for both: facts take 250 bytes
        if known is not None:
            self.installations.expire(user)
        return found

    async def _in_time(self, user: UserId, calling: Awaitable[R]) -> R:
        """Raises: BrokenInstallations; SourceUnavailable."""
        try:
            return await calling
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
        wanted = {user: self._wanted.pop(user, None) for user in users}
        loaded = await self._look_at_known([user for user in users if wanted[user] is None])
        began = _Began.now(self.clock)
        read = await self._reading.call_many(user for user in users if user not in loaded)
        for user, found in read.items():
            loaded[user] = (
                self._begin_closer_look(self._look_closer(user, found, began, wanted[user]))
                if isinstance(found, asyncio.Future)
                else _give(wanted[user], self._read_at(began, found))
            )
        return loaded

    async def _look_at_known(
        self, users: Sequence[UserId]
    ) -> dict[UserId, ReadInstallations | asyncio.Future[ReadInstallations]]:
        """Looks at files whose content is known. Returns what is known where a file has not
        changed; users whose file must be read are left out.
        """
        known = {user: value for user in users if (value := self._vouched(user))}
        loaded: dict[UserId, ReadInstallations | asyncio.Future[ReadInstallations]] = {}
        for user, facts in (await self._looking.call_many(known)).items():
            if isinstance(facts, asyncio.Future):
                look = self._look_late(user, known[user], facts)
                loaded[user] = self._begin_closer_look(look)
            elif facts == known[user].facts:
                loaded[user] = known[user]
        return loaded

    def _vouched(self, user: UserId) -> ReadInstallations | None:
        """Returns what is known of the user, if a look at their file can show that it still holds.

        A missing file is never known: looking for it costs as much as reading it.
        """
        entry = self.installations.peek(user)
        if entry is None or entry.value.facts is None:
            return None
        return entry.value if self.clock() < entry.value.vouched_until else None

    def _begin_closer_look(self, look: Coroutine[Any, Any, V]) -> asyncio.Future[V]:
        task = asyncio.create_task(look)
        self._closer_looks.add(task)
        task.add_done_callback(self._closer_looks.discard)
        task.add_done_callback(_mark_seen)
        return task

    async def _look_late(
        self, user: UserId, known: ReadInstallations, looking: Awaitable[Facts]
    ) -> ReadInstallations:
        """Waits for a look that did not come back with the others. Raises: SourceUnavailable."""
        if await self._in_time(user, looking) == known.facts:
            return known
        return await self._read_closely(user)

    async def _read_closely(self, user: UserId) -> ReadInstallations:
        return await self._look_closer(user, self._reading.call(user), _Began.now(self.clock))

    async def _look_closer(
        self,
        user: UserId,
        reading: Awaitable[Read],
        began: "_Began",
        wanted: asyncio.Future[ReadDocument] | None = None,
    ) -> ReadInstallations:
        """Waits for a file that could not be read with the others. Raises: SourceUnavailable."""
        try:
            return _give(wanted, await self._read_again(user, reading, began))
        except BaseException as error:  # cancelled too: others wait for the document
            if wanted is not None and not wanted.done():
                wanted.set_exception(error)
            raise

    async def _read_again(
        self, user: UserId, reading: Awaitable[Read], began: "_Began"
    ) -> ReadDocument:
        """A broken file is read again. Raises: SourceUnavailable."""
        facts: Facts = None
        for attempt in range(_BROKEN_RETRIES + 1):
            try:
                return self._read_at(began, await self._in_time(user, reading))
            except BrokenInstallations as error:
                facts = error.facts
                if attempt < _BROKEN_RETRIES:
                    await asyncio.sleep(_BROKEN_PAUSE_S)
                    began, reading = _Began.now(self.clock), self._reading.call(user)
        broken = Installations((), file_exists=True, broken=True)
        until = began.vouched_until(facts, self._vouched_s)
        return ReadDocument(ReadInstallations(broken, facts, until), {})

    def _read_at(self, began: "_Began", read: Read) -> ReadDocument:
        document, facts = read
        until = began.vouched_until(facts, self._vouched_s)
        said = self._installations_of(document)
        return ReadDocument(ReadInstallations(said, facts, until), document or {})

    def look_at_file(self, user: UserId) -> Facts:
        """Blocking. What changes with the user's file; None where there is none.

        Raises: StorageError, if it cannot be looked at.
        """
        facts = self._storage.installations_facts(user)
        if facts is None:
            self._expect_folder()
        return facts

    async def _load_published(self, _key: None) -> frozenset[str]:
        try:
            names = await run_sync(self._storage.published_slugs)
        except OSError as error:
            raise SourceUnavailable(reason=f"{self._storage.shared}: {error}") from error
        return frozenset(name.casefold() for name in names)

    def _read_installations(self, user: UserId) -> Read:
        """Blocking."""
        document, facts = self._storage.read_document_and_facts(user)
        if document is None:
            self._expect_folder()
        return document, facts

    def _expect_folder(self) -> None:
        """Where one file is missing: blocking. Raises: StorageError, if all of them are gone."""
        if not self._allow_missing and not self._storage.users.is_dir():
            raise StorageError(f"{self._storage.users}: the folder of all users is gone")

    def _try_reading(self, user: UserId) -> Read | None:
        """Blocking. None: what is wrong with the file takes a closer look."""
        try:
            return self._read_installations(user)
        except StorageError:
            return None

    def _installations_of(self, document: Document | None) -> Installations:
        """One object for all users who have the same installed."""
        return self._shared_installations(tuple(document or ()), document is not None)

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
            times=lookup_times(settings),
            capacity=Capacity(settings.max_entries, order_within_s=ORDER_WITHIN_S),
            is_negative=is_negative,
            clock=self.clock,
        )


def lookup_times(settings: LookupCache) -> Times:
    return Times(
        ttl_s=settings.ttl,
        max_age_s=settings.max_age,
        negative_ttl_s=settings.negative_ttl,
        stale_if_error_s=settings.stale_if_error,
        patience_s=PATIENCE_S,
    )


def _give(wanted: asyncio.Future[ReadDocument] | None, found: ReadDocument) -> ReadInstallations:
    """To whoever wants the document."""
    if wanted is not None and not wanted.done():  # it is done after `close`
        wanted.set_result(found)
    return found.read


def _mark_seen(found: asyncio.Future[Any]) -> None:
    """Whoever wanted it may have given up."""
    if not found.cancelled():
        found.exception()


def _prefix_user(database_id: str) -> UserId | None:
    prefix, separator, _ = database_id.partition("_")
    try:
        return parse_user_id(prefix) if separator else None
    except ValueError:
        return None
