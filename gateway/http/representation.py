"""Representations of assets: bytes and metadata at one moment (RFC 9110 §3.2). Pure.

A representation is built once and asked for thousands of times. Its variants know their validators
and header fields, so a request only selects one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.http.conditional import ETag, format_http_date
from gateway.http.dictionaries import DCZ, VARY, use_as_dictionary
from gateway.http.encodings import IDENTITY, choose_for
from gateway.http.heads import Head, HeaderFields
from gateway.http.media_types import MediaType, media_type
from gateway.names import AssetPath, Slug

# What an entry costs beside its content: objects, fields, its place in the store. tracemalloc
# over 1,000 entries measured 1,412 bytes, and 588 for each encoded variant.
_ENTRY_BYTES = 1412
_VARIANT_BYTES = 588
MAX_DIFFERENCES = 8
"""Browsers hold one or two old versions of a file; each difference is a few percent of the file."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A representation in one content coding."""

    coding: str
    content: bytes | None
    """None: too large for memory, to be sent from the file."""
    size: int
    etag: ETag
    """Strong, from content, distinct for each coding (§8.8.3.3)."""
    last_modified_s: int | None
    """None: the content is made for the request, and has no such moment."""
    content_type: bytes
    common_fields: HeaderFields
    """What 200, 206 and 304 all carry (§15.4.5): validators and Vary, and the policy: a cache that
    stored the answer without a policy learns it by revalidating (RFC 9111 §3.2)."""
    described_fields: HeaderFields
    """What describes content that is sent: coding, nosniff, Accept-Ranges."""
    dictionary_fields: HeaderFields = ()
    """`Use-As-Dictionary`, for a whole answer that browsers keep without asking again."""
    dictionary: bytes | None = None
    """The digest of the dictionary that is needed to decode the content; None: it needs none."""
    heads: dict[tuple[int, bytes], Head] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """Heads that were sent before, by status and Cache-Control (planning.py)."""


@dataclass(frozen=True, slots=True)
class Representation:
    """One asset as it is on disk at one moment, in identity and in each coding made so far."""

    digest: bytes
    """SHA-256 of the content, uncoded."""
    fingerprint: tuple[int, ...]
    """Facts of the file it was read from; another fingerprint means other content."""
    identity: Variant
    encoded: Mapping[str, Variant]
    """Smallest first: of codings with equal weight the first is chosen."""
    encoded_final: bool = False
    """Whether all variants are made."""
    differences: Mapping[bytes, Variant | None] = field(default_factory=dict)
    """The content as a difference from another file, by that file's digest. None: there is no such
    difference yet, or it is not worth it."""
    _codings: tuple[str, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_codings", tuple(self.encoded))

    @property
    def memory_bytes(self) -> int:
        return (
            _ENTRY_BYTES
            + len(self.identity.content or b"")
            + sum(_VARIANT_BYTES + variant.size for variant in self.encoded.values())
            + sum(
                _VARIANT_BYTES + (variant.size if variant else 0)
                for variant in self.differences.values()
            )
        )

    @property
    def has_dictionaries(self) -> bool:
        """Whether browsers can take the file as a dictionary, and a difference of it."""
        return bool(self.identity.dictionary_fields)

    def select(self, accept_encoding: bytes | None) -> Variant:
        """The variant for an Accept-Encoding as it came; None: the field is absent."""
        if not self.encoded:
            return self.identity
        return self.encoded.get(choose_for(self._codings, accept_encoding), self.identity)

    def with_encoded(self, contents: Mapping[str, bytes], *, final: bool) -> "Representation":
        """This representation with exactly these variants. `contents`: by coding."""
        variants = {
            coding: _coded(self.identity, coding, content, tag=coding)
            for coding, content in sorted(contents.items(), key=lambda item: len(item[1]))
        }
        return replace(self, encoded=variants, encoded_final=final)

    def with_difference(self, dictionary: bytes, content: bytes | None) -> "Representation":
        """This representation with the difference from one more dictionary, and of the others only
        the last ones. `content`: in the coding `dcz`; None: there is none.
        """
        difference = None
        if content is not None:
            tag = f"{DCZ}-{dictionary.hex()[:8]}"
            coded = _coded(self.identity, DCZ, content, tag=tag)
            difference = replace(coded, dictionary=dictionary)
        others = [(name, kept) for name, kept in self.differences.items() if name != dictionary]
        last = [*others, (dictionary, difference)][-MAX_DIFFERENCES:]
        return replace(self, differences=dict(last))


def build_representation(
    slug: Slug,
    asset_path: AssetPath,
    *,
    content: bytes | None,
    digest: bytes,
    size: int,
    modified_s: float,
    fingerprint: tuple[int, ...],
    may_be_dictionary: bool = False,
) -> Representation:
    """`content` None: too large for memory, and so for being encoded. `may_be_dictionary`: whether
    browsers may take a pinned file as a dictionary, if it has a URL pattern.
    """
    kind = media_type(asset_path)
    etag = ETag(digest.hex()[:32])
    dictionary = use_as_dictionary(slug, asset_path) if may_be_dictionary else None
    vary = VARY if dictionary else b"Accept-Encoding"
    has_variants = kind.compressible and content is not None
    identity = Variant(
        coding=IDENTITY,
        content=content,
        size=size,
        etag=etag,
        last_modified_s=int(modified_s),
        content_type=kind.content_type.encode(),
        common_fields=_common_fields(kind, etag, int(modified_s), vary if has_variants else None),
        described_fields=((b"accept-ranges", b"bytes"), (b"x-content-type-options", b"nosniff")),
        dictionary_fields=((b"use-as-dictionary", dictionary),) if dictionary else (),
    )
    return Representation(digest, fingerprint, identity, {})


def _common_fields(
    kind: MediaType, etag: ETag, last_modified_s: int, vary: bytes | None
) -> HeaderFields:
    """The ETag stands first: `plain_answer` and `_coded` rely on it."""
    fields = [
        (b"etag", str(etag).encode()),
        (b"last-modified", format_http_date(last_modified_s).encode()),
    ]
    if vary:  # also while no variant is made yet: a stored answer must not outlive that moment
        fields.append((b"vary", vary))
    if kind.policy:
        fields.append((b"content-security-policy", kind.policy.encode()))
    return tuple(fields)


def json_variant(body: bytes, tag: str | None = None) -> Variant:
    """A JSON answer to one caller. `tag`: the opaque part of its ETag; None: made from the body."""
    variant = open_json_variant(body, tag)
    return replace(variant, common_fields=(*variant.common_fields, (b"vary", b"Authorization")))


def open_json_variant(
    body: bytes, tag: str | None = None, content_type: bytes = b"application/json"
) -> Variant:
    """A JSON answer that is the same for everybody."""
    etag = ETag(hashlib.sha256(body).hexdigest()[:32] if tag is None else tag)
    return Variant(
        coding=IDENTITY,
        content=body,
        size=len(body),
        etag=etag,
        last_modified_s=None,
        content_type=content_type,
        common_fields=((b"etag", str(etag).encode()),),
        described_fields=((b"x-content-type-options", b"nosniff"),),
    )


def _coded(identity: Variant, coding: str, content: bytes, *, tag: str) -> Variant:
    """`tag`: what tells its ETag from that of the uncoded content."""
    etag = ETag(f"{identity.etag.opaque}-{tag}")
    return replace(
        identity,
        coding=coding,
        content=content,
        size=len(content),
        etag=etag,
        common_fields=((b"etag", str(etag).encode()), *identity.common_fields[1:]),
        described_fields=((b"content-encoding", coding.encode()), *identity.described_fields),
    )
