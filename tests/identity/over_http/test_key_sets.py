"""Bearer tokens that are verified with the keys an identity provider publishes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from tests.identity.over_http.tokens import (
    JWT,
    KEYS,
    ask_with,
    assert_is,
    assert_unknown,
    published,
    signed_by,
)
from tests.support.keyserver import KeyServer, key_server
from tests.support.leaping import LeapingServer, leaping
from tests.support.site import ADA, BEN, Site
from tests.support.urls import ENTRY, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def jwks_settings(keys: KeyServer) -> dict[str, str]:
    return {
        f"{JWT}ALGORITHMS": "RS256,ES256,EdDSA",
        f"{JWT}JWKS_URL": keys.url,
        f"{JWT}SECRET": "",
    }


@pytest.fixture(scope="module")
def jwks_server(site: Site, keys: KeyServer) -> Iterator[LeapingServer]:
    with leaping({**site.environment, **jwks_settings(keys)}) as running:
        yield running


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_published_key_verifies_the_token_that_names_it(
    jwks_server: LeapingServer, algorithm: str
) -> None:
    assert_is(ask_with(jwks_server, signed_by(algorithm, BEN, f"first-{algorithm}")), BEN)


def test_known_keys_are_not_fetched_again(jwks_server: LeapingServer, keys: KeyServer) -> None:
    assert_is(ask_with(jwks_server, signed_by("RS256", kid="first-RS256")), ADA)
    before = keys.fetches
    for number in range(5):
        assert_is(
            ask_with(jwks_server, signed_by("RS256", kid="first-RS256", jti=str(number))), ADA
        )
    assert keys.fetches == before


@pytest.mark.parametrize(
    ("algorithm", "named"),
    [pair for pair in product(KEYS, [*KEYS, None, "unheard-of"]) if pair[0] != pair[1]],
)
def test_a_token_that_names_another_key_is_refused(
    jwks_server: LeapingServer, algorithm: str, named: str | None
) -> None:
    kid = f"first-{named}" if named in KEYS else named
    assert_unknown(ask_with(jwks_server, signed_by(algorithm, kid=kid)), "invalid_token")


def test_a_new_key_counts_and_a_withdrawn_one_no_longer(
    jwks_server: LeapingServer, keys: KeyServer
) -> None:
    """Not within the pause that keeps unknown names from hammering the key server."""
    everything = keys.document
    try:
        keys.publish(published("ES256", "second"))
        jwks_server.leap()
        assert_is(ask_with(jwks_server, signed_by("ES256", kid="second")), ADA)
        withdrawn = signed_by("RS256", kid="first-RS256", jti="never seen")
        assert_unknown(ask_with(jwks_server, withdrawn), "invalid_token")
    finally:
        keys.document = everything


def test_unknown_names_do_not_hammer_the_key_server(
    jwks_server: LeapingServer, keys: KeyServer
) -> None:
    before = keys.fetches
    for number in range(20):
        unknown = signed_by("RS256", kid=f"unheard-of-{number}")
        assert_unknown(ask_with(jwks_server, unknown), "invalid_token")
    assert keys.fetches <= before + 1


def test_a_slow_key_server_holds_up_nobody_else(
    jwks_server: LeapingServer, keys: KeyServer
) -> None:
    """Not the event loop, and not all threads either, however many wait for it."""
    jwks_server.leap()
    keys.open_gate.clear()
    with ThreadPoolExecutor(50) as pool:
        try:
            before = keys.fetches
            waiting = [
                pool.submit(ask_with, jwks_server, signed_by("RS256", kid=f"slow-{number}"))
                for number in range(50)
            ]
            eventually(lambda: keys.fetches, lambda fetches: fetches > before)
            assert jwks_server.get("/-/live").status == 200
            for path in ("package.json", "dist/1.js", ENTRY):  # all cold
                assert jwks_server.get(public(f"{ADA}_Eyes", path)).status == 200
            assert not any(request.done() for request in waiting)
        finally:
            keys.open_gate.set()
        assert {request.result().status for request in waiting} <= {401, 503}


def test_while_the_key_server_is_down_what_is_known_goes_on(site: Site) -> None:
    with key_server() as keys:
        keys.publish(published("RS256", "known"))
        with leaping({**site.environment, **jwks_settings(keys)}) as running:
            remembered = signed_by("RS256", kid="known")
            assert_is(ask_with(running, remembered), ADA)
            keys.stop()
            running.leap()
            answer = ask_with(running, signed_by("RS256", kid="unknown"))
            assert (answer.status, answer.code) == (503, "source_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["cache-control"] == "no-store"
            assert_is(ask_with(running, remembered), ADA)
            # A key that is held verifies, although somebody named an unknown one just now.
            assert_is(ask_with(running, signed_by("RS256", kid="known", jti="new")), ADA)


def test_a_key_server_that_fails_or_talks_nonsense_is_a_source_that_failed(site: Site) -> None:
    """The token may be as good as any: its user must not be told that it is not."""
    nonsense: dict[str, tuple[int, bytes | None]] = {
        "500": (500, b"{}"),
        "404": (404, b"{}"),
        "a page": (200, b"<html>sign in</html>"),
        "nothing": (200, b""),
        "not UTF-8": (200, b"\xff\xfe{}"),
        "a list": (200, b"[]"),
        "a text for keys": (200, b'{"keys": "none"}'),
        "no keys": (200, b"{}"),
        "hangs up": (200, None),
    }
    proof = signed_by("RS256", kid="known")
    told = {}
    with key_server() as keys, leaping({**site.environment, **jwks_settings(keys)}) as running:
        for name, (keys.status, keys.document) in nonsense.items():
            told[name] = ask_with(running, proof).status
            running.leap()
        keys.status = 200
        keys.publish(published("RS256", "known"))
        assert_is(ask_with(running, proof), ADA)
    assert told == dict.fromkeys(nonsense, 503)
