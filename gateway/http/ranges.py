"""Range requests: RFC 9110 §14. Pure.

A range is `(start, stop)`, stop exclusive, inside the representation.
"""

import re
from collections.abc import Sequence

from gateway.errors import RangeNotSatisfiable

ByteRange = tuple[int, int]

# Browsers ask for one range, PDF readers for a handful. A request for more ranges, or for more
# bytes than the whole, gets the whole (§14.2: "a server MAY ignore or coalesce"; §17.15 on why).
MAX_RANGES = 16

_UNIT = re.compile(r"bytes[ \t]*=", re.IGNORECASE)
_SPEC = re.compile(r"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_BEYOND_ANY_FILE = 10**18


def parse_range(field: str, size: int) -> list[ByteRange] | None:
    """The ranges asked for; None: the field is to be ignored (§14.2), because it has another unit,
    is malformed, or asks for too much.

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
        byte_range = _parse_spec(spec, size)
        if byte_range is None:
            return None
        ranges.append(byte_range)
    satisfiable = [(start, stop) for start, stop in ranges if start < stop]
    if not satisfiable:
        raise RangeNotSatisfiable(size)
    is_greedy = sum(stop - start for start, stop in satisfiable) > size
    return None if is_greedy else satisfiable


def _parse_spec(spec: str, size: int) -> ByteRange | None:
    """The range that a range-spec names (§14.1.2), empty beyond `size`; None: it is malformed."""
    match = _SPEC.fullmatch(spec)
    if match is None or not (match["first"] or match["last"]):
        return None
    first, last = _number(match["first"]), _number(match["last"])
    if first is None:  # a suffix: the last `last` bytes
        return max(size - (last or 0), 0), size
    if last is None:
        return first, size
    return (first, min(last + 1, size)) if first <= last else None


def content_range(start: int, stop: int, size: int) -> bytes:
    """§14.4"""
    return b"bytes %d-%d/%d" % (start, stop - 1, size)


def part_heads(
    ranges: Sequence[ByteRange], size: int, content_type: bytes, boundary: bytes
) -> list[bytes]:
    """What precedes the parts of a multipart/byteranges body, and what ends it (§14.6)."""
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
