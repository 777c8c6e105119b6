"""Bearer tokens: JSON Web Tokens (RFC 7519) whose `sub` is the user.

The settings say which algorithms are accepted, and a token chooses among them. Each family has its
own key: a public key can never serve as an HMAC secret.
"""

import re
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import jwt
import orjson
from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import InvalidToken
from gateway.http.heads import Headers
from gateway.identity import IdentitySource
from gateway.identity.claims import ClaimsRules
from gateway.identity.key_set import KeySet
from gateway.identity.keys import VerifyingKey, signing_key, verifying_keys
from gateway.names import UserId
from gateway.settings import Settings

# Proxies refuse longer fields; real tokens have a few hundred bytes.
_LONGEST_TOKEN = 8192
# base64url without padding or anything else (RFC 7515 §2). Some versions of Python's base64 ignore
# padding and foreign characters: one token would have many spellings.
_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
# The last characters that leave no unused bit set (RFC 4648 §3.5), by the length modulo 4.
_LAST_CHARACTERS = (
    frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    frozenset(b""),
    frozenset(b"AQgw"),
    frozenset(b"AEIMQUYcgkosw048"),
)
# 300 bytes each, by tracemalloc.
_MAX_REMEMBERED = 100_000
# A key that was withdrawn from a JWKS verifies nothing after this time, whatever `exp` says.
_MAX_REMEMBERED_S = 300.0
# More than one, so that the memory shrinks while fewer tokens are new than expire.
_FORGOTTEN_AT_ONCE = 2


class JwtIdentity(IdentitySource):
    """Verifies tokens and remembers their digests, never past a token's expiry.

    PyJWT has the algorithms. Its `decode` would prepare the key, and read the token in Python
    character by character, for each token: that takes five times as long.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Raises: ConfigurationError, if an accepted algorithm has no key."""
        section = settings.identity.jwt
        self._clock = clock
        self._keys = verifying_keys(settings)
        has_key_set = section.jwks_url and not section.key_file
        self._key_set = KeySet(section.jwks_url) if has_key_set else None
        self._algorithms = frozenset(section.algorithms)
        self._rules = ClaimsRules(section.audience, section.issuer)
        self._remembered: OrderedDict[bytes, tuple[UserId, float]] = OrderedDict()
        """By the digests of tokens: the user, and the Unix time until which the token is believed.
        In the order of verification, which is nearly that of expiry."""

    def identify(self, basis: AtHand, _scope: Scope, headers: Headers) -> UserId | None:
        field = headers.get(b"authorization")
        token = None if field is None else _bearer_token(field)
        if token is None:
            return None
        if len(token) > _LONGEST_TOKEN:
            raise InvalidToken(reason=f"the token is longer than {_LONGEST_TOKEN} bytes")
        now = self._clock()
        # A digest instead of the token: its size bounds the memory, and it is no credential.
        digest = sha256(token).digest()
        verified = self._remembered.get(digest)
        if verified is None or verified[1] <= now:
            verified = self._verify(basis, token, now)
            self._remember(digest, verified, now)
        user, expires_s = verified
        basis.limit_to(expires_s - now)
        return user

    def purge_all(self) -> None:
        """Every token is verified again."""
        self._remembered.clear()

    def _remember(self, digest: bytes, verified: tuple[UserId, float], now: float) -> None:
        remembered = self._remembered
        remembered[digest] = verified
        remembered.move_to_end(digest)
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest, (_, expires_s) = next(iter(remembered.items()))
            if now < expires_s and len(remembered) <= _MAX_REMEMBERED:
                break
            del remembered[oldest]

    def _verify(self, basis: AtHand, token: bytes, now: float) -> tuple[UserId, float]:
        """(user, Unix time until which the token is believed). Raises: InvalidToken, Pending."""
        parts = _COMPACT.fullmatch(token)
        if parts is None:
            raise InvalidToken(reason="the token is not three parts in base64url")
        header, claims, signature = parts.groups()
        try:
            key = self._key_for(basis, _json_object(header))
            if not key.verifies(token[: parts.end(2)], _decoded(signature)):
                raise ValueError("Signature verification failed")
            user, expires_s = self._rules.apply(_json_object(claims), now)
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,  # a key of another kind
            OverflowError,  # a moment beyond any float
        ) as error:
            raise InvalidToken(reason=f"the token does not verify: {error}") from None
        return user, min(expires_s, now + _MAX_REMEMBERED_S)

    def _key_for(self, basis: AtHand, header: Mapping[str, Any]) -> VerifyingKey:
        """Raises: InvalidToken, Pending; as `VerifyingKey.fitting`."""
        name, key_id = header.get("alg"), header.get("kid", "")
        if not isinstance(name, str) or name not in self._algorithms:
            raise InvalidToken(reason=f"algorithm {name} is not accepted")
        if "crit" in header or "b64" in header or not isinstance(key_id, str):
            raise InvalidToken(reason="the header has extensions, or a key id that is no text")
        key = self._keys.get(name)
        if key is not None:
            return key
        if self._key_set is None:
            raise InvalidToken(reason=f"there is no key for {name}")
        return VerifyingKey.fitting(name, self._key_set.find(basis, header.get("kid")))


def _json_object(part: bytes) -> dict[str, Any]:
    """Raises: ValueError."""
    value = orjson.loads(_decoded(part))
    if not isinstance(value, dict):
        raise ValueError("a part of the token is no JSON object")
    return value


def _decoded(part: bytes) -> bytes:
    """Raises: ValueError, for what base64url would spell in another way."""
    rest = len(part) % 4
    if part and part[-1] not in _LAST_CHARACTERS[rest]:
        raise ValueError("a part of the token is not in base64url")
    return urlsafe_b64decode(part + b"=" * (-rest % 4))


def _bearer_token(field: bytes) -> bytes | None:
    """The token of an Authorization field (RFC 6750 §2.1); None if it holds none."""
    scheme, _, token = field.partition(b" ")
    if scheme != b"Bearer" and scheme.lower() != b"bearer":
        return None
    return token.strip() or None


def issue_token(settings: Settings, user: UserId, ttl_s: float, now: float) -> str:
    """A token that this gateway accepts, made with its own key; for operators and the demo.

    Raises: ConfigurationError, if the settings hold no key that can sign.
    """
    section = settings.identity.jwt
    claims: dict[str, Any] = {"sub": user, "iat": now, "exp": now + ttl_s}
    if section.audience:
        claims["aud"] = section.audience
    if section.issuer:
        claims["iss"] = section.issuer
    key, algorithm = signing_key(settings)
    return jwt.encode(claims, key, algorithm)
