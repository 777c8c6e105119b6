"""Requests that may be answered with a difference, as tables; any other request may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoints.dictionary_requests import DictionaryRequests
from gateway.http.cors import NO_ORIGINS, CorsPolicy
from gateway.identity.peers import TrustedPeers
from tests.support.dictionaries import CODINGS, OLD, digest_of, named

REQUESTS = DictionaryRequests(
    CorsPolicy(["https://app.example"], any_localhost=False),
    TrustedPeers(["192.0.2.1", "unix"]),
    https_alone=False,
)
TCP = ("192.0.2.9", 80)
FIELDS = {
    b"host": b"app.example",
    b"accept-encoding": CODINGS.encode(),
    b"available-dictionary": named(OLD).encode(),
}


def dictionary(
    requests: DictionaryRequests = REQUESTS,
    *,
    scheme: str | None = "https",
    peer: str | None = "192.0.2.9",
    on_socket: bool = False,
    **fields: bytes,
) -> bytes | None:
    scope = {
        "client": None if peer is None else (peer, 1),
        "server": ("/run/gateway.sock", None) if on_socket else TCP,
        **({} if scheme is None else {"scheme": scheme}),
    }
    named_fields = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return requests.dictionary_of(scope, {**FIELDS, **named_fields})


def test_a_request_by_https_is_read() -> None:
    assert dictionary() == digest_of(OLD)


@pytest.mark.parametrize(
    ("peer", "on_socket", "proto", "is_secure"),
    [
        ("192.0.2.1", False, b"https", True),
        ("::ffff:192.0.2.1", False, b"https", True),
        (None, True, b"https", True),
        ("192.0.2.1", False, b"http", False),
        ("192.0.2.1", False, b"https, https", False),
        ("192.0.2.1", False, b"", False),
        ("192.0.2.2", False, b"https", False),
        (None, False, b"https", False),
    ],
)
@pytest.mark.parametrize("scheme", [None, "http"])
def test_on_clear_text_a_trusted_proxy_must_say_https(
    scheme: str | None, peer: str | None, on_socket: bool, proto: bytes, is_secure: bool
) -> None:
    found = dictionary(scheme=scheme, peer=peer, on_socket=on_socket, x_forwarded_proto=proto)
    assert (found is not None) == is_secure


def test_a_setting_stands_for_the_word_of_a_proxy() -> None:
    requests = DictionaryRequests(NO_ORIGINS, TrustedPeers([]), https_alone=True)
    assert dictionary(requests, scheme="http") == digest_of(OLD)


def test_without_cors_no_other_origin_gets_a_difference() -> None:
    requests = DictionaryRequests(NO_ORIGINS, TrustedPeers([]), https_alone=True)
    for site in (b"cross-site", b"same-site", b"none"):
        assert dictionary(requests, sec_fetch_site=site, origin=b"https://app.example") is None
    assert dictionary(requests, sec_fetch_site=b"same-origin") == digest_of(OLD)


_SITES = st.sampled_from([b"same-origin", b"same-site", b"cross-site", b"none"]) | st.binary()


@given(site=_SITES, origin=st.sampled_from([b"null", b"https://evil.example", b""]) | st.binary())
def test_no_page_of_an_origin_that_is_not_listed_gets_a_difference(
    site: bytes, origin: bytes
) -> None:
    found = dictionary(sec_fetch_site=site, origin=origin)
    assert found is None or site == b"same-origin" or origin == b"https://app.example"
