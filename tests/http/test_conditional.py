"""Conditional requests, row by row: RFC 9110 §8.8 and §13."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http.conditional import (
    ETag,
    Evaluation,
    Preconditions,
    evaluate,
    format_http_date,
    parse_etags,
    parse_http_date,
)
from gateway.http.heads import joined_headers

# The moment of RFC 9110's own examples, and one second to either side.
MOMENT_S = 784111777
AT = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
OURS = ETag("a")

PROCEED, NOT_MODIFIED, FAILED = Evaluation.PROCEED, Evaluation.NOT_MODIFIED, Evaluation.FAILED

etags = st.builds(
    ETag,
    st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'),
        max_size=12,
    ),
    weak=st.booleans(),
)
separators = st.text(" \t", max_size=2).flatmap(
    lambda before: st.text(" \t,", max_size=3).map(lambda after: f"{before},{after}")
)
moments_s = st.integers(0, 253402300799)  # up to the year 9999


def outcome(
    etag: ETag = OURS, last_modified_s: int = MOMENT_S, safe: bool = True, **fields: str
) -> Evaluation:
    conditions = Preconditions(**fields)
    return evaluate(conditions, etag=etag, last_modified_s=last_modified_s, safe=safe)


# §8.8.3: entity tags


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        # The table of §8.8.3.2.
        pytest.param('W/"1"', 'W/"1"', False, True, id="8.8.3.2 both weak"),
        pytest.param('W/"1"', 'W/"2"', False, False, id="8.8.3.2 both weak, different"),
        pytest.param('W/"1"', '"1"', False, True, id="8.8.3.2 one weak"),
        pytest.param('"1"', '"1"', True, True, id="8.8.3.2 both strong"),
        pytest.param('"a"', '"A"', False, False, id="8.8.3 case counts"),
    ],
)
def test_entity_tags_compare_as_in_the_table(
    one: str, other: str, strong: bool, weak: bool
) -> None:
    (left,), (right,) = parse_etags(one) or [], parse_etags(other) or []
    assert left.strongly_equals(right) is right.strongly_equals(left) is strong
    assert left.weakly_equals(right) is right.weakly_equals(left) is weak


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('"a"', [ETag("a")], id="8.8.3 one"),
        pytest.param('""', [ETag("")], id="8.8.3 empty tag"),
        pytest.param('W/"a"', [ETag("a", weak=True)], id="8.8.3 weak"),
        pytest.param('"a","b"', [ETag("a"), ETag("b")], id="5.6.1 no space"),
        pytest.param('"a" ,\t"b"', [ETag("a"), ETag("b")], id="5.6.1 space and tab"),
        pytest.param('W/"a", "b"', [ETag("a", weak=True), ETag("b")], id="5.6.1 mixed"),
        pytest.param(', ,"a",, "b",', [ETag("a"), ETag("b")], id="5.6.1.2 empty elements"),
        pytest.param('  "a"  ', [ETag("a")], id="5.6.3 surrounding space"),
        pytest.param('"a,b"', [ETag("a,b")], id="8.8.3 comma inside"),
        pytest.param(r'"a\"', [ETag("a\\")], id="8.8.3 backslash is no escape"),
        pytest.param('"\xe9\xff"', [ETag("\xe9\xff")], id="8.8.3 obs-text"),
        pytest.param('"*"', [ETag("*")], id="8.8.3 a quoted star is a tag"),
        pytest.param("", [], id="5.6.1.2 empty list"),
        pytest.param(" , ,", [], id="5.6.1.2 only empty elements"),
    ],
)
def test_a_list_of_entity_tags(text: str, expected: list[ETag]) -> None:
    assert parse_etags(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a", id="8.8.3 no quotes"),
        pytest.param('"a', id="8.8.3 not closed"),
        pytest.param('a"', id="8.8.3 not opened"),
        pytest.param("'a'", id="8.8.3 wrong quotes"),
        pytest.param('w/"a"', id="8.8.3 W is case-sensitive"),
        pytest.param('W"a"', id="8.8.3 weak without slash"),
        pytest.param('W/ "a"', id="8.8.3 space after W/"),
        pytest.param('"a b"', id="8.8.3 space inside"),
        pytest.param('"a\x7f"', id="8.8.3 DEL inside"),
        pytest.param('"a"\n', id="5.5 newline"),
        pytest.param('"a" "b"', id="5.6.1 no comma"),
        pytest.param('"a""b"', id="5.6.1 nothing between"),
        pytest.param('"a";q=1', id="8.8.3 parameter"),
        pytest.param('"a", b', id="5.6.1 one bad element"),
        pytest.param('"a", *', id="13.1.2 star in a list"),
        pytest.param("*, *", id="13.1.2 two stars"),
        pytest.param('"\u0100"', id="8.8.3 beyond a byte"),
    ],
)
def test_a_malformed_list_is_none(text: str) -> None:
    assert parse_etags(text) is None


@given(st.lists(etags, max_size=5), separators)
def test_a_formatted_list_parses_to_itself(tags: list[ETag], separator: str) -> None:
    assert parse_etags(separator.join(map(str, tags))) == tags


@given(st.text() | st.text('"W/*, \tab', max_size=16))
@example("," * 50_000 + "x")
@example('"a",' * 10_000 + "x")
def test_any_text_is_a_list_or_none_and_nothing_is_made_up(text: str) -> None:
    tags = parse_etags(text)
    if tags is None:
        return
    rest = text
    for tag in tags:
        position = rest.index(str(tag))
        assert not rest[:position].strip(" \t,")
        rest = rest[position + len(str(tag)) :]
    assert not rest.strip(" \t,")


# §13.1.2: If-None-Match


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param('"a"', NOT_MODIFIED, id="13.1.2 match"),
        pytest.param('"b"', PROCEED, id="13.1.2 other"),
        pytest.param('"b", "a"', NOT_MODIFIED, id="13.1.2 list"),
        pytest.param('"b","c"', PROCEED, id="13.1.2 list of others"),
        pytest.param('W/"a"', NOT_MODIFIED, id="13.1.2 weak comparison"),
        pytest.param('W/"b" , W/"a"', NOT_MODIFIED, id="13.1.2 weak in a list"),
        pytest.param("*", NOT_MODIFIED, id="13.1.2 star"),
        pytest.param(" * ", NOT_MODIFIED, id="13.1.2 star with space"),
        pytest.param('"*"', PROCEED, id="13.1.2 quoted star"),
        pytest.param('"A"', PROCEED, id="13.1.2 case"),
        pytest.param("", PROCEED, id="13.1.2 empty"),
        pytest.param("a", PROCEED, id="13.1.2 without quotes"),
        pytest.param('"b", a', PROCEED, id="13.1.2 malformed"),
        pytest.param('"a" "b"', PROCEED, id="13.1.2 malformed list with a match"),
        pytest.param('*, "b"', PROCEED, id="13.1.2 star in a list"),
    ],
)
def test_if_none_match(field: str, expected: Evaluation) -> None:
    assert outcome(if_none_match=field) is expected


@pytest.mark.parametrize("field", ['"a"', 'W/"a"', "*"])
def test_if_none_match_fails_a_method_that_changes_something(field: str) -> None:
    # §13.1.2: 304 for GET and HEAD, 412 for all other methods.
    assert outcome(if_none_match=field, safe=False) is FAILED


def test_a_weak_validator_of_ours_answers_if_none_match() -> None:
    assert outcome(ETag("a", weak=True), if_none_match='"a"') is NOT_MODIFIED


# §13.1.1: If-Match


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param('"a"', PROCEED, id="13.1.1 match"),
        pytest.param('"b"', FAILED, id="13.1.1 other"),
        pytest.param('"b", "a"', PROCEED, id="13.1.1 list"),
        pytest.param('W/"a"', FAILED, id="13.1.1 strong comparison"),
        pytest.param('W/"a", "a"', PROCEED, id="13.1.1 weak beside strong"),
        pytest.param("*", PROCEED, id="13.1.1 star"),
        pytest.param("", FAILED, id="13.1.1 empty"),
        pytest.param("a", FAILED, id="13.1.1 malformed"),
    ],
)
@pytest.mark.parametrize("safe", [True, False])
def test_if_match(field: str, expected: Evaluation, safe: bool) -> None:
    assert outcome(if_match=field, safe=safe) is expected


def test_a_weak_validator_of_ours_fails_if_match() -> None:
    assert outcome(ETag("a", weak=True), if_match='"a"') is FAILED


# §13.1.3 and §13.1.4: dates


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        pytest.param(AT, NOT_MODIFIED, id="13.1.3 same second"),
        pytest.param(AFTER, NOT_MODIFIED, id="13.1.3 later"),
        pytest.param(BEFORE, PROCEED, id="13.1.3 earlier"),
        pytest.param("yesterday", PROCEED, id="13.1.3 no date"),
        pytest.param("", PROCEED, id="13.1.3 empty"),
        pytest.param("784111778", PROCEED, id="13.1.3 a number"),
        pytest.param("1994-11-06T08:49:38Z", PROCEED, id="13.1.3 ISO 8601"),
        pytest.param("Sun, 31 Feb 2094 08:49:37 GMT", PROCEED, id="13.1.3 no such day"),
        pytest.param("Sun, 06 Nov 2094 24:49:37 GMT", PROCEED, id="13.1.3 no such hour"),
        pytest.param(f"{AT}, {AT}", PROCEED, id="13.1.3 more than one member"),
        pytest.param(f"{AFTER} and more", PROCEED, id="13.1.3 text behind"),
        pytest.param("Sun, 06 Nov 99999999999 08:49:37 GMT", PROCEED, id="13.1.3 huge year"),
        pytest.param("Sun, 06 Nov 1994 08:49:38 +9999999999999", PROCEED, id="13.1.3 huge zone"),
    ],
)
def test_if_modified_since(since: str, expected: Evaluation) -> None:
    assert outcome(if_modified_since=since) is expected


def test_if_modified_since_is_ignored_for_other_methods() -> None:
    # §13.1.3: "if the request method is neither GET nor HEAD".
    assert outcome(if_modified_since=AT, safe=False) is PROCEED


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        pytest.param(AT, PROCEED, id="13.1.4 same second"),
        pytest.param(AFTER, PROCEED, id="13.1.4 later"),
        pytest.param(BEFORE, FAILED, id="13.1.4 earlier"),
        pytest.param("yesterday", PROCEED, id="13.1.4 no date"),
        pytest.param("", PROCEED, id="13.1.4 empty"),
        pytest.param(f"{BEFORE}, {BEFORE}", PROCEED, id="13.1.4 more than one member"),
        pytest.param("Sun, 06 Nov 99999999999 08:49:37 GMT", PROCEED, id="13.1.4 huge year"),
    ],
)
@pytest.mark.parametrize("safe", [True, False])
def test_if_unmodified_since(since: str, expected: Evaluation, safe: bool) -> None:
    assert outcome(if_unmodified_since=since, safe=safe) is expected


# §13.2.2: precedence


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, PROCEED, id="13.2.2 none"),
        pytest.param(
            {"if_none_match": '"b"', "if_modified_since": AFTER},
            PROCEED,
            id="13.2.2 If-None-Match that differs beats If-Modified-Since",
        ),
        pytest.param(
            {"if_none_match": '"a"', "if_modified_since": BEFORE},
            NOT_MODIFIED,
            id="13.2.2 If-None-Match that matches beats If-Modified-Since",
        ),
        pytest.param(
            {"if_none_match": "malformed", "if_modified_since": AFTER},
            PROCEED,
            id="13.1.3 If-None-Match silences If-Modified-Since even malformed",
        ),
        pytest.param(
            {"if_none_match": "", "if_modified_since": AFTER},
            PROCEED,
            id="13.1.3 If-None-Match silences If-Modified-Since even empty",
        ),
        pytest.param(
            {"if_match": '"a"', "if_unmodified_since": BEFORE},
            PROCEED,
            id="13.2.2 If-Match that matches beats If-Unmodified-Since",
        ),
        pytest.param(
            {"if_match": '"b"', "if_unmodified_since": AFTER},
            FAILED,
            id="13.2.2 If-Match that differs beats If-Unmodified-Since",
        ),
        pytest.param(
            {"if_match": '"b"', "if_none_match": '"a"'},
            FAILED,
            id="13.2.2 If-Match comes before If-None-Match",
        ),
        pytest.param(
            {"if_match": '"a"', "if_none_match": '"a"'},
            NOT_MODIFIED,
            id="13.2.2 If-None-Match comes after If-Match",
        ),
        pytest.param(
            {"if_match": '"a"', "if_modified_since": AT},
            NOT_MODIFIED,
            id="13.2.2 If-Modified-Since comes after If-Match",
        ),
        pytest.param(
            {"if_unmodified_since": BEFORE, "if_none_match": '"a"'},
            FAILED,
            id="13.2.2 If-Unmodified-Since comes before If-None-Match",
        ),
        pytest.param(
            {"if_unmodified_since": AT, "if_modified_since": AT},
            NOT_MODIFIED,
            id="13.2.2 If-Modified-Since comes after If-Unmodified-Since",
        ),
    ],
)
def test_preconditions_are_evaluated_in_order(fields: dict[str, str], expected: Evaluation) -> None:
    result = evaluate(Preconditions(**fields), etag=OURS, last_modified_s=MOMENT_S)
    assert result is expected


@given(etags, st.lists(etags, max_size=4), moments_s)
def test_our_own_tag_and_the_star_are_found_in_every_list(
    etag: ETag, others: list[ETag], moment_s: int
) -> None:
    listed = ", ".join(map(str, [*others, etag]))
    assert outcome(etag, moment_s, if_none_match=listed) is NOT_MODIFIED
    assert outcome(etag, moment_s, if_none_match="*") is NOT_MODIFIED
    assert outcome(etag, moment_s, if_match="*") is PROCEED
    assert outcome(etag, moment_s, if_match=listed) is (FAILED if etag.weak else PROCEED)


# §5.6.7: HTTP-date


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", id="5.6.7 IMF-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", id="5.6.7 RFC 850"),
        pytest.param("Sun Nov  6 08:49:37 1994", id="5.6.7 asctime"),
    ],
)
def test_the_three_formats_of_a_date(text: str) -> None:
    assert parse_http_date(text) == MOMENT_S


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(None, id="absent"),
        pytest.param("", id="empty"),
        pytest.param("0", id="number"),
        pytest.param("-1", id="negative number"),
        pytest.param("now", id="word"),
        pytest.param("1994-11-06 08:49:37", id="ISO 8601"),
        pytest.param("Sun, 00 Nov 1994 08:49:37 GMT", id="day 0"),
        pytest.param("Sun, 32 Nov 1994 08:49:37 GMT", id="day 32"),
        pytest.param("Sun, 06 Foo 1994 08:49:37 GMT", id="unknown month"),
        pytest.param("Sun, 06 Nov 1994 08:60:37 GMT", id="minute 60"),
        pytest.param("Sun, 06 Nov 1994 GMT", id="no time"),
        pytest.param("Sun, 06 Nov 99999999999999 08:49:37 GMT", id="year beyond C"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +99999999999999", id="zone beyond C"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +9999", id="zone beyond a day"),
    ],
)
def test_what_is_no_date_is_none(text: str | None) -> None:
    assert parse_http_date(text) is None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs a zone that can be set")
def test_a_date_is_in_gmt_whatever_the_zone_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "XYZ-5")
            time.tzset()
            assert parse_http_date("Sun Nov  6 08:49:37 1994") == MOMENT_S
            assert parse_http_date(AT) == MOMENT_S
            assert format_http_date(MOMENT_S) == AT
    finally:
        time.tzset()


@given(moments_s)
def test_a_formatted_date_parses_to_itself(moment_s: int) -> None:
    assert parse_http_date(format_http_date(moment_s)) == moment_s


@given(
    st.text()
    | st.text("0123456789 :,-+GMTSunNov", max_size=40)
    | st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Sun", "Sunday", "", "x"]),
        st.integers(-1, 10**12),
        st.sampled_from(["Nov", "Feb", "11", ""]),
        st.integers(-1, 10**12),
        st.integers(-1, 10**12),
        st.integers(-1, 61),
        st.integers(-1, 61),
        st.sampled_from(["GMT", "", "UTC", "PST", "-0000", "+2400"])
        | st.integers(-(10**12), 10**12),
    )
)
def test_only_text_in_one_of_the_three_formats_is_a_date(text: str) -> None:
    if parse_http_date(text) is not None:
        assert any(_has_format(text, each) for each in _DATE_FORMATS)


# §5.6.7: IMF-fixdate, RFC 850, asctime
_DATE_FORMATS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


def _has_format(text: str, date_format: str) -> bool:
    try:
        time.strptime(text, date_format)
    except ValueError:
        return False
    return True


# Reading the fields


def test_fields_come_from_the_headers_of_the_request() -> None:
    headers = {
        b"host": b"x",
        b"if-match": b'"a"',
        b"if-none-match": b'"b"',
        b"if-modified-since": AT.encode(),
        b"if-unmodified-since": BEFORE.encode(),
        b"if-range": b'"c"',
    }
    assert Preconditions.of(headers) == Preconditions('"a"', '"b"', AT, BEFORE)


def test_a_request_without_preconditions_has_none() -> None:
    assert Preconditions.of({b"host": b"x", b"range": b"bytes=0-0"}) is None


def test_an_empty_field_is_not_an_absent_one() -> None:
    assert Preconditions.of({b"if-none-match": b""}) == Preconditions(if_none_match="")


def test_repeated_lists_are_one_list() -> None:
    # §5.3: a list may come in several field lines.
    headers = [(b"if-none-match", b'"b"'), (b"x", b"y"), (b"if-none-match", b'"a"')]
    conditions = Preconditions.of(joined_headers({"headers": headers}))
    assert conditions is not None
    assert evaluate(conditions, etag=OURS, last_modified_s=0) is NOT_MODIFIED


def test_a_repeated_date_is_no_date() -> None:
    # §13.1.3: ignored if "the field value has more than one member".
    headers = [(b"if-modified-since", AT.encode())] * 2
    conditions = Preconditions.of(joined_headers({"headers": headers}))
    assert conditions is not None
    assert evaluate(conditions, etag=OURS, last_modified_s=MOMENT_S) is PROCEED


_NAMES = st.sampled_from([b"if-match", b"if-none-match", b"x"])
_VALUES = st.binary() | st.sampled_from([b"*", b'"a"', b'W/"a"', b'"b"'])


@given(st.lists(st.tuples(_NAMES, _VALUES)))
def test_only_a_field_that_can_fail_decides(headers: list[tuple[bytes, bytes]]) -> None:
    conditions = Preconditions.of(joined_headers({"headers": headers}))
    names = {name for name, _ in headers}
    assert (conditions is None) == (names <= {b"x"})
    if conditions is not None:
        result = evaluate(conditions, etag=OURS, last_modified_s=MOMENT_S)
        assert result is not FAILED or b"if-match" in names
        assert result is not NOT_MODIFIED or b"if-none-match" in names
