"""The keys of `identity.jwt`: the HMAC secret, and the PEM file with a public or private key."""

from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.errors import ConfigurationError
from gateway.settings import Settings


def verifying_keys(settings: Settings) -> tuple[str | None, Any | None]:
    """(HMAC secret, public key); None for what no accepted algorithm needs.

    Raises: ConfigurationError, if an accepted algorithm has no key.
    """
    section = settings.identity.jwt
    symmetric = any(name.startswith("HS") for name in section.algorithms)
    asymmetric = any(not name.startswith("HS") for name in section.algorithms)
    if symmetric and not section.secret:
        raise ConfigurationError(
            "identity.jwt.secret: expected the key of the application's tokens"
            " (there is no default; GATEWAY__IDENTITY__JWT__SECRET sets it,"
            " gateway init --with-secret makes one)"
        )
    if asymmetric and not (section.key_file or section.jwks_url):
        raise ConfigurationError(
            "identity.jwt.key_file: expected a PEM file (or jwks_url)"
            f" for {', '.join(section.algorithms)}"
        )
    public_key = _public_key(settings) if asymmetric and section.key_file else None
    if public_key is not None and not any(_fits(public_key, name) for name in section.algorithms):
        raise ConfigurationError(
            f"identity.jwt.key_file: {section.key_file} is no key"
            f" for {', '.join(section.algorithms)}"
        )
    return (section.secret if symmetric else None), public_key


def signing_key(settings: Settings) -> tuple[Any, str]:
    """(key, algorithm), of the first accepted algorithm that can sign.

    Raises: ConfigurationError, if none can.
    """
    section = settings.identity.jwt
    for algorithm in section.algorithms:
        if algorithm.startswith("HS"):
            if section.secret:
                return section.secret, algorithm
        elif section.key_file and (key := _private_key(_read_pem(settings))) is not None:
            return key, algorithm
    raise ConfigurationError(
        "identity.jwt: no key that can sign: set identity.jwt.secret"
        " (gateway init --with-secret makes one), or a private key as identity.jwt.key_file"
    )


def _fits(public_key: Any, algorithm: str) -> bool:
    if algorithm.startswith("HS"):
        return False
    try:
        jwt.get_algorithm_by_name(algorithm).prepare_key(public_key)
    except (jwt.PyJWTError, TypeError):
        return False
    return True


def _read_pem(settings: Settings) -> bytes:
    path = settings.path(settings.identity.jwt.key_file)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"identity.jwt.key_file: {path} cannot be read: {error.strerror}"
        ) from None


def _private_key(pem: bytes) -> PrivateKeyTypes | None:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _public_key(settings: Settings) -> Any:
    pem = _read_pem(settings)
    private = _private_key(pem)
    if private is not None:
        return private.public_key()
    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(
            f"identity.jwt.key_file: {settings.identity.jwt.key_file} holds no PEM key"
        ) from None
