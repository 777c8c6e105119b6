"""Bearer tokens that are signed with the secret of the application."""

import math
import time
from uuid import UUID

import pytest

from tests.identity.over_http.tokens import (
    HS256,
    VERSIONS,
    ask,
    ask_with,
    assert_is,
    assert_unknown,
    base64url,
    claims_of,
    forged,
    signed_by,
)
from tests.support.leaping import LEAP_S, leaping
from tests.support.server import Server
from tests.support.site import ADA, BEN, Site, bearer, token
from tests.support.urls import SIGNED_ENVIRONMENT, capability, own, signed

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("bits", ["256", "384", "512"])
def test_a_token_of_the_secret_names_the_user(server: Server, bits: str) -> None:
    assert_is(ask_with(server, forged({"alg": f"HS{bits}"}, claims_of(BEN), bits=bits)), BEN)


@pytest.mark.parametrize(
    "template",
    [
        "Bearer %s",
        "bearer %s",
        "BEARER %s",
        "bEaReR %s",
        "Bearer   %s",
        "Bearer %s   ",
        "  Bearer %s",
    ],
)
def test_scheme_and_white_space_are_taken_leniently(server: Server, template: str) -> None:
    answer = server.raw(
        f"GET {own('Review')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {template % token(ADA)}\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert VERSIONS[ADA] in answer


def test_times_may_be_floats(server: Server) -> None:
    now = time.time()
    for claims in ({"exp": now + 60.25, "iat": now - 0.5}, {"exp": int(now + 60), "iat": int(now)}):
        assert_is(ask(server, bearer(ADA, **claims)), ADA)


def test_a_uuid_with_dashes_means_the_id_without_them(server: Server) -> None:
    dashed = str(UUID(ADA))
    assert dashed.count("-") == 4
    assert_is(ask(server, bearer(dashed)), ADA)


def test_the_case_of_a_user_id_is_kept(server: Server) -> None:
    answer = ask(server, bearer(ADA.upper()))
    assert (answer.status, answer.code) == (404, "not_installed")


def test_claims_that_nobody_asked_for_are_passed_over(server: Server) -> None:
    assert_is(ask(server, bearer(ADA, aud="someone", iss="else", jti="1", role="x")), ADA)


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearer    ", "Basic YTpi", "Digest x", "Token abc", "Bearerx abc"],
)
def test_what_carries_no_bearer_token_is_not_authenticated(server: Server, value: str) -> None:
    assert_unknown(ask(server, {"Authorization": value}), "not_authenticated")


def test_a_token_elsewhere_than_in_its_header_counts_for_nothing(server: Server) -> None:
    proof = token(ADA)
    assert_unknown(ask(server), "not_authenticated")
    assert_unknown(ask(server, query=f"?token={proof}&access_token={proof}"), "not_authenticated")
    assert_unknown(ask(server, {"Cookie": f"access_token={proof}"}), "not_authenticated")


def test_ways_that_are_not_in_the_chain_count_for_nothing(server: Server) -> None:
    headers = {"X-User-Id": ADA, "X-Dev-User": ADA, "X-Forwarded-User": ADA}
    assert_unknown(ask(server, headers, f"?dev_user={ADA}"), "not_authenticated")


FAR = 4_000_000_000
REFUSED: dict[str, str] = {
    "one part": "x",
    "two parts": "x.y",
    "three empty parts": "..",
    "four parts": token(ADA) + ".x",
    "not base64": "!.!.!",
    "not ASCII": "\u00e9.\u00e9.\u00e9",
    "another secret": token(ADA, secret="another secret that is long enough"),
    "a cut signature": token(ADA)[:-4],
    "an empty signature": token(ADA).rpartition(".")[0] + ".",
    "expired": token(ADA, ttl_s=-1.0),
    "expired long ago": token(ADA, exp=1.5),
    "not yet valid": token(ADA, nbf=FAR),
    "no sub": token(ADA, sub=None),
    "a null sub": forged(HS256, {"sub": None, "exp": FAR}),
    "an empty sub": token(""),
    "a number for sub": forged(HS256, {"sub": 7, "exp": FAR}),
    "a list for sub": forged(HS256, {"sub": [ADA], "exp": FAR}),
    "a climbing sub": token("../" + ADA),
    "a sub with a slash": token(f"x/../user_{ADA}"),
    "a dotted sub": token(".."),
    "a sub with a NUL": token(ADA + "\0"),
    "a sub with a line break": token(ADA + "\n"),
    "a very long sub": token("a" * 5000),
    "exp as a word": forged(HS256, {"sub": ADA, "exp": "soon"}),
    "exp as null": forged(HS256, {"sub": ADA, "exp": None}),
    "exp as a list": forged(HS256, {"sub": ADA, "exp": [FAR]}),
    "exp as NaN": forged(HS256, {"sub": ADA, "exp": math.nan}),
    "exp as infinity": forged(HS256, {"sub": ADA, "exp": math.inf}),
    "exp as minus infinity": forged(HS256, {"sub": ADA, "exp": -math.inf}),
    "nbf as null": forged(HS256, {"sub": ADA, "exp": FAR, "nbf": None}),
    "nbf as infinity": forged(HS256, {"sub": ADA, "exp": FAR, "nbf": math.inf}),
    "iat as a list": forged(HS256, {"sub": ADA, "exp": FAR, "iat": []}),
    "claims that are a list": forged(HS256, [ADA]),
    "claims that are a text": forged(HS256, ADA),
    "a header that is a list": ".".join([base64url(b"[]"), *token(ADA).split(".")[1:]]),
    "alg none": forged({"alg": "none"}, claims_of(ADA)),
    "alg none, unsigned": forged({"alg": "none"}, claims_of(ADA)).rpartition(".")[0] + ".",
    "alg None": forged({"alg": "None"}, claims_of(ADA)).rpartition(".")[0] + ".",
    "alg nOnE": forged({"alg": "nOnE"}, claims_of(ADA)).rpartition(".")[0] + ".",
    "alg empty": forged({"alg": ""}, claims_of(ADA)),
    "alg missing": forged({"typ": "JWT"}, claims_of(ADA)),
    "alg null": forged({"alg": None}, claims_of(ADA)),
    "alg a list": forged({"alg": ["HS256"]}, claims_of(ADA)),
    "alg an object": forged({"alg": {}}, claims_of(ADA)),
    "alg in lower case": forged({"alg": "hs256"}, claims_of(ADA)),
    "alg RS256": forged({"alg": "RS256"}, claims_of(ADA)),
    "alg RS256, truly": signed_by("RS256"),
    "alg says HS512": forged({"alg": "HS512"}, claims_of(ADA)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_token_that_proves_nothing_is_refused(server: Server, name: str) -> None:
    answer = server.raw(
        f"GET {own('Review')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {REFUSED[name]}\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 401 "), answer
    assert b'"invalid_token"' in answer
    assert b"Review 1.0" not in answer


def test_a_second_authorization_field_is_refused(server: Server) -> None:
    """Which of the two names the user would be anyone's guess."""
    for first, second in ((ADA, BEN), (ADA, ADA)):
        answer = server.raw(
            f"GET {own('Review')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {token(first)}\r\n"
            f"Authorization: Bearer {token(second)}\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 401 ")


def test_what_is_remembered_ends_at_its_expiry(site: Site) -> None:
    """A verified token; that of a signed URL, too."""
    with leaping({**site.environment, **SIGNED_ENVIRONMENT}) as running:
        proof = {"Authorization": f"Bearer {token(ADA, ttl_s=LEAP_S - 1)}"}
        url = signed(capability(ADA, "Review", ttl_s=int(LEAP_S) - 1), "Review")
        for _ in range(3):
            assert_is(ask(running, proof), ADA)
            assert_is(running.get(url), ADA)
        running.leap()
        assert_unknown(ask(running, proof), "invalid_token")
        assert_unknown(running.get(url), "invalid_token")


def test_remembering_tells_tokens_apart_by_every_byte(server: Server) -> None:
    """The last characters of a signature can be changed in bits that decoders pass over."""
    proof = token(ADA)
    assert_is(ask_with(server, proof), ADA)
    for altered in (proof[:-1] + ("A" if proof[-1] != "A" else "B"), proof + "=", proof[:-1]):
        assert ask_with(server, altered).status in (200, 401)
    header, _, signature = proof.split(".")
    swapped = ".".join([header, token(BEN).split(".")[1], signature])
    assert_unknown(ask_with(server, swapped), "invalid_token")
