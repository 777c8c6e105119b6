"""RFC 9110 §14: which bytes a Range field asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RangeNotSatisfiable
from gateway.http.ranges import MAX_RANGES, parse_range, part_heads

UNSATISFIABLE = "416"


@pytest.mark.parametrize(
    ("field", "size", "expected"),
    [
        ("bytes=0-0", 10, [(0, 1)]),
        ("bytes=0-9", 10, [(0, 10)]),
        ("bytes=0-", 10, [(0, 10)]),
        ("bytes=3-", 10, [(3, 10)]),
        ("bytes=-3", 10, [(7, 10)]),
        ("bytes=-30", 10, [(0, 10)]),  # §14.1.2: a suffix longer than the whole is the whole
        ("bytes=5-999999999999999999999999", 10, [(5, 10)]),
        ("Bytes=0-1", 10, [(0, 2)]),  # §14.1: range units are case-insensitive
        ("bytes= 0-1 , 4-5", 10, [(0, 2), (4, 6)]),
        ("bytes=,0-1,,", 10, [(0, 2)]),  # §5.6.1.2: empty elements are ignored
        ("bytes=4-5,0-1", 10, [(4, 6), (0, 2)]),  # the order asked for
        ("bytes=0-1,99-", 10, [(0, 2)]),  # one that is satisfiable is enough
        ("bytes=10-", 10, UNSATISFIABLE),
        ("bytes=10-20", 10, UNSATISFIABLE),
        ("bytes=-0", 10, UNSATISFIABLE),
        ("bytes=99999999999999999999999-", 10, UNSATISFIABLE),
        ("bytes=0-", 0, UNSATISFIABLE),
        ("bytes=-1", 0, UNSATISFIABLE),
        ("bytes=2-1", 10, None),  # §14.1.1: invalid, so the field is ignored
        ("bytes=0-1,2-1", 10, None),
        ("bytes=", 10, None),
        ("bytes", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1", 10, None),
        ("bytes=-", 10, None),
        ("bytes=--1", 10, None),
        ("bytes=0-1;q=1", 10, None),
        ("bytes=0x1-2", 10, None),
        ("bytes=\N{ARABIC-INDIC DIGIT ZERO}-", 10, None),  # a digit, but not ASCII's
        ("lines=0-1", 10, None),  # §14.2: an unknown unit is ignored
        ("0-1", 10, None),
        ("bytes=0-9,0-9", 10, None),  # more bytes than the whole
        ("bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), 1000, None),
    ],
)
def test_a_range_field_means(field: str, size: int, expected: object) -> None:
    if expected == UNSATISFIABLE:
        with pytest.raises(RangeNotSatisfiable) as raised:
            parse_range(field, size)
        assert raised.value.headers == (("Content-Range", f"bytes */{size}"),)
    else:
        assert parse_range(field, size) == expected


_BOUND = st.integers(0, 30).map(str) | st.just("")
_SPECS = st.lists(st.builds("{}-{}".format, _BOUND, _BOUND), max_size=3).map(",".join)


@given(
    st.text("bytes=0123456789-, x", max_size=40) | _SPECS.map("bytes={}".format),
    st.integers(0, 30),
)
def test_ranges_lie_inside_and_never_amplify(field: str, size: int) -> None:
    try:
        ranges = parse_range(field, size)
    except RangeNotSatisfiable:
        return
    if ranges is not None:
        assert ranges
        assert all(0 <= start < stop <= size for start, stop in ranges)
        assert sum(stop - start for start, stop in ranges) <= size


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 100))
def test_a_slice_asked_for_by_its_bounds_is_that_slice(a: int, b: int, size: int) -> None:
    first, last = min(a, b), max(a, b)
    whole = bytes(index % 256 for index in range(size))
    if first >= size:
        return
    ((start, stop),) = parse_range(f"bytes={first}-{last}", size) or []
    assert whole[start:stop] == whole[first : last + 1]


def test_multipart_heads_frame_each_part_and_end_the_body() -> None:
    heads = part_heads([(0, 1), (5, 10)], 10, b"text/css", b"XX")
    assert heads == [
        b"--XX\r\nContent-Type: text/css\r\nContent-Range: bytes 0-0/10\r\n\r\n",
        b"\r\n--XX\r\nContent-Type: text/css\r\nContent-Range: bytes 5-9/10\r\n\r\n",
        b"\r\n--XX--\r\n",
    ]
