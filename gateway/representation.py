"""A representation: an asset's bytes and metadata now (RFC 9110 §3.2). Pure.

Built once, asked for thousands of times: it knows its validator and its header fields, so a
request only picks.
"""

from dataclasses import dataclass

from gateway.conditional import ETag, format_http_date
from gateway.media_types import media_type
from gateway.names import AssetPath

HeaderFields = tuple[tuple[bytes, bytes], ...]

# What an entry costs beside its content: the object, its fields, its key in the cache.
_OVERHEAD_BYTES = 1500


@dataclass(frozen=True, slots=True)
class Representation:
    """One asset as it is on disk at one moment."""

    content: bytes | None
    """None: too large for memory, to be sent from the file."""
    digest: bytes
    """SHA-256 of the content."""
    size: int
    last_modified_s: int
    etag: ETag
    fields: HeaderFields
    """All that describes the representation; Cache-Control and the like depend on the URL."""
    fingerprint: tuple[int, ...]
    """Facts of the file it was read from; another fingerprint means other content."""

    @property
    def memory_bytes(self) -> int:
        return _OVERHEAD_BYTES + len(self.content or b"")

    @property
    def not_modified_fields(self) -> HeaderFields:
        """What a 304 repeats (RFC 9110 §15.4.5)."""
        return tuple(field for field in self.fields if field[0] in _REPEATED_IN_304)


_REPEATED_IN_304 = frozenset({b"etag", b"last-modified", b"vary"})


def build_representation(
    asset_path: AssetPath,
    *,
    content: bytes | None,
    digest: bytes,
    size: int,
    modified_s: float,
    fingerprint: tuple[int, ...],
) -> Representation:
    """A strong ETag from content: equal on every node, whatever its clock or file times."""
    etag = ETag(digest.hex()[:32])
    last_modified_s = int(modified_s)
    fields = (
        (b"content-type", media_type(asset_path).content_type.encode()),
        (b"content-length", str(size).encode()),
        (b"etag", str(etag).encode()),
        (b"last-modified", format_http_date(last_modified_s).encode()),
        (b"x-content-type-options", b"nosniff"),
    )
    return Representation(content, digest, size, last_modified_s, etag, fields, fingerprint)
