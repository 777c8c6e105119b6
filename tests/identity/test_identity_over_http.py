"""Who the caller is: every way of proving it, and every way of pretending."""

import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.identity.proxy import ProxyIdentity
from gateway.settings import Proxy
from tests.support.commands import refuse_to_serve
from tests.support.keyserver import KeyServer, key_server
from tests.support.leaping import LEAP_S, LeapingServer, leaping
from tests.support.server import (
    Answer,
    Server,
    run_cli,
    serving,
    serving_on_socket,
    the_line_of,
)
from tests.support.site import ADA, BEN, CLEO, SECRET, Site, bearer, populated, token
from tests.support.urls import (
    ENTRY,
    SIGNED_ENVIRONMENT,
    SIGNED_SECRET,
    capability,
    own,
    public,
    signed,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

VERSIONS = {ADA: b"Review 1.0.0", BEN: b"Review 1.0.1"}
JWT = "GATEWAY__IDENTITY__JWT__"
AUDIENCE, ISSUER = "the-gateway", "https://identity.example"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KEYS: dict[str, PrivateKey] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def public_pem(algorithm: str) -> bytes:
    return (
        KEYS[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def private_pem(algorithm: str) -> bytes:
    return KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def claims_of(user: str, **claims: Any) -> dict[str, Any]:
    now = time.time()
    return {"sub": user, "iat": now, "exp": now + 3600.0, **claims}


def signed_by(algorithm: str, user: str = ADA, kid: str | None = None, **claims: Any) -> str:
    headers = {"kid": kid} if kid else None
    return jwt.encode(claims_of(user, **claims), KEYS[algorithm], algorithm, headers)


def forged(
    header: Mapping[str, Any], claims: Any, secret: bytes = SECRET.encode(), bits: str = "256"
) -> str:
    """A token with any header and claims, signed with HMAC whatever the header says."""
    parts = [_base64(json.dumps(part).encode()) for part in (header, claims)]
    signature = hmac.new(secret, ".".join(parts).encode(), f"sha{bits}").digest()
    return ".".join([*parts, _base64(signature)])


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def ask(server: Server, headers: Mapping[str, str] | None = None, query: str = "") -> Answer:
    return server.get(own("Review") + query, headers)


def ask_with(server: Server, bearer_token: str) -> Answer:
    return ask(server, {"Authorization": f"Bearer {bearer_token}"})


def assert_is(answer: Answer, user: str) -> None:
    """The answer is for that user: everyone here has another version."""
    assert answer.status == 200, answer.body
    assert VERSIONS[user] in answer.body


def assert_unknown(answer: Answer, code: str) -> None:
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["cache-control"] == "no-store"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return populated(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Server]:
    """A secret, as BrainDrive has it, and signed URLs."""
    settings = {f"{JWT}ALGORITHMS": "HS256,HS384,HS512", **SIGNED_ENVIRONMENT}
    with serving({**site.environment, **settings}) as running:
        yield running


# Bearer tokens with a secret


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


HS256 = {"alg": "HS256", "typ": "JWT"}
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
    "a header that is a list": ".".join([_base64(b"[]"), *token(ADA).split(".")[1:]]),
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


# Key files


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    for algorithm in KEYS:
        (folder / f"{algorithm}.pem").write_bytes(public_pem(algorithm))
        (folder / f"{algorithm}-private.pem").write_bytes(private_pem(algorithm))
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def rsa_server(site: Site, key_files: dict[str, Path]) -> Iterator[Server]:
    """An RSA public key beside an HMAC secret, and an algorithm that no key here fits."""
    settings = {
        f"{JWT}ALGORITHMS": "RS256,HS256,ES256",
        f"{JWT}KEY_FILE": str(key_files["RS256"]),
    }
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def ec_server(site: Site, key_files: dict[str, Path]) -> Iterator[Server]:
    """Also wants an audience and an issuer."""
    settings = {
        f"{JWT}ALGORITHMS": "ES256",
        f"{JWT}KEY_FILE": str(key_files["ES256"]),
        f"{JWT}AUDIENCE": AUDIENCE,
        f"{JWT}ISSUER": ISSUER,
        f"{JWT}SECRET": "",
    }
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def ed_server(site: Site, key_files: dict[str, Path]) -> Iterator[Server]:
    """A private key: the gateway takes the public half of it."""
    settings = {
        f"{JWT}ALGORITHMS": "EdDSA",
        f"{JWT}KEY_FILE": str(key_files["EdDSA-private"]),
        f"{JWT}SECRET": "",
    }
    with serving({**site.environment, **settings}) as running:
        yield running


def test_rs256_is_verified_with_the_key_file(rsa_server: Server) -> None:
    assert_is(ask_with(rsa_server, signed_by("RS256", BEN)), BEN)
    assert_is(ask(rsa_server, bearer(ADA)), ADA)  # HS256, with the secret beside it


def test_es256_is_verified_with_the_key_file(ec_server: Server) -> None:
    assert_is(ask_with(ec_server, signed_by("ES256", BEN, aud=AUDIENCE, iss=ISSUER)), BEN)


def test_eddsa_is_verified_with_the_key_file(ed_server: Server) -> None:
    assert_is(ask_with(ed_server, signed_by("EdDSA", BEN)), BEN)


@pytest.mark.parametrize(
    ("audience", "issuer", "accepted"),
    [
        (AUDIENCE, ISSUER, True),
        ([AUDIENCE, "other"], ISSUER, True),
        ("other", ISSUER, False),
        (["other"], ISSUER, False),
        (AUDIENCE, "https://other.example", False),
        (AUDIENCE, ISSUER + "/", False),
        ([], ISSUER, False),
        ("", ISSUER, False),
        (AUDIENCE, "", False),
    ],
)
def test_audience_and_issuer_must_be_the_configured_ones(
    ec_server: Server, audience: Any, issuer: str, accepted: bool
) -> None:
    answer = ask_with(ec_server, signed_by("ES256", aud=audience, iss=issuer))
    if accepted:
        assert_is(answer, ADA)
    else:
        assert_unknown(answer, "invalid_token")


@pytest.mark.parametrize("missing", [{"aud": AUDIENCE}, {"iss": ISSUER}, {}])
def test_a_token_without_audience_or_issuer_is_refused(
    ec_server: Server, missing: dict[str, str]
) -> None:
    assert_unknown(ask_with(ec_server, signed_by("ES256", **missing)), "invalid_token")


def test_a_public_key_is_no_hmac_secret(rsa_server: Server, ec_server: Server) -> None:
    """The classic confusion: everyone has the public key, so it must sign nothing."""
    for running, algorithm in ((rsa_server, "RS256"), (ec_server, "ES256")):
        pem = public_pem(algorithm)
        der = (
            KEYS[algorithm]
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        )
        for secret in (pem, pem.rstrip(), der, b""):
            claims = claims_of(ADA, aud=AUDIENCE, iss=ISSUER)
            assert_unknown(ask_with(running, forged(HS256, claims, secret)), "invalid_token")


def test_a_token_of_another_key_is_refused(rsa_server: Server, ed_server: Server) -> None:
    other_rsa = rsa.generate_private_key(65537, 2048)
    other_ed = ed25519.Ed25519PrivateKey.generate()
    for running, proof in (
        (rsa_server, jwt.encode(claims_of(ADA), other_rsa, "RS256")),
        (ed_server, jwt.encode(claims_of(ADA), other_ed, "EdDSA")),
        (ed_server, signed_by("RS256")),
        (ed_server, token(ADA)),
    ):
        assert_unknown(ask_with(running, proof), "invalid_token")


def test_a_key_of_another_kind_than_the_algorithm_is_a_refusal_and_no_fault(
    rsa_server: Server,
) -> None:
    """ES256 is accepted there, and the key is an RSA key."""
    assert_unknown(ask_with(rsa_server, signed_by("ES256")), "invalid_token")


# Published keys


def published(algorithm: str, kid: str) -> dict[str, Any]:
    key = KEYS[algorithm].public_key()
    if isinstance(key, rsa.RSAPublicKey):
        document = RSAAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        document = ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        document = OKPAlgorithm.to_jwk(key, as_dict=True)
    return {**document, "kid": kid, "use": "sig"}


def jwks_settings(keys: KeyServer) -> dict[str, str]:
    return {
        f"{JWT}ALGORITHMS": "RS256,ES256,EdDSA",
        f"{JWT}JWKS_URL": keys.url,
        f"{JWT}SECRET": "",
    }


@pytest.fixture(scope="module")
def keys() -> Iterator[KeyServer]:
    with key_server() as running:
        running.publish(*(published(algorithm, f"first-{algorithm}") for algorithm in KEYS))
        yield running


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


# Proxy and development


@pytest.fixture(scope="module")
def chained(site: Site) -> Iterator[Server]:
    settings = {"GATEWAY__IDENTITY__CHAIN": "jwt,proxy,dev"}
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def reversed_chain(site: Site) -> Iterator[Server]:
    settings = {
        "GATEWAY__IDENTITY__CHAIN": "dev,proxy,jwt",
        "GATEWAY__IDENTITY__PROXY__HEADER": "X-Remote-User",
        "GATEWAY__IDENTITY__PROXY__TRUSTED": "127.0.0.0/8,::1",
    }
    with serving({**site.environment, **settings}) as running:
        yield running


@pytest.fixture(scope="module")
def distrustful(site: Site) -> Iterator[Server]:
    """Believes a proxy that is somewhere else."""
    settings = {
        "GATEWAY__IDENTITY__CHAIN": "proxy,jwt",
        "GATEWAY__IDENTITY__PROXY__TRUSTED": "10.0.0.0/8,192.0.2.1,unix",
    }
    with serving({**site.environment, **settings}) as running:
        yield running


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


def test_in_development_the_caller_says_who_he_is(chained: Server) -> None:
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


@pytest.mark.parametrize(
    ("client", "server", "trusted", "expected"),
    [
        (("10.1.2.3", 1), ("0.0.0.0", 80), ["10.0.0.0/8"], True),
        (("::ffff:10.1.2.3", 1), ("::", 80), ["10.0.0.0/8"], True),
        (("::ffff:192.0.2.1", 1), ("::", 80), ["10.0.0.0/8"], False),
        (("2001:db8::1", 1), ("::", 80), ["2001:db8::/32"], True),
        (None, ("/run/gateway.sock", None), ["unix"], True),
        (None, ("/run/gateway.sock", None), ["0.0.0.0/0", "::/0"], False),
        (None, ("127.0.0.1", 80), ["unix", "0.0.0.0/0"], False),
        (None, None, ["unix"], False),
        (("testclient", 1), ("testserver", 80), ["unix", "0.0.0.0/0"], False),
    ],
)
def test_whom_the_listening_side_knows_to_be_there_decides(
    client: object, server: object, trusted: list[str], expected: bool
) -> None:
    """A TCP peer that went away has no address, and is no peer of a Unix socket for that."""
    identity = ProxyIdentity(Proxy(trusted=trusted))
    assert identity.is_trusted({"client": client, "server": server}) is expected


# Signed paths


def test_a_signed_path_is_a_credential(server: Server) -> None:
    assert_is(server.get(signed(capability(BEN, "Review"), "Review")), BEN)
    assert_is(server.get(signed(capability(BEN, "Review"), f"{BEN}_Review")), BEN)


def test_chunks_beside_a_signed_entry_resolve(server: Server) -> None:
    answer = server.get(signed(capability(BEN, "Review"), "Review", "dist/1.js"))
    assert answer.body == b"/* chunk of Review 1.0.1 */"


def test_an_expired_signed_path_is_refused(server: Server) -> None:
    old = capability(ADA, "Review", ttl_s=60, now=time.time() - 61)
    assert_unknown(server.get(signed(old, "Review")), "invalid_token")


def test_every_character_of_a_signed_token_counts(server: Server) -> None:
    honest = capability(ADA, "Review")
    for position, character in enumerate(honest):
        other = "B" if character == "A" else "A"
        tampered = honest[:position] + other + honest[position + 1 :]
        assert server.get(signed(tampered, "Review")).status in (401, 404), position
    for tampered in (honest + "=", honest + "A", honest[:-1], honest + ".", honest.upper()):
        assert_unknown(server.get(signed(tampered, "Review")), "invalid_token")


def test_a_signed_path_is_for_one_user_one_plugin_and_one_secret(server: Server) -> None:
    ada = capability(ADA, "Review")
    payload, _, mac = ada.partition(".")
    cleo_payload = capability(CLEO, "Eyes").partition(".")[0]
    eyes_payload = capability(ADA, "Eyes").partition(".")[0]
    forged_mac = _base64(hmac.new(b"guess", payload.encode(), hashlib.sha256).digest())
    for token_text, plugin in (
        (ada, "Eyes"),
        (ada, f"{ADA}_Eyes"),
        (ada, f"{BEN}_Review"),
        (f"{cleo_payload}.{mac}", "Eyes"),
        (f"{eyes_payload}.{mac}", "Eyes"),
        (f"{payload}.{forged_mac}", "Review"),
        (token(ADA), "Review"),
    ):
        answer = server.get(signed(token_text, plugin))
        assert answer.status in (401, 404), (token_text, plugin)
        assert VERSIONS[ADA] not in answer.body
        assert VERSIONS[BEN] not in answer.body


def test_a_signed_path_gives_no_more_than_its_user_has(server: Server) -> None:
    answer = server.get(signed(capability(CLEO, "Eyes"), "Eyes"))
    assert (answer.status, answer.code) == (404, "plugin_disabled")
    answer = server.get(signed(capability(CLEO, "Review"), "Review"))
    assert (answer.status, answer.code) == (404, "not_installed")


def test_a_signed_token_is_no_bearer_token(server: Server) -> None:
    assert_unknown(ask_with(server, capability(ADA, "Review")), "invalid_token")


# What stops the start

START_REFUSALS: dict[str, tuple[dict[str, str], str]] = {
    "no secret": ({f"{JWT}SECRET": ""}, "identity.jwt.secret"),
    "no key file": ({f"{JWT}ALGORITHMS": "RS256"}, "identity.jwt.key_file"),
    "a key file that is not there": (
        {f"{JWT}ALGORITHMS": "RS256", f"{JWT}KEY_FILE": "/nonexistent/key.pem"},
        "identity.jwt.key_file",
    ),
    "a key file without a key": (
        {f"{JWT}ALGORITHMS": "ES256", f"{JWT}KEY_FILE": __file__},
        "identity.jwt.key_file",
    ),
    "the algorithm none": ({f"{JWT}ALGORITHMS": "none"}, "algorithms"),
    "no algorithm": ({f"{JWT}ALGORITHMS": ""}, "algorithms"),
    "an empty chain": ({"GATEWAY__IDENTITY__CHAIN": ""}, "chain"),
    "an unknown way": ({"GATEWAY__IDENTITY__CHAIN": "jwt,cookie"}, "chain"),
    "a peer that is no address": (
        {"GATEWAY__IDENTITY__PROXY__TRUSTED": "proxy.example"},
        "trusted",
    ),
    "dev on all addresses": (
        {"GATEWAY__IDENTITY__CHAIN": "dev", "GATEWAY__SERVER__HOST": "0.0.0.0"},
        "loopback",
    ),
    "dev on all addresses, behind others": (
        {"GATEWAY__IDENTITY__CHAIN": "jwt,dev", "GATEWAY__SERVER__HOST": "::"},
        "loopback",
    ),
    "dev on a public address": (
        {"GATEWAY__IDENTITY__CHAIN": "dev", "GATEWAY__SERVER__HOST": "192.0.2.1"},
        "loopback",
    ),
}


@pytest.mark.parametrize("name", START_REFUSALS)
def test_a_setting_that_could_not_be_safe_stops_the_start(site: Site, name: str) -> None:
    settings, named = START_REFUSALS[name]
    line = refuse_to_serve({**site.environment, **settings}, "serve", "--port", "0")
    assert named in line
    assert SECRET not in line
    assert SIGNED_SECRET not in line


def test_without_a_secret_the_process_ends_with_one_line(site: Site) -> None:
    settings = {**site.environment, f"{JWT}SECRET": ""}
    assert "identity.jwt.secret" in the_line_of(run_cli(settings, "serve", "--port", "0"))
