"""Encoded variants: made once, off the loop, kept in `plugins/cache/encoded/`.

Files are named by the digest of the uncoded content, so they are equal for all slugs, versions
and nodes, and never stale. Before one is used it is decoded and its digest compared: a damaged
or forged file is made anew, never served.
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

from gateway.disk.reading import read_regular
from gateway.disk.writing import remove_temporary, write_atomically

logger = logging.getLogger(__name__)

MIN_BYTES = 256
"""Below this a coding saves less than its header fields cost."""
# A variant must be worth the client's decoding.
_MAX_SHARE = 0.95
# 1 MiB of JavaScript takes brotli 1.8 s at 11 and 0.07 s at 9, for 10 % fewer bytes; zstd 0.23 s
# at 19 and 0.03 s at 12, for 4 % fewer. Above this the wait for the variant is too long.
_THOROUGH_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class _Coding:
    suffix: str
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes, int], bytes]
    """Coded content and the size it must decode to, for a bomb must not fill the memory."""


def _encode_brotli(content: bytes) -> bytes:
    encoded: bytes = brotli.compress(content, quality=11 if _is_short(content) else 9)
    return encoded


def _decode_brotli(content: bytes, size: int) -> bytes:
    decoder = brotli.Decompressor()
    decoded: bytes = decoder.process(content, output_buffer_limit=size + 1)
    if not decoder.is_finished():
        raise ValueError("larger than it should be, or cut off")
    return decoded


def _encode_zstd(content: bytes) -> bytes:
    # RFC 9659 §3: clients need not take a window beyond 8 MiB; up to level 19 it stays below.
    return zstandard.ZstdCompressor(level=19 if _is_short(content) else 12).compress(content)


def _decode_zstd(content: bytes, size: int) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content, max_output_size=size)


def _encode_gzip(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=9, mtime=0)  # no clock: equal on every node


def _decode_gzip(content: bytes, _size: int) -> bytes:
    return gzip.decompress(content)


def _is_short(content: bytes) -> bool:
    return len(content) <= _THOROUGH_BYTES


_CODINGS = {
    "zstd": _Coding("zst", _encode_zstd, _decode_zstd),
    "br": _Coding("br", _encode_brotli, _decode_brotli),
    "gzip": _Coding("gz", _encode_gzip, _decode_gzip),
}
SUFFIXES = {name: f".{coding.suffix}" for name, coding in _CODINGS.items()}
"""What is appended to a file's name for its variant in each coding."""
_DECODING_ERRORS = (OSError, EOFError, ValueError, brotli.error, zstandard.ZstdError)


class Encoder:
    """Makes and keeps encoded variants."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One core keeps serving: encoding is never urgent.
        self._one_at_a_time = anyio.CapacityLimiter(1)

    @staticmethod
    def is_complete(kept: Mapping[str, bytes]) -> bool:
        return len(kept) == len(_CODINGS)

    def load(self, content: bytes, digest: bytes) -> dict[str, bytes]:
        """Variants kept earlier that decode to `content`, by coding. Blocking."""
        kept = {}
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
                kept[name] = encoded
        return kept

    async def make(self, content: bytes, digest: bytes) -> Mapping[str, bytes]:
        """Variants in every coding that shrinks; those not kept yet are made and kept."""
        return await anyio.to_thread.run_sync(
            self.make_now, content, digest, limiter=self._one_at_a_time
        )

    def make_now(self, content: bytes, digest: bytes) -> Mapping[str, bytes]:
        """The same, blocking."""
        made = self.load(content, digest)
        for name, coding in _CODINGS.items():
            if name in made:
                continue
            encoded = coding.encode(content)
            if len(encoded) > len(content) * _MAX_SHARE:
                continue
            made[name] = encoded
            path = self.path(digest, name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                # Another process that makes the same one just now serves it without keeping it.
                remove_temporary(path)
                write_atomically(path, encoded)
            except OSError as error:  # a full or read-only disk: serve it, make it again later
                logger.warning("cannot keep %s: %s", path, error)
        return made

    def kept(self, digest: bytes) -> tuple[str, ...]:
        """Codings in which the content is kept, not looked at for damage. Blocking."""
        return tuple(name for name in _CODINGS if self.path(digest, name).is_file())

    def forget(self, digest: bytes) -> None:
        """Removes what is kept of the content. Blocking."""
        for coding in _CODINGS:
            path = self.path(digest, coding)
            remove_temporary(path)
            path.unlink(missing_ok=True)

    def path(self, digest: bytes, coding: str) -> Path:
        """Where the variant is kept, if it is."""
        name = digest.hex()
        return self._folder / name[:2] / f"{name}.{_CODINGS[coding].suffix}"
