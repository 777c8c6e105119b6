"""Encoded variants: made once, outside the event loop, and kept in `plugins/cache/encoded/`.

A variant is named by the digest of the uncoded content. So it serves all slugs, versions and
nodes, and is never stale. Before a variant is used, it is decoded and its digest is compared: a
damaged or forged variant is never served, but made anew.
"""

import gzip
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import brotli
import zstandard

from gateway.disk.files import read_regular, remove_temporary, write_atomically
from gateway.http.media_types import media_type
from gateway.names import AssetPath

logger = logging.getLogger(__name__)

MIN_BYTES = 256
"""For smaller content a coding saves less than its header fields cost."""
MAX_SHARE = 0.95
"""A larger variant is not worth the client's decoding."""
# 1 MiB of JavaScript takes brotli 1.8 s at 11 and 0.07 s at 9, for 10 % fewer bytes; zstd 0.23 s
# at 19 and 0.03 s at 12, for 4 % fewer. For larger content the wait would be too long.
_THOROUGH_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class _Coding:
    suffix: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes, int], bytes]
    """(coded content, the size it must decode to): a bomb must not fill the memory."""


def _decode_brotli(content: bytes, size: int) -> bytes:
    decoder = brotli.Decompressor()
    decoded: bytes = decoder.process(content, output_buffer_limit=size + 1)
    if not decoder.is_finished():
        raise ValueError("larger than expected, or cut off")
    return decoded


def level_for(content: bytes, *, thorough: int, quick: int) -> int:
    """The level of a coding for the content, which decides how long a caller waits."""
    return thorough if len(content) <= _THOROUGH_BYTES else quick


_CODINGS = {
    "zstd": _Coding(
        "zst",
        # RFC 9659 §3: clients need not accept a window beyond 8 MiB. Up to level 19 it is smaller.
        lambda content: zstandard.ZstdCompressor(
            level_for(content, thorough=19, quick=12)
        ).compress(content),
        lambda coded, size: zstandard.ZstdDecompressor().decompress(coded, max_output_size=size),
    ),
    "br": _Coding(
        "br",
        lambda content: brotli.compress(content, quality=level_for(content, thorough=11, quick=9)),
        _decode_brotli,
    ),
    "gzip": _Coding(
        "gz",
        # Without the time of encoding, variants are equal on every node.
        lambda content: gzip.compress(content, compresslevel=9, mtime=0),
        lambda coded, _size: gzip.decompress(coded),
    ),
}
SUFFIXES = {name: f".{coding.suffix}" for name, coding in _CODINGS.items()}
"""The suffix of a variant's file name, by coding."""
_DECODING_ERRORS = (OSError, EOFError, ValueError, brotli.error, zstandard.ZstdError)


def is_worth_encoding(path: AssetPath, size_bytes: int) -> bool:
    return size_bytes >= MIN_BYTES and media_type(path).compressible


class Encoder:
    """Makes and keeps encoded variants. The methods block, except `make`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Encoding is never urgent: the other cores go on serving.
        self._one_at_a_time = anyio.CapacityLimiter(1)

    @staticmethod
    def is_complete(variants: Mapping[str, bytes]) -> bool:
        return len(variants) == len(_CODINGS)

    def load(self, content: bytes, digest: bytes) -> dict[str, bytes]:
        """The variants on disk that decode to `content`, by coding."""
        variants = {}
        for name, coding in _CODINGS.items():
            try:
                encoded = read_regular(self.path(digest, name), len(content))
                if encoded is None:
                    continue
                decoded = coding.decode(encoded, len(content))
            except _DECODING_ERRORS as error:
                logger.warning("damaged, will be made anew: %s (%s)", digest.hex(), error)
                continue
            if hashlib.sha256(decoded).digest() == digest:
                variants[name] = encoded
        return variants

    async def make(self, content: bytes, digest: bytes) -> Mapping[str, bytes]:
        """`make_now` in a thread, one at a time."""
        return await anyio.to_thread.run_sync(
            self.make_now, content, digest, limiter=self._one_at_a_time
        )

    def make_now(self, content: bytes, digest: bytes) -> Mapping[str, bytes]:
        """The variants in every coding that makes `content` smaller.

        Those that are not on disk are made and written.
        """
        variants = self.load(content, digest)
        for name, coding in _CODINGS.items():
            if name in variants:
                continue
            encoded = coding.encode(content)
            if len(encoded) > len(content) * MAX_SHARE:
                continue
            variants[name] = encoded
            path = self.path(digest, name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Another process that makes the same variant at this moment fails to keep it.
                remove_temporary(path)
                write_atomically(path, encoded)
            except OSError as error:  # a full or read-only disk: the variant is served anyway
                logger.warning("cannot keep %s: %s", path, error)
        return variants

    def codings_on_disk(self, digest: bytes) -> tuple[str, ...]:
        """Codings that have a variant on disk, damaged or not."""
        return tuple(name for name in _CODINGS if self.path(digest, name).is_file())

    def forget(self, digest: bytes) -> None:
        """Removes the variants of the content."""
        for coding in _CODINGS:
            path = self.path(digest, coding)
            remove_temporary(path)
            path.unlink(missing_ok=True)

    def path(self, digest: bytes, coding: str) -> Path:
        """The file of the variant, whether it exists or not."""
        name = digest.hex()
        return self._folder / name[:2] / f"{name}.{_CODINGS[coding].suffix}"
