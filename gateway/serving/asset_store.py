"""The store of representations: hot files in memory, bounded in bytes.

A file is looked at again every `cache.assets.revalidate` seconds, because installers of the
application write over files in place. It is read again only if its fingerprint has changed.
Encoded variants are made in the background after the first use; until then identity is served.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable

import anyio.to_thread

from gateway.caching.basis import AtHand
from gateway.caching.entries import ORDER_WITHIN_S, Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from gateway.disk.differences import is_dictionary
from gateway.disk.encoder import Encoder, is_worth_encoding
from gateway.disk.files import fingerprint
from gateway.disk.shared_folder import OpenedAsset
from gateway.disk.storage import PluginStorage
from gateway.errors import NotServed, SourceUnavailable
from gateway.errors.sentences import sentence_of
from gateway.http.representation import Representation, build_representation
from gateway.metrics.sources import SourceCounts
from gateway.names import AssetKey, Slug, Version
from gateway.settings import AssetCacheSettings
from gateway.tracing import Span, current, span, span_below

logger = logging.getLogger(__name__)

# Representations of streamed files, which have no content: they need room even if max_bytes is 0.
_STREAMED_BYTES = 16 * 2**20
# A file that is larger than this share of the store is streamed: one file never fills the store.
_LARGEST_SHARE = 0.25
_REFUSAL_BYTES = 1000
_NEGATIVE_TTL_S = 1.0
_STALE_IF_ERROR_S = 60.0
# A file that is written over in place is torn only for as long as it takes to write it.
_TORN_READ_RETRIES = 5


class AssetStore:
    """Representations by asset key."""

    def __init__(
        self,
        storage: PluginStorage,
        settings: AssetCacheSettings,
        encoder: Encoder | None,
        clock: Callable[[], float] = time.monotonic,
        counts: SourceCounts | None = None,
        *,
        dictionaries: bool = False,
    ) -> None:
        """`encoder`: None, if nothing is to be encoded. `counts` takes the reads. `dictionaries`:
        whether browsers may take files as dictionaries.
        """
        self._counts = counts or SourceCounts.alone("shared")
        self._storage = storage
        self._encoder = encoder
        self._dictionaries = dictionaries
        self._encoding: dict[bytes, asyncio.Task[None]] = {}
        self._max_content_bytes = int(
            min(settings.max_file_bytes, settings.max_bytes * _LARGEST_SHARE)
        )
        self.cache: TTLCache[AssetKey, Representation | NotServed] = TTLCache(
            self._load,
            times=Times(
                ttl_s=settings.revalidate,
                negative_ttl_s=min(settings.revalidate, _NEGATIVE_TTL_S),
                stale_if_error_s=_STALE_IF_ERROR_S,
            ),
            capacity=Capacity(settings.max_bytes + _STREAMED_BYTES, _memory_bytes, ORDER_WITHIN_S),
            is_negative=lambda value: isinstance(value, NotServed),
            clock=clock,
            name="assets",
        )

    def get(self, basis: AtHand, key: AssetKey) -> Representation:
        """Raises: NotServed, if there is no such file; Pending."""
        value = basis.ask("assets", self.cache, key)
        if isinstance(value, NotServed):
            raise type(value)(reason=value.reason)
        return value

    def latest(self, key: AssetKey, digest: bytes) -> Representation | None:
        """What the store holds of the content now, fresh or not; None: it does not hold it."""
        entry = self.cache.peek(key)
        value = entry.value if entry else None
        if isinstance(value, Representation) and value.digest == digest:
            return value
        return None

    def update(
        self, key: AssetKey, digest: bytes, change: Callable[[Representation], Representation]
    ) -> None:
        """Changes what the store holds of the content, if it still does."""
        latest = self.latest(key, digest)
        if latest is not None:
            self.cache.replace(key, latest, change(latest))

    async def until_encoded(self, digest: bytes) -> None:
        """Waits while the content is being encoded."""
        task = self._encoding.get(digest)
        if task is not None:
            await asyncio.wait({task})

    def __len__(self) -> int:
        return len(self.cache)

    @property
    def memory_bytes(self) -> float:
        return self.cache.size

    def purge_wrong(self, key: AssetKey) -> None:
        """Forgets an entry whose file a request found to be another."""
        self.cache.purge(key)

    def purge_files(self, slug: Slug, version: Version | None) -> None:
        """Forgets all files of one version, or of all versions of a plugin."""
        self.cache.purge_where(lambda key: key.slug == slug and version in (None, key.version))

    def purge_all(self) -> None:
        self.cache.purge_all()

    async def close(self) -> None:
        tasks = list(self._encoding.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.cache.close()

    async def _load(self, key: AssetKey) -> Representation | NotServed:
        entry = self.cache.peek(key)
        cached = entry.value if entry and isinstance(entry.value, Representation) else None
        try:
            representation = await self._counted_read(key, cached)
        except NotServed as error:
            # The error itself would keep its traceback alive.
            return type(error)(reason=error.reason)
        if representation is cached:  # variants may have been added while its file was looked at
            representation = self.latest(key, cached.digest) or cached
        self._encode_soon(key, representation)
        return representation

    async def _counted_read(self, key: AssetKey, cached: Representation | None) -> Representation:
        """Raises: NotServed, SourceUnavailable."""
        read = span("read a published file", slug=key.slug, version=key.version)
        with self._counts.load(), read:
            try:
                return await anyio.to_thread.run_sync(self._read, key, cached)
            except OSError as error:
                raise SourceUnavailable(reason=f"{key}: {sentence_of(error)}") from error

    def _read(self, key: AssetKey, cached: Representation | None) -> Representation:
        """Blocking. Reads again if the file changed meanwhile: bytes and metadata agree."""
        for _ in range(_TORN_READ_RETRIES):
            opened = self._storage.shared.open_asset(key.slug, key.version, key.path)
            with opened.file:
                before = fingerprint(opened.stat)
                if cached is not None and cached.fingerprint == before:
                    return cached
                representation = self._build(key, opened)
                if fingerprint(os.fstat(opened.file.fileno())) == before:
                    return representation
        raise OSError("the file is being written")

    def _build(self, key: AssetKey, opened: OpenedAsset) -> Representation:
        size = opened.stat.st_size
        content = None
        if size <= self._max_content_bytes:
            content = opened.file.read()
            digest = hashlib.sha256(content).digest()
        else:
            digest = hashlib.file_digest(opened.file, "sha256").digest()
        representation = build_representation(
            key.slug,
            key.path,
            content=content,
            digest=digest,
            size=size if content is None else len(content),
            modified_s=opened.stat.st_mtime,
            fingerprint=fingerprint(opened.stat),
            may_be_dictionary=self._dictionaries
            and content is not None
            and is_dictionary(key.path, len(content)),
        )
        if content is None or (encoder := self._encoder_of(key, content)) is None:
            return representation
        variants = encoder.load(content, digest)
        return representation.with_encoded(variants, final=encoder.is_complete(variants))

    def _encoder_of(self, key: AssetKey, content: bytes) -> Encoder | None:
        """None if encoding is off, or not worth it for this file."""
        return self._encoder if is_worth_encoding(key.path, len(content)) else None

    def _encode_soon(self, key: AssetKey, plain: Representation) -> None:
        content, digest = plain.identity.content, plain.digest
        if content is None or plain.encoded_final or digest in self._encoding:
            return
        encoder = self._encoder_of(key, content)
        if encoder is not None:
            encoding = self._encode(encoder, key, plain, content, current())
            task = asyncio.create_task(encoding)
            self._encoding[digest] = task
            task.add_done_callback(lambda _task: self._encoding.pop(digest, None))

    async def _encode(
        self,
        encoder: Encoder,
        key: AssetKey,
        plain: Representation,
        content: bytes,
        asker: Span | None,
    ) -> None:
        """`asker`: the span of the load that read the file. It has ended meanwhile."""
        with span_below(asker, "encode", size_bytes=len(content)):
            variants = await encoder.make(content, plain.digest)
        self.update(key, plain.digest, lambda latest: latest.with_encoded(variants, final=True))


def _memory_bytes(value: Representation | NotServed) -> int:
    return value.memory_bytes if isinstance(value, Representation) else _REFUSAL_BYTES
