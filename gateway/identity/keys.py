"""The keys of `identity.jwt`: the HMAC secret, and the PEM file with a public or private key."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key that fits its algorithm."""

    algorithm: jwt.algorithms.Algorithm
    key: Any

    @classmethod
    def fitting(cls, algorithm_name: str, key: Any) -> "VerifyingKey":
        """Raises: PyJWTError or TypeError, for a key of another kind: above all, an HMAC secret
        that is a public key, which everybody has.
        """
        algorithm = jwt.get_algorithm_by_name(algorithm_name)
        return cls(algorithm, algorithm.prepare_key(key))

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        return self.algorithm.verify(signed, self.key, signature)


def verifying_keys(settings: Settings) -> Mapping[str, VerifyingKey]:
    """By the names of the accepted algorithms: those for which the settings hold a key.

    Raises: ConfigurationError, if an accepted algorithm has no key, and no key set may have one.
    """
    section = settings.identity.jwt
    symmetric = [name for name in section.algorithms if name.startswith("HS")]
    asymmetric = [name for name in section.algorithms if not name.startswith("HS")]
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
    keys = _fitting(symmetric, section.secret)
    if len(keys) < len(symmetric):
        raise ConfigurationError(
            "identity.jwt.secret: expected a secret, not a key for RS, ES or EdDSA algorithms"
        )
    if asymmetric and section.key_file:
        public_keys = _fitting(asymmetric, _public_key(settings))
        if not public_keys:
            raise ConfigurationError(
                f"identity.jwt.key_file: {section.key_file} is no key"
                f" for {', '.join(section.algorithms)}"
            )
        keys |= public_keys
    return keys


def _fitting(algorithm_names: Iterable[str], key: Any) -> dict[str, VerifyingKey]:
    keys = {}
    for name in algorithm_names:
        with suppress(jwt.PyJWTError, TypeError):
            keys[name] = VerifyingKey.fitting(name, key)
    return keys


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
