"""Differences: a file, coded with an older file as dictionary. They are kept in `plugins/cache/`.

    plugins/cache/differences/<first 2 hex>/<digest of the file>.<digest of the dictionary>.dcz

A difference is the body of the content coding `dcz` (RFC 9842 §5): a header that names the
dictionary by its SHA-256, then one Zstandard frame. Both names are digests of content, so a
difference serves all slugs, versions and nodes, and is never stale. Before a difference is used, it
is decoded and compared: a damaged or forged one is never served, but made anew. Blocking.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

import zstandard

from gateway.disk.bounded_folder import BoundedFolder
from gateway.disk.builds import FolderState, look_at_version
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.encoder import MAX_SHARE, Encoder, is_worth_encoding, level_for
from gateway.disk.files import read_regular
from gateway.disk.storage import PluginStorage
from gateway.errors import NotServed
from gateway.names import AssetPath, Slug, Version, newest_first, parse_asset_path

logger = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20
"""No larger file has a difference, or is a dictionary: clients accept a window of 8 MiB (RFC 9659
§3), and the dictionary can be reached only while the content fits into the window."""
_MAGIC = b"\x5e\x2a\x4d\x18\x20\x00\x00\x00"
_HEADER_BYTES = 40
_RAW = zstandard.DICT_TYPE_RAWCONTENT
# Up to level 2 zstd finds little of a dictionary: it keeps too few of its positions.
_TRIAL_LEVEL = 3
_ERRORS = (OSError, ValueError, zstandard.ZstdError)


class Differences:
    """Makes differences, and keeps `max_bytes` of them; 0: none is kept."""

    def __init__(self, cache: CacheFolder, max_bytes: int) -> None:
        self._folder = BoundedFolder(cache.differences, max_bytes)
        self._encoder = Encoder(cache.encoded)

    def load(
        self, digest: bytes, dictionary_digest: bytes, content: bytes, dictionary: bytes
    ) -> bytes | None:
        """The difference on disk that decodes to `content`; None if there is none."""
        try:
            kept = self._read(digest, dictionary_digest, content, dictionary)
        except _ERRORS as error:
            name = self.path(digest, dictionary_digest).name
            logger.warning("damaged, will be made anew: %s (%s)", name, error)
            return None
        return kept or None

    def make_now(
        self, content: bytes, digest: bytes, dictionary: bytes, dictionary_digest: bytes
    ) -> bytes | None:
        """The difference, from the disk or made and written; None if it is not worth it.

        That is remembered on the disk too: a header without a frame.
        """
        if max(len(content), len(dictionary)) > MAX_BYTES or not content:
            return None
        if hashlib.sha256(dictionary).digest() != dictionary_digest:
            return None  # the file was rewritten meanwhile
        path = self.path(digest, dictionary_digest)
        try:
            kept = self._read(digest, dictionary_digest, content, dictionary)
            if kept is not None:
                return kept or None
        except _ERRORS as error:
            logger.warning("damaged, is made anew: %s (%s)", path.name, error)
        header = _MAGIC + dictionary_digest
        frame = _compress_and_read(content, dictionary)
        if frame is None:
            return None
        difference = header + frame
        is_worth_it = len(difference) < self._usual_bytes(digest, content) * MAX_SHARE
        try:
            self._folder.write(path, difference if is_worth_it else header)
        except OSError as error:  # a full or read-only disk: the difference is served anyway
            logger.warning("cannot keep %s: %s", path, error)
        return difference if is_worth_it else None

    def counts(self) -> Counter[str]:
        """How many differences are kept, by the digest of the file in hex. Raises: OSError."""
        counts: Counter[str] = Counter()
        for path in self._folder.names():
            with suppress(FileNotFoundError):
                counts[path.name.partition(".")[0]] += path.stat().st_size > _HEADER_BYTES
        return counts

    def forget(self, digests: Collection[bytes]) -> None:
        """Removes the differences of these contents, and those with these dictionaries.

        Raises: OSError.
        """
        names = {digest.hex() for digest in digests}
        for path in self._folder.names():
            content, _, rest = path.name.removeprefix(".").partition(".")
            if content in names or rest.partition(".")[0] in names:
                path.unlink(missing_ok=True)

    def path(self, digest: bytes, dictionary_digest: bytes) -> Path:
        """The file of the difference, whether it exists or not."""
        name = digest.hex()
        return self._folder.path / name[:2] / f"{name}.{dictionary_digest.hex()}.dcz"

    def _read(
        self, digest: bytes, dictionary_digest: bytes, content: bytes, dictionary: bytes
    ) -> bytes | None:
        """The difference; empty: it is not worth it; None: nobody has tried.

        Raises: OSError; ValueError, ZstdError, if it is damaged.
        """
        path = self.path(digest, dictionary_digest)
        header = _MAGIC + dictionary_digest
        kept = read_regular(path, len(header) + len(content))
        if kept is None:
            return None
        if not kept.startswith(header):
            raise ValueError("another header")
        if kept != header:
            _require(kept[len(header) :], content, dictionary)
        self._folder.note_use(path)
        return kept if kept != header else b""

    def _usual_bytes(self, digest: bytes, content: bytes) -> int:
        """What a client without a dictionary receives."""
        try:
            return self._encoder.path(digest, "br").stat().st_size
        except OSError:  # Brotli does not shrink it, or nobody has asked for it
            return len(content)


def trial_bytes(content: bytes, dictionary: bytes) -> int:
    """About the size of the difference, in a twentieth of the time."""
    return len(_compress(content, dictionary, _TRIAL_LEVEL))


def _compress_and_read(content: bytes, dictionary: bytes) -> bytes | None:
    """None: the frame does not decode to the content. A browser would show a broken page."""
    frame = _compress(content, dictionary, level_for(content, thorough=19, quick=12))
    try:
        _require(frame, content, dictionary)
    except (ValueError, zstandard.ZstdError) as error:
        logger.error("a difference of %d bytes is not used: %s", len(content), error)
        return None
    return frame


def _compress(content: bytes, dictionary: bytes, level: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(content),
        dict_size=len(dictionary),
        # A dictionary is forgotten as soon as more content than the window was decoded.
        window_log=max(10, (len(content) - 1).bit_length()),
        write_checksum=True,
        write_content_size=True,
        write_dict_id=False,
    )
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=_RAW)
    return zstandard.ZstdCompressor(dict_data=raw, compression_params=parameters).compress(content)


def _require(frame: bytes, content: bytes, dictionary: bytes) -> None:
    """Raises: ValueError, ZstdError, if the frame is not what `_compress` could have made."""
    facts = zstandard.get_frame_parameters(frame)
    if facts.content_size != len(content):  # before a byte is decoded: it may be a bomb
        raise ValueError("another size")
    if facts.window_size > MAX_BYTES or not facts.has_checksum:
        raise ValueError("a frame that clients refuse")
    raw = zstandard.ZstdCompressionDict(dictionary, dict_type=_RAW)
    decoder = zstandard.ZstdDecompressor(dict_data=raw)
    if decoder.decompress(frame, allow_extra_data=False) != content:
        raise ValueError("another content")


def is_dictionary(path: AssetPath, size_bytes: int) -> bool:
    """Whether files of later versions may be coded with this file."""
    return is_worth_encoding(path, size_bytes) and size_bytes <= MAX_BYTES


def dictionary_files(
    storage: PluginStorage,
    slug: Slug,
    *,
    newest: int,
    known: MutableMapping[Version, FolderState] | None = None,
) -> dict[bytes, tuple[Version, AssetPath]]:
    """Where the dictionaries of the `newest` versions are, by digest. Raises: OSError.

    A content that several versions hold is that of the newest. `known`: the states that an earlier
    call left there; it is updated, and files are read only if something changed. Who reads a file
    compares the digest: it may be rewritten meanwhile.
    """
    known = {} if known is None else known
    states = {}
    files: dict[bytes, tuple[Version, AssetPath]] = {}
    for version in newest_first(storage.shared.versions_of(slug))[:newest]:
        state = look_at_version(storage, slug, version, known.get(version))
        if state is None:
            continue
        states[version] = state
        for path, digest in dictionaries(state):
            files.setdefault(digest, (version, path))
    known.clear()
    known.update(states)
    return files


def dictionaries(state: FolderState) -> Iterator[tuple[AssetPath, bytes]]:
    """The files of a version that may be dictionaries, or be coded with one; and their digests."""
    for name, digest in state.digests.items():
        try:
            path = parse_asset_path(name)
        except NotServed:
            continue
        if is_dictionary(path, state.sizes[name]):
            yield path, digest
