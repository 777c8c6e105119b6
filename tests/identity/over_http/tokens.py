"""Tokens of every kind, and whom an answer was made for."""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.server import Answer, Server
from tests.support.site import ADA, BEN, SECRET
from tests.support.urls import own

VERSIONS = {ADA: b"Review 1.0.0", BEN: b"Review 1.0.1"}
JWT = "GATEWAY__IDENTITY__JWT__"
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
    parts = [base64url(json.dumps(part).encode()) for part in (header, claims)]
    signature = hmac.new(secret, ".".join(parts).encode(), f"sha{bits}").digest()
    return ".".join([*parts, base64url(signature)])


def base64url(content: bytes) -> str:
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


HS256 = {"alg": "HS256", "typ": "JWT"}


def published(algorithm: str, kid: str) -> dict[str, Any]:
    key = KEYS[algorithm].public_key()
    if isinstance(key, rsa.RSAPublicKey):
        document = RSAAlgorithm.to_jwk(key, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        document = ECAlgorithm.to_jwk(key, as_dict=True)
    else:
        document = OKPAlgorithm.to_jwk(key, as_dict=True)
    return {**document, "kid": kid, "use": "sig"}
