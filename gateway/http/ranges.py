"""Range requests: RFC 9110 §14. Pure.

A range is `(start, stop)`, stop exclusive, inside the representation.
"""

import re
from collections.abc import Sequence

from gateway.errors import RangeNotSatisfiable

ByteRange = tuple[int, int]

# Browsers ask for one; PDF readers for a handful. More, or more bytes than the whole, and the
# request is answered whole (§14.2: "a server MAY ignore or coalesce"; §17.15 on why).
MAX_RANGES = 16

_UNIT = re.compile(r"bytes[ \t]*=", re.IGNORECASE)
_SPEC = re.compile(r"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_BEYOND_ANY_FILE = 10**18


def parse_range(field: str, size: int) -> list[ByteRange] | None:
    """The ranges asked for; None where the field is to be ignored (§14.2): another unit,
    malformed, or greedy.

    Raises: RangeNotSatisfiable, if no range lies inside `size` bytes.
    """
    unit = _UNIT.match(field)
    if unit is None:
        return None
    specs = [spec.strip(" \t") for spec in field[unit.end() :].split(",")]
    specs = [spec for spec in specs if spec]  # §5.6.1.2: empty list elements are ignored
    if not specs or len(specs) > MAX_RANGES:
        return None
    ranges = []
    for spec in specs:
        match = _SPEC.fullmatch(spec)
        if match is None or not (match["first"] or match["last"]):
            return None
        first, last = _number(match["first"]), _number(match["last"])
        if first is None:  # a suffix: the last `last` bytes
            start, stop = max(size - (last or 0), 0), size
        else:
            if last is not None and last < first:
                return None
            start, stop = first, size if last is None else min(last + 1, size)
        if start < stop:
            ranges.append((start, stop))
    if not ranges:
        raise RangeNotSatisfiable(size)
    if sum(stop - start for start, stop in ranges) > size:
        return None
    return ranges


def content_range(start: int, stop: int, size: int) -> bytes:
    """§14.4"""
    return b"bytes %d-%d/%d" % (start, stop - 1, size)


def part_heads(
    ranges: Sequence[ByteRange], size: int, content_type: bytes, boundary: bytes
) -> list[bytes]:
    """What precedes each part of a multipart/byteranges body, and what ends it (§14.6)."""
    heads = [
        b"\r\n--%b\r\nContent-Type: %b\r\nContent-Range: %b\r\n\r\n"
        % (boundary, content_type, content_range(start, stop, size))
        for start, stop in ranges
    ]
    heads[0] = heads[0].removeprefix(b"\r\n")
    return [*heads, b"\r\n--%b--\r\n" % boundary]


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) < 19 else _BEYOND_ANY_FILE
