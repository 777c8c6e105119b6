"""Reads users' installed_plugins.json, for many users in one trip through a thread.

A file that hangs or is broken delays its user and nobody else: the result for that user is a
future.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from gateway.disk.files import Fingerprint
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import (
    BrokenInstallations,
    Document,
    InstallationMetadata,
    metadata_of,
)
from gateway.errors import SourceUnavailable, StorageError
from gateway.metrics.sources import SourceCounts
from gateway.names import UserId
from gateway.settings import AccessSettings, LookupCacheSettings
from gateway.threads import KeyedThreads, in_threads, mark_seen
from gateway.tracing import span

# Far longer than a program needs between truncating the file and writing it again.
_BROKEN_PAUSE_S = 0.02
_BROKEN_RETRIES = 2

# If more files than this hang, the files of other users are not read either.
_MOST_READERS = 16
_READ_TIMEOUT_S = 2.0

# The clocks of file systems stand still for up to 10 ms, and on FAT for 2 s. A file that is younger
# than this when it is read may be written again and keep its fingerprint (git calls it "racy").
_SETTLED_NS = 3 * 10**9

# A list of 20 slugs takes about 1.5 KiB with its key.
_SHARED_INSTALLATIONS = 4_096

R = TypeVar("R")
_Content = tuple[Document | None, Fingerprint | None]
"""A user's JSON and the file's fingerprint; None and None where there is no file."""


@dataclass(frozen=True, slots=True)
class Installations:
    """What a user's installed_plugins.json says, reduced to what serving needs."""

    slugs: tuple[str, ...]
    table_decides: bool = False
    """There is no file, and the setting says that this denies nothing."""

    def allow(self, slug: str) -> bool:
        """The installation rule."""
        return slug in self.slugs or self.table_decides


@dataclass(frozen=True, slots=True)
class UserFile:
    """What a user's file said when it was read, and its fingerprint at that moment."""

    installations: Installations
    fingerprint: Fingerprint | None
    """None where there is no file."""
    vouched_until: float = field(compare=False)
    """Until this moment of the clock, a file that still has the fingerprint says the same. After
    it the file is read again."""

    @property
    def is_negative(self) -> bool:
        return not self.installations.slugs and not self.installations.table_decides


class UserDocument(NamedTuple):
    """A user's file with all that it says; the content is empty if it is missing or broken."""

    file: UserFile
    content: Document

    def metadata(self) -> dict[str, InstallationMetadata] | None:
        """Installation metadata by slug; None where the table alone decides."""
        if self.file.installations.table_decides:
            return None
        return {slug: metadata_of(inner) for slug, inner in self.content.items()}


class _Start(NamedTuple):
    """The moment before files are read, by the cache's clock and by the clock of the files."""

    moment: float
    wall_ns: int

    @classmethod
    def now(cls, clock: Callable[[], float]) -> "_Start":
        return cls(clock(), time.time_ns())

    def vouched_until(self, fingerprint: Fingerprint | None, vouched_s: float) -> float:
        """A young file is not vouched for at all."""
        # The last two are the moments of the last write and of the last change.
        is_young = fingerprint is not None and max(fingerprint[-2:]) >= self.wall_ns - _SETTLED_NS
        return self.moment + (0.0 if is_young else vouched_s)


class UserFileReader:
    """Reads users' files, and looks whether they changed since they were read."""

    def __init__(
        self,
        storage: PluginStorage,
        settings: LookupCacheSettings,
        access: AccessSettings,
        clock: Callable[[], float],
        counts: SourceCounts | None = None,
    ) -> None:
        self._counts = counts or SourceCounts.alone("users")
        self._storage = storage
        self._clock = clock
        self._vouched_s = max(settings.ttl, settings.max_age)
        self._allow_missing = access.missing_installations == "allow"
        self._shared_installations = lru_cache(_SHARED_INSTALLATIONS)(Installations)
        self._reading = KeyedThreads(self._read, _MOST_READERS, _READ_TIMEOUT_S)
        self._looking = KeyedThreads(self.look, _MOST_READERS, _READ_TIMEOUT_S)
        self._late: set[asyncio.Task[Any]] = set()
        """Tasks that wait for files that hang or are broken."""

    def look(self, user: UserId) -> Fingerprint | None:
        """Blocking. The fingerprint of the user's file; None where there is none.

        Raises: StorageError, if it cannot be looked at.
        """
        fingerprint = self._storage.users.fingerprint(user)
        if fingerprint is None:
            self._require_folder()
        return fingerprint

    async def look_many(
        self, files: Mapping[UserId, UserFile]
    ) -> dict[UserId, UserFile | asyncio.Future[UserFile]]:
        """The files that have not changed since they were read; those that changed are left out.

        The value is a future if the look takes long. The future reads the file again if it has
        changed, and raises SourceUnavailable.
        """
        unchanged: dict[UserId, UserFile | asyncio.Future[UserFile]] = {}
        if not files:
            return unchanged
        for user, look in (await self._counted(self._looking, files)).items():
            if isinstance(look, asyncio.Future):
                unchanged[user] = self._begin(self._look_late(user, files[user], look))
            elif look == files[user].fingerprint:
                unchanged[user] = files[user]
        return unchanged

    async def read_many(
        self, users: Collection[UserId]
    ) -> dict[UserId, UserDocument | asyncio.Future[UserDocument]]:
        """The files of users who all differ, read after this call.

        The value is a future if a file hangs or is broken. The future raises SourceUnavailable.
        """
        start = _Start.now(self._clock)
        return {
            user: self._begin(self._read_late(user, content, start))
            if isinstance(content, asyncio.Future)
            else self._document(content, start)
            for user, content in (await self._counted(self._reading, users)).items()
        }

    async def read_all(self, users: Sequence[UserId]) -> dict[UserId, Installations]:
        """The files of these users, for a command that looks at all users of a site.

        Raises: SourceUnavailable, if a file cannot be read.
        """
        contents = await in_threads(self._try_reading, users)
        return {
            user: self._installations(content[0])
            if content
            else (await self._read_one(user)).file.installations
            for user, content in zip(users, contents, strict=True)
        }

    async def close(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        self._reading.close()
        self._looking.close()

    async def _counted(
        self, threads: KeyedThreads[UserId, R], users: Collection[UserId]
    ) -> dict[UserId, R | asyncio.Future[R]]:
        """`call_many`. What hangs or fails is counted when it ends, in `_in_time`."""
        with self._counts.load() as load, span("read users' files", files=len(users)):
            results = await threads.call_many(users)
            load.count = sum(not isinstance(it, asyncio.Future) for it in results.values())
        return results

    def _begin(self, waiting: Coroutine[Any, Any, R]) -> asyncio.Future[R]:
        task = asyncio.create_task(waiting)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        task.add_done_callback(mark_seen)
        return task

    async def _look_late(
        self, user: UserId, file: UserFile, look: Awaitable[Fingerprint | None]
    ) -> UserFile:
        if await self._in_time(user, look) == file.fingerprint:
            return file
        return (await self._read_one(user)).file

    async def _read_one(self, user: UserId) -> UserDocument:
        return await self._read_late(user, self._reading.call(user), _Start.now(self._clock))

    async def _read_late(
        self, user: UserId, reading: Awaitable[_Content], start: _Start
    ) -> UserDocument:
        """A broken file is read again, since its writer may not have finished."""
        fingerprint: Fingerprint | None = None
        for attempt in range(_BROKEN_RETRIES + 1):
            try:
                return self._document(await self._in_time(user, reading), start)
            except BrokenInstallations as error:
                fingerprint = error.fingerprint
                if attempt < _BROKEN_RETRIES:
                    await asyncio.sleep(_BROKEN_PAUSE_S)
                    start, reading = _Start.now(self._clock), self._reading.call(user)
        until = start.vouched_until(fingerprint, self._vouched_s)
        return UserDocument(UserFile(Installations(()), fingerprint, until), {})

    async def _in_time(self, user: UserId, calling: Awaitable[R]) -> R:
        """Raises: BrokenInstallations; SourceUnavailable."""
        with self._counts.load():
            try:
                return await calling
            except BrokenInstallations:
                raise
            except StorageError as error:
                raise SourceUnavailable(reason=str(error)) from error
            except TimeoutError:
                path, limit_s = self._storage.users.file(user), _READ_TIMEOUT_S
                raise SourceUnavailable(reason=f"{path}: not read within {limit_s} s") from None

    def _document(self, content: _Content, start: _Start) -> UserDocument:
        document, fingerprint = content
        until = start.vouched_until(fingerprint, self._vouched_s)
        file = UserFile(self._installations(document), fingerprint, until)
        return UserDocument(file, document or {})

    def _installations(self, document: Document | None) -> Installations:
        """One object for all users who have the same plugins."""
        table_decides = document is None and self._allow_missing
        return self._shared_installations(tuple(document or ()), table_decides)

    def _read(self, user: UserId) -> _Content:
        """Blocking."""
        document, fingerprint = self._storage.users.read_with_fingerprint(user)
        if document is None:
            self._require_folder()
        return document, fingerprint

    def _try_reading(self, user: UserId) -> _Content | None:
        """Blocking. None if the file must be read again to know what is wrong with it."""
        try:
            return self._read(user)
        except StorageError:
            return None

    def _require_folder(self) -> None:
        """Blocking; called when one file is missing. Raises: StorageError, if all of them are."""
        if not self._allow_missing and not self._storage.users.path.is_dir():
            raise StorageError(f"{self._storage.users.path}: the folder of all users is gone")
