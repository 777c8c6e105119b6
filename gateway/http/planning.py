"""The answer to a GET or HEAD of a variant: status, fields, which bytes. Pure.

A plan serves both bytes in memory and bytes of a file. Order: RFC 9110 §13.2.2, first the
preconditions, then the range.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import PreconditionFailed
from gateway.http.cache_policy import is_immutable
from gateway.http.conditional import (
    Evaluation,
    Preconditions,
    evaluate,
    is_known,
    parse_etags,
    parse_http_date,
)
from gateway.http.heads import Head, HeaderFields, Headers, field_lines
from gateway.http.ranges import ByteRange, content_range, parse_range, part_heads
from gateway.http.representation import Variant, json_variant

Part = bytes | ByteRange
"""Bytes to be sent as they are, or a range of the variant."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer that is decided, and not sent yet."""

    status: int
    fields: HeaderFields
    parts: tuple[Part, ...]
    """Empty for HEAD and 304."""

    def body(self, content: bytes) -> bytes:
        """The bytes to send. `content`: all bytes of the variant."""
        # A slice of all of a bytes object is the object itself: nothing is copied for a 200.
        pieces = [part if isinstance(part, bytes) else content[slice(*part)] for part in self.parts]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def plan_answer(method: str, headers: Headers, variant: Variant, cache_control: bytes) -> Plan:
    """Raises: PreconditionFailed, RangeNotSatisfiable."""
    conditions = Preconditions.of(headers)
    if conditions is not None:
        result = evaluate(conditions, etag=variant.etag, last_modified_s=variant.last_modified_s)
        if result is Evaluation.FAILED:
            raise PreconditionFailed
        if result is Evaluation.NOT_MODIFIED:
            return Plan(304, not_modified_fields(variant, cache_control), ())
    # §14.2: a range means something for GET alone.
    if method == "GET" and b"range" in headers and _if_range_holds(headers, variant):
        ranges = parse_range(headers[b"range"].decode("latin-1"), variant.size)
        if ranges is not None:
            return _partial(ranges, variant, cache_control)
    whole: tuple[Part, ...] = ((0, variant.size),) if method == "GET" and variant.size else ()
    return Plan(200, whole_fields(variant, cache_control), whole)


def whole_fields(variant: Variant, cache_control: bytes) -> HeaderFields:
    """Fields of a 200. A file that must be asked for again is no dictionary (RFC 9842 §2.1)."""
    fields = _sent_fields(variant, variant.content_type, variant.size, cache_control)
    return (*fields, *variant.dictionary_fields) if is_immutable(cache_control) else fields


def not_modified_fields(variant: Variant, cache_control: bytes) -> HeaderFields:
    """Fields of a 304: those of the 200 that caches need (§15.4.5)."""
    return (*variant.common_fields, (b"cache-control", cache_control))


def plain_answer(
    variant: Variant,
    cache_control: bytes,
    if_none_match: bytes | None,
    fields_of_200: Callable[[Variant, bytes], HeaderFields] = whole_fields,
) -> Head:
    """The head of the answer to a plain GET, which has no range and no condition but If-None-Match.

    Its status is 200 or 304.
    """
    unchanged = if_none_match is not None and is_known(variant.common_fields[0][1], if_none_match)
    status = 304 if unchanged else 200
    head = variant.heads.get((status, cache_control))
    if head is None:
        fields = (not_modified_fields if unchanged else fields_of_200)(variant, cache_control)
        head = variant.heads[status, cache_control] = Head.of(status, fields)
    return head


class JsonHeads:
    """Heads of the answers to plain GETs of JSON texts that are made for the request.

    They are equal to those of `plain_answer`. Only length and ETag differ between texts, so all
    else is written once: a head takes 1.1 µs, and 3.7 µs through a variant of its own.
    """

    def __init__(self, cache_control: bytes) -> None:
        sample = json_variant(b"", "%b")
        fields = whole_fields(sample, cache_control)
        self._content_type, _, _, *self._whole_fields = fields
        self._whole_lines = field_lines(fields).replace(b"content-length: 0", b"content-length: %d")
        fields = not_modified_fields(sample, cache_control)
        _, *self._not_modified_fields = fields
        self._not_modified_lines = field_lines(fields)

    def whole(self, tag: str, length: int) -> Head:
        opaque = tag.encode()
        fields = (
            self._content_type,
            (b"content-length", b"%d" % length),
            (b"etag", b'"%b"' % opaque),
            *self._whole_fields,
        )
        return Head(200, fields, self._whole_lines % (length, opaque))

    def not_modified(self, tag: str) -> Head:
        opaque = tag.encode()
        fields = ((b"etag", b'"%b"' % opaque), *self._not_modified_fields)
        return Head(304, fields, self._not_modified_lines % opaque)


def _partial(ranges: list[ByteRange], variant: Variant, cache_control: bytes) -> Plan:
    if len(ranges) == 1:
        start, stop = ranges[0]
        fields = _sent_fields(variant, variant.content_type, stop - start, cache_control)
        content_range_field = (b"content-range", content_range(start, stop, variant.size))
        return Plan(206, (*fields, content_range_field), (ranges[0],))
    # Random, because it must not occur in the content, not even in a forged one.
    boundary = secrets.token_hex(16).encode()
    *heads, end = part_heads(ranges, variant.size, variant.content_type, boundary)
    parts: list[Part] = []
    for head, span in zip(heads, ranges, strict=True):
        parts += (head, span)
    parts.append(end)
    length = sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts)
    content_type = b"multipart/byteranges; boundary=" + boundary
    return Plan(206, _sent_fields(variant, content_type, length, cache_control), tuple(parts))


def _sent_fields(
    variant: Variant, content_type: bytes, length: int, cache_control: bytes
) -> HeaderFields:
    return (
        (b"content-type", content_type),
        (b"content-length", b"%d" % length),
        *variant.common_fields,
        *variant.described_fields,
        (b"cache-control", cache_control),
    )


def _if_range_holds(headers: Headers, variant: Variant) -> bool:
    """§13.1.5: strong comparison, or exactly the date that was sent."""
    if b"if-range" not in headers:
        return True
    field = headers[b"if-range"].decode("latin-1").strip(" \t")
    etags = parse_etags(field)
    if etags:
        return len(etags) == 1 and variant.etag.strongly_equals(etags[0])
    date = parse_http_date(field)
    return date is not None and date == variant.last_modified_s
