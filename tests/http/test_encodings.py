"""RFC 9110 §12.5.3: which coding a request is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.disk.encoder import SUFFIXES
from gateway.http.encodings import IDENTITY, choose, parse_accept_encoding, weight_of

SMALLEST_FIRST = ("br", "zstd", "gzip")
CODINGS = tuple(SUFFIXES)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (None, "identity"),  # absent: anything is acceptable, identity misleads nobody
        ("", "identity"),  # "no content coding is desired"
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),  # §8.4.1.3
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "br"),  # a tie: the smallest
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0.001, gzip;q=0.002", "gzip"),
        ("gzip;q=0", "identity"),
        ("br;q=0, gzip;q=0, zstd;q=0", "identity"),
        ("*", "br"),
        ("*;q=0", "identity"),  # nothing is acceptable: identity rather than 406
        ("*;q=0, gzip", "gzip"),
        ("br;q=0, *", "zstd"),
        ("identity", "identity"),
        ("identity;q=0.5, gzip;q=0.4", "identity"),
        ("identity;q=0.4, gzip;q=0.5", "gzip"),
        ("identity;q=0, gzip", "gzip"),
        ("gzip;q=0.5", "gzip"),  # identity is acceptable but was not asked for
        ("deflate, compress", "identity"),
        ("gzip ; q=0.8", "gzip"),
        ("gzip;q=2", "identity"),  # no weight at all: the member is passed over
        ("gzip;q=0.1234", "identity"),
        ("gzip;q=", "identity"),
        (",, gzip ,,", "gzip"),  # §5.6.1: empty elements
        ("gzip br", "identity"),
    ],
)
def test_the_coding_follows_the_weights(field: str | None, expected: str) -> None:
    assert choose(SMALLEST_FIRST, parse_accept_encoding(field)) == expected


@given(st.one_of(st.none(), st.text(max_size=80)))
def test_any_field_chooses_something_that_is_there(field: str | None) -> None:
    assert choose(("br",), parse_accept_encoding(field)) in ("br", IDENTITY)


_WEIGHT = st.sampled_from(["0", "0.001", "0.5", "1", "1.000"])


@given(st.dictionaries(st.sampled_from([*CODINGS, "identity", "*"]), _WEIGHT, min_size=1))
def test_a_refused_coding_is_never_chosen_while_another_is_acceptable(
    weights_text: dict[str, str],
) -> None:
    field = ", ".join(f"{coding};q={weight}" for coding, weight in weights_text.items())
    weights = parse_accept_encoding(field)
    chosen = choose(CODINGS, weights)
    assert weight_of(chosen, weights) == max(
        weight_of(coding, weights) for coding in (*CODINGS, IDENTITY)
    )
