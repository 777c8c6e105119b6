"""The store of representations: hot files in memory, bounded in bytes.

A file is looked at again every `cache.assets.revalidate` seconds, for installers of the
application write over files in place; it is read again only when its facts have changed.
"""

import hashlib
import os
from collections.abc import Callable

import anyio.to_thread

from gateway.errors import NotServed, SourceUnavailable
from gateway.names import AssetKey
from gateway.representation import Representation, build_representation
from gateway.settings import AssetCache
from gateway.storage import OpenedAsset, PluginStorage
from gateway.ttl_cache import TTLCache

# Files that are streamed leave their facts here; they need room even with max_bytes = 0.
_FACTS_BYTES = 16 * 2**20
_LARGEST_SHARE = 0.25
"""One file never fills the store: larger than this share of it, and it is streamed."""


class AssetStore:
    """Representations by asset key."""

    def __init__(
        self, storage: PluginStorage, settings: AssetCache, on_change: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._max_content_bytes = int(
            min(settings.max_file_bytes, settings.max_bytes * _LARGEST_SHARE)
        )
        self._cache: TTLCache[AssetKey, Representation | NotServed] = TTLCache(
            self._load,
            ttl_s=settings.revalidate,
            negative_ttl_s=min(settings.revalidate, 1.0),
            stale_if_error_s=60.0,
            max_size=settings.max_bytes + _FACTS_BYTES,
            size_of=lambda value: value.memory_bytes if isinstance(value, Representation) else 1000,
            is_negative=lambda value: isinstance(value, NotServed),
            on_change=on_change,
        )

    async def get(self, key: AssetKey) -> Representation:
        """Raises: NotServed, if there is no such file; SourceUnavailable, if the disk fails."""
        found = await self._cache.get(key)
        if isinstance(found, NotServed):
            raise type(found)(reason=found.reason)
        return found

    def purge(self, key: AssetKey) -> None:
        self._cache.purge(key)

    async def close(self) -> None:
        await self._cache.close()

    async def _load(self, key: AssetKey) -> Representation | NotServed:
        entry = self._cache.peek(key)
        known = entry.value if entry and isinstance(entry.value, Representation) else None
        try:
            return await anyio.to_thread.run_sync(self._read, key, known)
        except NotServed as error:
            return error
        except OSError as error:
            raise SourceUnavailable(reason=f"{key}: {error}") from error

    def _read(self, key: AssetKey, known: Representation | None) -> Representation:
        opened = self._storage.open_asset(key.slug, key.version, key.path)
        with opened.file:
            fingerprint = _fingerprint(opened.stat)
            if known is not None and known.fingerprint == fingerprint:
                return known
            return self._build(key, opened, fingerprint)

    def _build(
        self, key: AssetKey, opened: OpenedAsset, fingerprint: tuple[int, ...]
    ) -> Representation:
        size = opened.stat.st_size
        content = None
        if size <= self._max_content_bytes:
            content = opened.file.read()
            size = len(content)
            digest = hashlib.sha256(content).digest()
        else:
            digest = hashlib.file_digest(opened.file, "sha256").digest()
        return build_representation(
            key.path,
            content=content,
            digest=digest,
            size=size,
            modified_s=opened.stat.st_mtime,
            fingerprint=fingerprint,
        )


def _fingerprint(facts: os.stat_result) -> tuple[int, ...]:
    return (
        facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns,
    )  # fmt: skip
