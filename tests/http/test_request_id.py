"""Which id a request has: rules, without a server."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.request_id import (
    REQUEST_ID,
    TRACEPARENT,
    RequestIds,
    new_request_id,
    trace_id_of,
)

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROXY = {"client": ("192.0.2.1", 1)}
CLIENT = {"client": ("192.0.2.2", 1)}


class Trusted:
    def __contains__(self, scope: object) -> bool:
        return scope is PROXY


IDS = RequestIds(Trusted())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE_ID}-{PARENT_ID}-01", TRACE_ID),
        (f"00-{TRACE_ID}-{PARENT_ID}-00", TRACE_ID),
        # §3.2.2.5: flags that are not known are ignored.
        (f"00-{TRACE_ID}-{PARENT_ID}-fe", TRACE_ID),
        # §4.3: a later version is read as the first, and may go on after a dash.
        (f"cc-{TRACE_ID}-{PARENT_ID}-01", TRACE_ID),
        (f"cc-{TRACE_ID}-{PARENT_ID}-01-what", TRACE_ID),
        (f"cc-{TRACE_ID}-{PARENT_ID}-01what", None),
        (f"00-{TRACE_ID}-{PARENT_ID}-01-what", None),
        # §3.2.2.1: ff is not valid.
        (f"ff-{TRACE_ID}-{PARENT_ID}-01", None),
        # §3.2.2.3, §3.2.2.4: all zeros are not valid, nor are capitals.
        (f"00-{'0' * 32}-{PARENT_ID}-01", None),
        (f"00-{TRACE_ID}-{'0' * 16}-01", None),
        (f"00-{TRACE_ID.upper()}-{PARENT_ID}-01", None),
        (f"00-{TRACE_ID[:-1]}-{PARENT_ID}-01", None),
        (f"00-{TRACE_ID}-{PARENT_ID}", None),
        (f" 00-{TRACE_ID}-{PARENT_ID}-01", None),
        (f"00-{TRACE_ID}-{PARENT_ID}-01\n", None),
        (f"00-{TRACE_ID}-{PARENT_ID}-01, 00-{TRACE_ID}-{PARENT_ID}-01", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(value: str, expected: str | None) -> None:
    assert trace_id_of(value.encode()) == (expected.encode() if expected else None)


@pytest.mark.parametrize(
    "given_id",
    [b"a", b"A-b_c.9", b"0" * 64, TRACE_ID.encode(), b"3f0c2f6a-58f4-4c39-9d0b-6d3a4f3c2b1a"],
)
def test_an_id_of_a_trusted_proxy_is_taken(given_id: bytes) -> None:
    assert IDS.of(PROXY, {REQUEST_ID: given_id}) == given_id


@pytest.mark.parametrize(
    "given_id",
    [
        b"",
        b"0" * 65,
        b"a" * 100_000,
        b"a b",
        b"a\n",
        b"a\r\nSet-Cookie: a=b",
        b"a\x00",
        b"\xe9",
        "é".encode(),
        b"a, b",
        b"a;b",
        b'{"a":1}',
        b"\x1b[31m",
    ],
)
def test_an_odd_id_is_replaced_also_a_trusted_one(given_id: bytes) -> None:
    made = IDS.of(PROXY, {REQUEST_ID: given_id})
    assert re.fullmatch(rb"[0-9a-f]{32}", made)
    trace = f"00-{TRACE_ID}-{PARENT_ID}-01".encode()
    assert IDS.of(PROXY, {REQUEST_ID: given_id, TRACEPARENT: trace}) == TRACE_ID.encode()


def test_x_request_id_wins_over_traceparent() -> None:
    headers = {REQUEST_ID: b"one", TRACEPARENT: f"00-{TRACE_ID}-{PARENT_ID}-01".encode()}
    assert IDS.given(PROXY, headers) == b"one"


def test_an_untrusted_peer_gives_no_id() -> None:
    headers = {REQUEST_ID: b"one", TRACEPARENT: f"00-{TRACE_ID}-{PARENT_ID}-01".encode()}
    assert IDS.given(CLIENT, headers) is None
    assert IDS.of(CLIENT, headers) not in (b"one", TRACE_ID.encode())


def test_a_trusted_peer_may_give_none() -> None:
    assert IDS.given(PROXY, {}) is None


def test_ids_that_are_made_differ() -> None:
    assert len({new_request_id() for _ in range(10_000)}) == 10_000


@given(st.binary(max_size=80))
def test_whatever_is_sent_an_id_has_safe_characters_only(value: bytes) -> None:
    made = IDS.of(PROXY, {REQUEST_ID: value, TRACEPARENT: value})
    assert re.fullmatch(rb"[A-Za-z0-9_.-]{1,64}", made)
