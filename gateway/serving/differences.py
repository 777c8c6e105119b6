"""Finds the difference that a client can take, and has it made where there is none.

    which files of the plugin are dictionaries?   a TTL cache by slug, over disk/differences.py
    is the difference in memory?                  it is a variant of the representation
    is it on disk?                                a request waits for that, in a thread
    neither                                       made in the background; the client gets another
                                                  variant, as does everybody until it is made

A client chooses the digest that it sends. So for a digest that no file of the plugin has, or only
files with another stem, the first question decides: nothing is begun, and nothing is remembered.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import anyio
import anyio.to_thread

from gateway.caching.basis import AtHand, PendingCall
from gateway.caching.entries import Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from gateway.disk.builds import FolderState
from gateway.disk.differences import (
    MAX_BYTES,
    Differences,
    dictionary_files,
    is_dictionary,
)
from gateway.disk.storage import PluginStorage
from gateway.errors import NotServed, SourceUnavailable
from gateway.errors.sentences import sentence_of
from gateway.http.dictionaries import stem
from gateway.http.representation import MAX_DIFFERENCES, Representation, Variant
from gateway.metrics.sources import SourceCounts
from gateway.names import AssetKey, AssetPath, Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.tracing import Span, current, span, span_below

_NEWEST_VERSIONS = 8
# Changes purge a plugin. What is noticed by nobody else is noticed when a dictionary is read.
_TTL_S = 60.0
# What is known of a plugin takes this much for each file of a version, and for each dictionary.
# With paths of 45 characters tracemalloc measured 252 bytes.
_FILE_BYTES = 300
_MAX_KNOWN_BYTES = 32 * 2**20
_MAX_WAITING = 256
# The paths of files that exist, of which all users ask for the same few.
_stem = lru_cache(1024)(stem)


_Place = tuple[Version, AssetPath]
KeepForProxy = Callable[[AssetKey, bytes, bytes, bytes], None]
"""(the file, its digest, the dictionary's digest, the difference)."""


class PluginFiles(NamedTuple):
    """The dictionaries of a plugin."""

    places: Mapping[tuple[bytes, str], _Place]
    """Where each is, by its digest and the stem of its path."""
    states: dict[Version, FolderState]
    """What the next look compares with."""

    @property
    def memory_bytes(self) -> int:
        files = sum(len(state.digests) for state in self.states.values())
        return _FILE_BYTES * (1 + len(self.places) + files)


class _Pair(NamedTuple):
    """A file, and a dictionary that a client has. No content: many may wait."""

    key: AssetKey
    digest: bytes
    dictionary: bytes
    place: _Place
    """Where the dictionary is, in the same plugin."""


class DifferenceFinder:
    """Finds differences for the representations in a store."""

    def __init__(
        self,
        storage: PluginStorage,
        differences: Differences,
        assets: AssetStore,
        clock: Callable[[], float] = time.monotonic,
        counts: SourceCounts | None = None,
        keep_for_proxy: KeepForProxy | None = None,
    ) -> None:
        """`counts` takes the looks at the versions of a plugin. `keep_for_proxy` is told of each
        difference that was found or made, in a thread; None: no proxy sends them.
        """
        self._storage = storage
        self._differences = differences
        self._assets = assets
        self._counts = counts or SourceCounts.alone("shared")
        self._keep_for_proxy = keep_for_proxy
        self._looks: dict[_Pair, asyncio.Task[None]] = {}
        self._making: dict[_Pair, asyncio.Task[None]] = {}
        # Making is never urgent: the other cores go on serving.
        self._one_at_a_time = anyio.Lock()
        self.cache: TTLCache[Slug, PluginFiles] = TTLCache(
            self._look_at_plugin,
            times=Times(ttl_s=_TTL_S, stale_if_error_s=_TTL_S),
            capacity=Capacity(_MAX_KNOWN_BYTES, lambda files: files.memory_bytes),
            clock=clock,
            name="dictionaries",
        )

    def find(
        self, basis: AtHand, key: AssetKey, representation: Representation, dictionary: bytes
    ) -> Variant | None:
        """The difference from the dictionary with that digest; None: there is none now.

        Raises: Pending.
        """
        if not representation.has_dictionaries:
            return None
        files = basis.ask_or("dictionaries", self.cache, key.slug, None)
        place = None if files is None else files.places.get((dictionary, _stem(key.path)))
        if place is None:
            return None
        # Not `representation`: a request that waited has that of before.
        latest = self._assets.latest(key, representation.digest)
        if latest is not None and dictionary in latest.differences:
            return latest.differences[dictionary]
        if latest is None or self._is_full(key, latest) or len(self._making) >= _MAX_WAITING:
            return None
        pair = _Pair(key, latest.digest, dictionary, place)
        raise PendingCall(partial(self._wait_for_look, pair))

    def purge_files(self, slug: Slug) -> None:
        """Forgets which files of a plugin are dictionaries."""
        self.cache.purge(slug)

    def purge_all(self) -> None:
        self.cache.purge_all()

    async def close(self) -> None:
        tasks = [*self._looks.values(), *self._making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.cache.close()

    async def _look_at_plugin(self, slug: Slug) -> PluginFiles:
        entry = self.cache.peek(slug)
        states = dict(entry.value.states) if entry else {}
        with self._counts.load(), span("look at the versions of a plugin", slug=slug):
            try:
                return await anyio.to_thread.run_sync(self._look_now, slug, states)
            except OSError as error:
                raise SourceUnavailable(reason=f"{slug}: {sentence_of(error)}") from error

    def _look_now(self, slug: Slug, states: dict[Version, FolderState]) -> PluginFiles:
        """Blocking. `states`: of the last look; changed to those of this one."""
        digests = dictionary_files(self._storage, slug, newest=_NEWEST_VERSIONS, known=states)
        places: dict[tuple[bytes, str], _Place] = {}
        for version, state in states.items():  # the newest first
            for name, digest in state.digests.items():
                path = AssetPath(name)
                if digest in digests and is_dictionary(path, state.sizes[name]):
                    places.setdefault((digest, stem(path)), (version, path))
        return PluginFiles(places, states)

    async def _wait_for_look(self, pair: _Pair) -> None:
        """Requests for the same difference share one look at the disk."""
        task = self._looks.get(pair)
        if task is None:
            task = self._looks[pair] = asyncio.create_task(self._look(pair))
            task.add_done_callback(lambda _task: self._looks.pop(pair, None))
        await asyncio.wait({task})

    async def _look(self, pair: _Pair) -> None:
        """Takes the difference from the disk, or begins to make it."""
        loaded = None
        try:
            loaded = await self._in_thread(self._load, pair)
        finally:  # also after an error: whoever waits would have it look again
            latest = self._assets.latest(pair.key, pair.digest)
            is_taken = latest is not None and not self._is_full(pair.key, latest)
            if is_taken:
                self._keep(pair, loaded)
        if is_taken and loaded is None and pair not in self._making:
            task = self._making[pair] = asyncio.create_task(self._make(pair, current()))
            task.add_done_callback(lambda _task: self._making.pop(pair, None))

    def _is_full(self, key: AssetKey, latest: Representation) -> bool:
        """Whether the file has as many differences as may be made for it.

        One name has fewer versions. But if a name is nothing but a hash, all such files have one
        stem, and a client could have each of them compared with each.
        """
        entry, own_stem = self.cache.peek(key.slug), _stem(key.path)
        places = entry.value.places if entry else {}
        return sum((digest, own_stem) in places for digest in latest.differences) >= MAX_DIFFERENCES

    async def _make(self, pair: _Pair, asker: Span | None) -> None:
        """`asker`: the span of the look. It has ended meanwhile."""
        await self._assets.until_encoded(pair.digest)  # what is not smaller than Brotli is no gain
        async with self._one_at_a_time:
            with span_below(asker, "encode a difference", slug=pair.key.slug):
                made = await self._in_thread(self._make_now, pair)
        if made is not None:
            self._keep(pair, made)

    def _keep(self, pair: _Pair, content: bytes | None) -> None:
        dictionary = pair.dictionary
        self._assets.update(
            pair.key, pair.digest, lambda latest: latest.with_difference(dictionary, content)
        )

    async def _in_thread(
        self, use: Callable[[_Pair, bytes], bytes | None], pair: _Pair
    ) -> bytes | None:
        """None, if the file is not in memory any more."""
        latest = self._assets.latest(pair.key, pair.digest)
        content = latest.identity.content if latest else None
        return None if content is None else await anyio.to_thread.run_sync(use, pair, content)

    def _load(self, pair: _Pair, content: bytes) -> bytes | None:
        """Blocking, as the methods below."""
        old = self._read_dictionary(pair)
        if old is None:
            return None
        difference = self._differences.load(pair.digest, pair.dictionary, content, old)
        return self._passed_on(pair, difference)

    def _make_now(self, pair: _Pair, content: bytes) -> bytes | None:
        old = self._read_dictionary(pair)
        if old is None:
            return None
        difference = self._differences.make_now(content, pair.digest, old, pair.dictionary)
        return self._passed_on(pair, difference)

    def _passed_on(self, pair: _Pair, difference: bytes | None) -> bytes | None:
        if difference is not None and self._keep_for_proxy is not None:
            self._keep_for_proxy(pair.key, pair.digest, pair.dictionary, difference)
        return difference

    def _read_dictionary(self, pair: _Pair) -> bytes | None:
        """None: the file is gone, or another one."""
        version, path = pair.place
        try:
            opened = self._storage.shared.open_asset(pair.key.slug, version, path)
            with opened.file:
                content = opened.file.read(MAX_BYTES + 1)
        except (NotServed, OSError):
            return None
        is_same = hashlib.sha256(content).digest() == pair.dictionary
        return content if is_same else None
