"""Bearer tokens that are verified with a public key in a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.identity.over_http.tokens import (
    HS256,
    JWT,
    KEYS,
    ask,
    ask_with,
    assert_is,
    assert_unknown,
    claims_of,
    forged,
    public_pem,
    signed_by,
)
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, Site, bearer, token

pytestmark = pytest.mark.slow


AUDIENCE, ISSUER = "the-gateway", "https://identity.example"


def private_pem(algorithm: str) -> bytes:
    return KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


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
