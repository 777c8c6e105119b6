"""The cache of users' installed_plugins.json files.

Each request needs the slugs in its user's file: the cache holds them. A manifest needs the whole
document, which is in no cache; if the user has no entry either, one read serves both. The sweep
over the users folder (freshness/users_folder.py) confirms entries whose files have not changed.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from gateway.caching.ttl_cache import TTLCache
from gateway.disk.files import Fingerprint
from gateway.names import UserId
from gateway.serving.file_reader import UserDocument, UserFile, UserFileReader
from gateway.serving.lookup_cache import build_lookup_cache
from gateway.settings import LookupCacheSettings
from gateway.threads import mark_seen


class UserFiles:
    """What users' files say, and the documents that are being read."""

    def __init__(
        self, reader: UserFileReader, settings: LookupCacheSettings, clock: Callable[[], float]
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._promises: dict[UserId, asyncio.Future[UserDocument]] = {}
        """Documents that come with the load of the user's entry, which is under way."""
        self._reads: set[asyncio.Task[None]] = set()
        self.cache: TTLCache[UserId, UserFile] = build_lookup_cache(
            settings,
            clock,
            load_many=self._load,
            is_negative=lambda file: file.is_negative,
            name="installations",
        )

    def begin_documents(
        self, users: Iterable[UserId]
    ) -> dict[UserId, asyncio.Future[UserDocument]]:
        """The users' documents, read after this call. For a user who is not in the cache, that
        read fills the cache too.

        The futures raise SourceUnavailable.
        """
        documents: dict[UserId, asyncio.Future[UserDocument]] = {}
        cached: dict[UserId, asyncio.Future[UserDocument]] = {}
        for user in users:
            document = self._promises.get(user)
            if document is None:
                document = asyncio.get_running_loop().create_future()
                document.add_done_callback(mark_seen)
                (self._promises if self.cache.begin(user) else cached)[user] = document
            documents[user] = document
        if cached:
            task = asyncio.create_task(self._read_cached(cached))
            self._reads.add(task)
            task.add_done_callback(self._reads.discard)
        return documents

    def reconcile(self, user: UserId, document: UserDocument) -> UserDocument:
        """Compares a document with the cache. If the file has changed, the entry expires."""
        entry = self.cache.peek(user)
        if entry is not None and entry.value == document.file:
            # One object for both: a fingerprint takes 250 bytes.
            return document._replace(file=entry.value)
        if entry is not None:
            self.cache.expire(user)
        return document

    def confirm(self, user: UserId, fingerprint: Fingerprint | None, at: float) -> bool:
        """The user's file had this fingerprint when it was looked at, at the moment `at` or later.

        Returns whether the cache is right: its entry was read from the file as it was then, or
        after `at`.
        """
        entry = self.cache.peek(user)
        if entry is None or entry.loaded_at >= at:
            return True
        if entry.value.fingerprint != fingerprint:
            return False
        if at < entry.value.vouched_until:
            self.cache.confirm(user, at)
        return True

    async def close(self) -> None:
        await self.cache.close()
        for document in self._promises.values():
            document.cancel()
        for task in self._reads:
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    async def _load(
        self, users: Sequence[UserId]
    ) -> dict[UserId, UserFile | asyncio.Future[UserFile]]:
        """Reads the files of these users, unless a look shows that one has not changed."""
        promises = {user: self._promises.pop(user, None) for user in users}
        vouched = {
            user: file
            for user in users
            if promises[user] is None and (file := self._vouched_file(user)) is not None
        }
        files = await self._reader.look_many(vouched)
        documents = await self._reader.read_many([user for user in users if user not in files])
        for user, document in documents.items():
            if isinstance(document, asyncio.Future):
                files[user] = asyncio.ensure_future(_file_of(document))
            else:
                files[user] = document.file
            _fulfil(promises[user], document)
        return files

    async def _read_cached(self, promises: Mapping[UserId, asyncio.Future[UserDocument]]) -> None:
        for user, document in (await self._reader.read_many(promises)).items():
            _fulfil(promises[user], document)

    def _vouched_file(self, user: UserId) -> UserFile | None:
        """The user's entry, if a look at the file can show that it still holds.

        A missing file is not vouched for: to look for it costs as much as to read it.
        """
        entry = self.cache.peek(user)
        if entry is None or entry.value.fingerprint is None:
            return None
        return entry.value if self._clock() < entry.value.vouched_until else None


async def _file_of(document: asyncio.Future[UserDocument]) -> UserFile:
    return (await document).file


def _fulfil(
    promise: asyncio.Future[UserDocument] | None,
    document: UserDocument | asyncio.Future[UserDocument],
) -> None:
    """Gives a document, or its error, to the callers who wait for it."""
    if promise is None or promise.done():  # `close` cancels it
        return
    if not isinstance(document, asyncio.Future):
        promise.set_result(document)
    elif not document.done():
        document.add_done_callback(partial(_fulfil, promise))
    elif document.cancelled():
        promise.cancel()
    elif error := document.exception():
        promise.set_exception(error)
    else:
        promise.set_result(document.result())
