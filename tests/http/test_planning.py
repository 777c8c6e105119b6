"""RFC 9110 §13.2.2, §14, §15: what a request for a variant is answered with."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PreconditionFailed, RangeNotSatisfiable
from gateway.http.conditional import format_http_date
from gateway.http.planning import JsonHeads, Plan, plain_answer, plan_answer
from gateway.http.representation import (
    Representation,
    Variant,
    build_representation,
    json_variant,
)
from gateway.names import AssetPath, Slug

CONTENT = bytes(range(256)) * 8
MODIFIED_S = 1_700_000_000
THEN = format_http_date(MODIFIED_S)
EARLIER = format_http_date(MODIFIED_S - 1)
LATER = format_http_date(MODIFIED_S + 1)
CACHE_CONTROL = b"no-cache"


PINNED = b"private, max-age=31536000, immutable"


def representation(
    content: bytes = CONTENT, path: str = "dist/a.js", *, may_be_dictionary: bool = False
) -> Representation:
    return build_representation(
        Slug("One"),
        AssetPath(path),
        content=content,
        digest=hashlib.sha256(content).digest(),
        size=len(content),
        modified_s=MODIFIED_S + 0.5,
        fingerprint=(1, 2, 3, 4, 5),
        may_be_dictionary=may_be_dictionary,
    )


IDENTITY = representation().identity
BROTLI = representation().with_encoded({"br": b"encoded" * 9}, final=True).encoded["br"]
ETAG = str(IDENTITY.etag)


def answer(variant: Variant = IDENTITY, **headers: str) -> Plan:
    return plan("GET", variant, headers)


def plan(
    method: str, variant: Variant, headers: dict[str, str], cache_control: bytes = CACHE_CONTROL
) -> Plan:
    raw = {
        name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()
    }
    return plan_answer(method, raw, variant, cache_control)


def field(planned: Plan, name: bytes) -> bytes | None:
    return dict(planned.fields).get(name)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if_none_match": ETAG}, 304),
        ({"if_none_match": f"W/{ETAG}"}, 304),  # weak comparison, §13.1.2
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": f'"x", {ETAG}'}, 304),
        ({"if_none_match": '"x"'}, 200),
        ({"if_modified_since": THEN}, 304),
        ({"if_modified_since": LATER}, 304),
        ({"if_modified_since": EARLIER}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_none_match": '"x"', "if_modified_since": THEN}, 200),  # §13.1.3: the tag decides
        ({"if_match": ETAG}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": '"x"'}, 412),
        ({"if_match": f"W/{ETAG}"}, 412),  # strong comparison, §13.1.1
        ({"if_unmodified_since": THEN}, 200),
        ({"if_unmodified_since": EARLIER}, 412),
        ({"if_match": ETAG, "if_unmodified_since": EARLIER}, 200),  # §13.1.4: the tag decides
        ({"if_match": '"x"', "if_none_match": ETAG}, 412),  # §13.2.2: If-Match comes first
        ({"range": "bytes=0-0"}, 206),
        ({"range": "bytes=0-0", "if_none_match": ETAG}, 304),  # conditions before ranges
        ({"range": "bytes=9999-"}, 416),
        ({"range": "lines=0-0"}, 200),
        ({"range": "bytes=0-0", "if_range": ETAG}, 206),
        ({"range": "bytes=0-0", "if_range": '"x"'}, 200),
        ({"range": "bytes=0-0", "if_range": f"W/{ETAG}"}, 200),  # §13.1.5: strong comparison
        ({"range": "bytes=0-0", "if_range": THEN}, 206),
        ({"range": "bytes=0-0", "if_range": EARLIER}, 200),
        ({"range": "bytes=0-0", "if_range": LATER}, 200),  # exactly the date, not "since"
        ({"range": "bytes=9999-", "if_range": '"x"'}, 200),  # §14.2: not even a 416
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_status_of(headers: dict[str, str], status: int, method: str) -> None:
    if method == "HEAD" and status in (206, 416):
        status = 200  # §14.2: Range means something for GET alone
    try:
        planned = plan(method, IDENTITY, headers)
    except PreconditionFailed:
        assert status == 412
    except RangeNotSatisfiable:
        assert status == 416
    else:
        assert planned.status == status


def test_a_head_carries_the_fields_of_the_get_and_no_bytes() -> None:
    head = plan("HEAD", IDENTITY, {})
    assert head.fields == answer().fields
    assert head.parts == ()


def test_a_304_repeats_what_caches_need_and_describes_no_content() -> None:
    planned = answer(if_none_match=ETAG)
    assert {name for name, _ in planned.fields} == {
        b"etag",
        b"last-modified",
        b"vary",
        b"cache-control",
    }
    assert planned.parts == ()


def test_codings_have_their_own_strong_etags_and_do_not_match_each_other() -> None:
    assert str(BROTLI.etag) != ETAG
    assert answer(BROTLI, if_none_match=ETAG).status == 200
    assert answer(BROTLI, if_none_match=str(BROTLI.etag)).status == 304
    assert answer(BROTLI, range="bytes=0-0", if_range=ETAG).status == 200


def test_a_range_of_an_encoded_variant_counts_its_encoded_bytes() -> None:
    planned = answer(BROTLI, range="bytes=0-6")
    assert field(planned, b"content-range") == b"bytes 0-6/%d" % BROTLI.size
    assert field(planned, b"content-encoding") == b"br"
    assert planned.body(BROTLI.content or b"") == b"encoded"


def test_every_sent_answer_refuses_sniffing_and_offers_ranges() -> None:
    for planned in (answer(), answer(range="bytes=0-0"), answer(range="bytes=0-0,5-6")):
        assert field(planned, b"x-content-type-options") == b"nosniff"
        assert field(planned, b"accept-ranges") == b"bytes"


def test_only_compressible_types_vary_with_accept_encoding() -> None:
    assert field(answer(), b"vary") == b"Accept-Encoding"
    assert field(answer(representation(path="a.png").identity), b"vary") is None


DICTIONARY = representation(may_be_dictionary=True)
_OLD = bytes(32)
_VARIANTS = {
    "identity": DICTIONARY.identity,
    "br": DICTIONARY.with_encoded({"br": b"encoded"}, final=True).encoded["br"],
    "dcz": DICTIONARY.with_difference(_OLD, b"difference").differences[_OLD],
}


@pytest.mark.parametrize("coding", _VARIANTS)
def test_every_variant_of_a_dictionary_varies_by_what_chooses_a_difference(coding: str) -> None:
    variant = _VARIANTS[coding]
    assert variant is not None
    for headers in ({}, {"if-none-match": str(variant.etag)}, {"range": "bytes=0-0"}):
        planned = plan("GET", variant, headers)
        assert field(planned, b"vary") == b"Accept-Encoding, Available-Dictionary, Sec-Fetch-Site"


@pytest.mark.parametrize("coding", _VARIANTS)
def test_a_whole_pinned_answer_is_a_dictionary_and_no_other(coding: str) -> None:
    variant = _VARIANTS[coding]
    assert variant is not None
    expected = b'match="../../One/../{@*/}?dist/a.js"'
    for method in ("GET", "HEAD"):
        assert field(plan(method, variant, {}, PINNED), b"use-as-dictionary") == expected
    assert field(plan("GET", variant, {}), b"use-as-dictionary") is None
    for headers in ({"if-none-match": str(variant.etag)}, {"range": "bytes=0-0"}):
        assert field(plan("GET", variant, headers, PINNED), b"use-as-dictionary") is None


def test_heads_that_are_remembered_know_pinned_urls_from_others() -> None:
    variant = representation(may_be_dictionary=True).identity
    for cache_control in (PINNED, CACHE_CONTROL, PINNED):
        names = dict(plain_answer(variant, cache_control, None).fields)
        assert (b"use-as-dictionary" in names) == (cache_control == PINNED)


def test_a_file_whose_url_has_no_pattern_is_no_dictionary() -> None:
    identity = representation(path="dist/a b.js", may_be_dictionary=True).identity
    assert not identity.dictionary_fields
    assert field(answer(identity), b"vary") == b"Accept-Encoding"


@given(st.lists(st.tuples(st.integers(0, 2100), st.integers(0, 2100)), min_size=1, max_size=5))
def test_the_parts_of_any_ranges_are_slices_of_the_whole(bounds: list[tuple[int, int]]) -> None:
    specs = ",".join(f"{min(pair)}-{max(pair)}" for pair in bounds)
    try:
        planned = answer(range=f"bytes={specs}")
    except RangeNotSatisfiable:
        assert all(min(pair) >= len(CONTENT) for pair in bounds)
        return
    body = planned.body(CONTENT)
    assert len(body) == int(field(planned, b"content-length") or -1)
    for part in planned.parts:
        if not isinstance(part, bytes):
            assert CONTENT[part[0] : part[1]] in body


def test_an_empty_file_is_an_empty_200() -> None:
    planned = answer(representation(b"").identity)
    assert (planned.status, planned.parts, field(planned, b"content-length")) == (200, (), b"0")


_TEXT = st.text(st.characters(max_codepoint=255), max_size=30)
_TAGS = st.sampled_from(["*", ETAG, '"other"']) | _TEXT
_DATES = st.sampled_from([EARLIER, THEN, LATER]) | _TEXT
_RANGES = st.sampled_from(["bytes=0-3", "bytes=9999-"]) | _TEXT


@given(st.fixed_dictionaries({}, optional={
    "if_match": _TAGS, "if_none_match": _TAGS, "if_modified_since": _DATES,
    "if_unmodified_since": _DATES, "range": _RANGES, "if_range": _TAGS | _DATES,
}))  # fmt: skip
def test_only_a_header_that_asks_for_it_changes_the_plan(headers: dict[str, str]) -> None:
    try:
        planned = plan("GET", IDENTITY, headers)
    except PreconditionFailed:
        assert headers.keys() & {"if_match", "if_unmodified_since"}
    except RangeNotSatisfiable:
        assert "range" in headers
    else:
        asking = {206: {"range"}, 304: {"if_none_match", "if_modified_since"}}
        if planned.status == 200:
            assert planned.body(CONTENT) == CONTENT
        else:
            assert headers.keys() & asking[planned.status]


@pytest.mark.parametrize("if_none_match", [None, b'"tag"', b'"other"'])
def test_a_json_text_is_answered_as_its_variant_would_be(if_none_match: bytes | None) -> None:
    variant, answers = json_variant(b"{}", "tag"), JsonHeads(b"private, no-cache")
    expected = plain_answer(variant, b"private, no-cache", if_none_match)
    found = answers.not_modified("tag") if expected.status == 304 else answers.whole("tag", 2)
    assert found == expected
