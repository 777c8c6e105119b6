"""Users whom a proxy names, and users who name themselves in development."""

from pathlib import Path
from uuid import UUID

import pytest

from tests.identity.over_http.tokens import ask, assert_is, assert_unknown
from tests.support.server import Server, server_of, serving_on_socket
from tests.support.site import ADA, BEN, Site, bearer, token
from tests.support.urls import own

pytestmark = pytest.mark.slow


chained = server_of({"GATEWAY__IDENTITY__CHAIN": "jwt,proxy,dev"})


reversed_chain = server_of(
    {
        "GATEWAY__IDENTITY__CHAIN": "dev,proxy,jwt",
        "GATEWAY__IDENTITY__PROXY__HEADER": "X-Remote-User",
        "GATEWAY__IDENTITY__PROXY__TRUSTED": "127.0.0.0/8,::1",
    }
)


distrustful = server_of(
    {
        "GATEWAY__IDENTITY__CHAIN": "proxy,jwt",
        "GATEWAY__IDENTITY__PROXY__TRUSTED": "10.0.0.0/8,192.0.2.1,unix",
    }
)
"""Believes a proxy that is somewhere else."""


def test_a_trusted_proxy_names_the_user(chained: Server) -> None:
    for value in (BEN, str(UUID(BEN)), f"  {BEN} "):
        assert_is(ask(chained, {"X-User-Id": value}), BEN)
    assert_is(ask(chained, {"x-user-id": BEN}), BEN)


def test_the_proxys_header_has_a_name_of_its_own(reversed_chain: Server) -> None:
    assert_is(ask(reversed_chain, {"X-Remote-User": BEN}), BEN)
    assert_unknown(ask(reversed_chain, {"X-User-Id": BEN}), "not_authenticated")
    assert_unknown(ask(reversed_chain, {"X_Remote_User": BEN}), "not_authenticated")


@pytest.mark.parametrize("value", ["", "..", "../" + ADA, f"{ADA}, {BEN}", f"{ADA}/", "a" * 5000])
def test_a_proxy_that_names_nobody_is_refused(chained: Server, value: str) -> None:
    answer = ask(chained, {"X-User-Id": value})
    assert answer.status == 401


def test_a_repeated_header_is_refused(chained: Server) -> None:
    """A client sent one, the proxy added its own: which one counts must not be guessed."""
    for name in ("X-User-Id", "X-Dev-User"):
        answer = chained.raw(
            f"GET {own('Review')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"{name}: {ADA}\r\n{name.lower()}: {BEN}\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"invalid_token" in answer


@pytest.mark.parametrize(
    "claimed",
    [
        {},
        {"X-Forwarded-For": "10.0.0.1"},
        {"X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1"},
        {"X-Forwarded-For": "192.0.2.1, 10.0.0.1", "X-Forwarded-Proto": "https"},
        {"X-Forwarded-For": "unix"},
    ],
)
def test_an_untrusted_peer_is_not_believed_whatever_it_claims(
    distrustful: Server, claimed: dict[str, str]
) -> None:
    headers = {"X-User-Id": ADA, **claimed}
    assert_unknown(ask(distrustful, headers), "not_authenticated")
    assert_is(ask(distrustful, {**headers, **bearer(BEN)}), BEN)


def test_in_development_callers_say_who_they_are(chained: Server) -> None:
    assert_is(ask(chained, {"X-Dev-User": BEN}), BEN)
    assert_is(ask(chained, query=f"?dev_user={BEN}"), BEN)
    assert_is(ask(chained, query=f"?v=1&dev_user={UUID(BEN)}"), BEN)
    assert_is(ask(chained, {"X-Dev-User": ADA}, f"?dev_user={BEN}"), ADA)
    assert_unknown(ask(chained), "not_authenticated")
    for headers, query in (({"X-Dev-User": "../x"}, ""), ({}, "?dev_user=..%2fx")):
        assert_unknown(ask(chained, headers, query), "invalid_token")


def test_the_first_of_the_chain_that_knows_the_user_decides(
    chained: Server, reversed_chain: Server
) -> None:
    """jwt, proxy, dev; and dev, proxy, jwt."""
    assert_is(ask(chained, {**bearer(ADA), "X-User-Id": BEN, "X-Dev-User": BEN}), ADA)
    assert_is(ask(chained, {"X-User-Id": ADA, "X-Dev-User": BEN}), ADA)
    headers = {**bearer(BEN), "X-Remote-User": BEN}
    assert_is(ask(reversed_chain, {**headers, "X-Dev-User": ADA}), ADA)
    assert_is(ask(reversed_chain, {**bearer(BEN), "X-Remote-User": ADA}), ADA)
    assert_is(ask(reversed_chain, bearer(ADA)), ADA)


def test_a_bad_credential_is_refused_and_not_passed_over(
    chained: Server, reversed_chain: Server
) -> None:
    """A revoked token must not become someone else's weaker proof."""
    bad = {"Authorization": f"Bearer {token(ADA, ttl_s=-1.0)}"}
    assert_unknown(ask(chained, {**bad, "X-User-Id": ADA, "X-Dev-User": ADA}), "invalid_token")
    headers = {"X-Remote-User": "../x", **bearer(ADA)}
    assert_unknown(ask(reversed_chain, headers), "invalid_token")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_peers_of_the_unix_socket_are_trusted_by_their_word(
    site: Site, tmp_path: Path, workers: str
) -> None:
    settings = {
        "GATEWAY__IDENTITY__CHAIN": "proxy",
        "GATEWAY__IDENTITY__PROXY__TRUSTED": "unix",
    }
    socket_path = tmp_path / "gateway.sock"
    with serving_on_socket(
        {**site.environment, **settings}, socket_path, "--workers", workers
    ) as running:
        assert_is(ask(running, {"X-User-Id": BEN}), BEN)
        assert_unknown(ask(running, {"X-Forwarded-For": "unix"}), "not_authenticated")


def test_peers_of_the_unix_socket_are_not_trusted_where_only_addresses_are(
    site: Site, tmp_path: Path
) -> None:
    settings = {"GATEWAY__IDENTITY__CHAIN": "proxy,jwt"}
    socket_path = tmp_path / "gateway.sock"
    with serving_on_socket({**site.environment, **settings}, socket_path) as running:
        for claimed in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            assert_unknown(ask(running, {"X-User-Id": ADA, **claimed}), "not_authenticated")
        assert_is(ask(running, {"X-User-Id": ADA, **bearer(BEN)}), BEN)
