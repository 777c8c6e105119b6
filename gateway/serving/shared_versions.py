"""What all users of a version share: one object for each (slug, version), however many users.

It holds the version's index (disk/builds.py), the integrity of its files, its metadata, and which
encoded variants are on disk. It is loaded at first use, looked at again for changes in place, and
dropped when it has not been used for a while.
"""

import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import anyio.to_thread
import orjson

from gateway.caching.basis import AtHand
from gateway.caching.entries import ORDER_WITHIN_S, Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from gateway.disk.builds import FolderState, look_at_version
from gateway.disk.encoder import Encoder
from gateway.disk.files import Fingerprint, read_regular
from gateway.disk.metadata import MAX_METADATA_BYTES, Metadata, entry_file, read_metadata
from gateway.disk.published_record import (
    NO_RECORD,
    Integrity,
    read_integrity,
    record_fingerprint,
)
from gateway.disk.retention import IN_USE_S, Retention
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError, SourceUnavailable
from gateway.errors.sentences import sentence_of
from gateway.metrics.sources import SourceCounts
from gateway.names import Build, Slug, Version
from gateway.serving.preloading import scripts_beside
from gateway.tracing import span

logger = logging.getLogger(__name__)

OnLook = Callable[[Slug, Version, FolderState | None], None]

_MAX_VERSIONS = 10_000
_FAILED_PAUSE_S = 1.0
_END_OF_PATH = re.compile("[?#]")


class _Failed:
    """Takes the place of a version whose folder could not be read."""


_FAILED = _Failed()


class PinnedEntry(NamedTuple):
    """What a manifest says of a plugin's entry."""

    build: Build
    integrity: str | None
    """None if it is not known."""
    preload: tuple[tuple[str, str], ...] = ()
    """Path and integrity of the scripts that a page loads with it at once."""


class SharedVersion:
    """A version as it is on disk, for all its users."""

    def __init__(
        self,
        slug: Slug,
        version: Version,
        folder: Path,
        state: FolderState,
        record: Fingerprint | None,
        integrity: Integrity,
        encoder: Encoder | None,
    ) -> None:
        """`record`: of the record that `integrity` was read from. Blocking. Raises: OSError."""
        self.slug = slug
        self.version = version
        self.state = state
        self.record = record
        self.integrity = integrity
        self.uses = 0
        """The number of uses since it was loaded."""
        self._folder = folder
        self._encoder = encoder
        self._beside = self._scripts_beside()

    def _scripts_beside(self) -> Mapping[str, tuple[str, ...]]:
        """Scripts that pages load with the entry, by the entry's path."""
        if self.integrity.problem or self.metadata is None:
            return {}
        entry = entry_file(self.metadata)
        return {} if entry is None else {entry: scripts_beside(self._folder, self.state, entry)}

    @cached_property
    def metadata(self) -> Metadata | None:
        """None if it cannot be read. Blocking at first use."""
        try:
            return read_metadata(self._folder)
        except (PublishingError, OSError):
            return None

    def entry(self, location: str) -> PinnedEntry:
        """`location`: below the folder, as a URL has it."""
        path = unquote(_END_OF_PATH.split(location, maxsplit=1)[0])
        integrity = self.integrity.by_path.get(path)
        beside = self._beside.get(path, ())
        preload = tuple((name, self.integrity.by_path[name]) for name in beside)
        return PinnedEntry(self.state.build, integrity, preload)

    def encoded(self) -> Mapping[str, tuple[str, ...]]:
        """The content-codings that are on disk, by file. Blocking."""
        if self._encoder is None:
            return {}
        return {
            name: codings
            for name, digest in self.state.digests.items()
            if (codings := self._encoder.codings_on_disk(digest))
        }

    def size_bytes(self, name: str) -> int:
        """The size of one file; 0 if there is none."""
        return self.state.sizes.get(name, 0)

    def has_folder(self, name: str) -> bool:
        return any(path.startswith(f"{name}/") for path in self.state.digests)

    @cached_property
    def package_json_is_valid(self) -> bool:
        """Whether there is a package.json, and it is JSON. Blocking at first use."""
        if "package.json" not in self.state.digests:
            return False
        try:
            orjson.loads(read_regular(self._folder / "package.json", MAX_METADATA_BYTES) or b"")
        except (OSError, ValueError):
            return False
        return True


class SharedVersions:
    """The versions in use, looked at again every `revalidate_s` seconds."""

    def __init__(
        self,
        storage: PluginStorage,
        encoder: Encoder | None,
        revalidate_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_look: OnLook = lambda _slug, _version, _state: None,
        counts: SourceCounts | None = None,
        *,
        requires_integrity: bool = False,
    ) -> None:
        """`on_look` is called with the result of each look at a folder, changed or not.
        `counts` takes the looks.
        `requires_integrity`: versions whose integrity is not known are to be given to nobody.
        """
        self.requires_integrity = requires_integrity
        self._counts = counts or SourceCounts.alone("shared")
        self._on_look = on_look
        self._storage = storage
        self._encoder = encoder
        self._retention = Retention(storage.cache)
        self.cache: TTLCache[tuple[Slug, Version], SharedVersion | None] = TTLCache(
            self._look,
            times=Times(
                ttl_s=revalidate_s,
                negative_ttl_s=revalidate_s,
                # Keeps the digests while nobody asks, and answers while the disk fails.
                stale_if_error_s=IN_USE_S,
            ),
            capacity=Capacity(_MAX_VERSIONS, order_within_s=ORDER_WITHIN_S),
            is_negative=lambda look: look is None,
            clock=clock,
            on_change=self._end_epoch,
            name="builds",
        )
        self.clock = clock
        self.epoch = 0
        """Increases when an entry that `find_entry` returned may no longer be right."""

    def get(self, basis: AtHand, slug: Slug, version: Version) -> SharedVersion | None:
        """None if the version has no folder. Raises: Pending."""
        shared = basis.ask("builds", self.cache, (slug, version))
        if shared is not None:
            shared.uses += 1
        return shared

    def find_entry(
        self, basis: AtHand, slug: Slug, version: Version, location: str
    ) -> tuple[PinnedEntry | None, float]:
        """The entry at a location, and the moment until which it is right while `epoch` stays.

        It is None if there is no folder, or the disk fails. Raises: Pending.
        """
        key = slug, version
        shared = basis.ask_or("builds", self.cache, key, _FAILED)
        if isinstance(shared, _Failed):
            return None, self.clock() + _FAILED_PAUSE_S
        entry = self.cache.peek(key)
        # The request may rest on an older look, if it waited for another folder since.
        until = entry.refresh_at if entry is not None and entry.value is shared else -math.inf
        return None if shared is None else shared.entry(location), until

    def _end_epoch(self) -> None:
        self.epoch += 1

    def __iter__(self) -> Iterator[SharedVersion]:
        """The versions that are loaded."""
        entries = map(self.cache.peek, self.cache)
        return (entry.value for entry in entries if entry is not None and entry.value is not None)

    def purge_all(self) -> None:
        self.cache.purge_all()

    def purge_wrong(self, slug: Slug, version: Version) -> None:
        """Forgets an entry whose folder a request found to be changed."""
        self.cache.purge((slug, version))

    def purge_files(self, slug: Slug, version: Version | None) -> None:
        """Forgets one version, or all versions of a plugin."""
        self.cache.purge_where(lambda key: key[0] == slug and version in (None, key[1]))

    async def close(self) -> None:
        await self.cache.close()

    async def _look(self, key: tuple[Slug, Version]) -> SharedVersion | None:
        entry = self.cache.peek(key)
        cached = entry.value if entry else None
        with self._counts.load(), span("look at a version", slug=key[0], version=key[1]):
            try:
                shared = await anyio.to_thread.run_sync(self._look_now, *key, cached)
            except OSError as error:
                folder = self._storage.construct_shared_path(*key)
                raise SourceUnavailable(reason=f"{folder}: {sentence_of(error)}") from error
        self._on_look(*key, None if shared is None else shared.state)
        return shared

    def _look_now(
        self, slug: Slug, version: Version, cached: SharedVersion | None
    ) -> SharedVersion | None:
        """Blocking. Returns the same object if nothing has changed."""
        state = look_at_version(self._storage, slug, version, cached.state if cached else None)
        if state is None:
            self._storage.shared.require()
            return None
        self._retention.note_use(slug, version)
        folder = self._storage.construct_shared_path(slug, version)
        record = record_fingerprint(folder)
        if cached is not None and cached.state is state and cached.record == record:
            return cached
        integrity = NO_RECORD if record is None else read_integrity(folder, state)
        if self.requires_integrity and integrity.problem:
            logger.warning(
                "%s %s is given to nobody (http.require_integrity): %s",
                slug,
                version,
                integrity.problem,
            )
        return SharedVersion(slug, version, folder, state, record, integrity, self._encoder)
