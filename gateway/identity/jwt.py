"""Bearer tokens: JSON Web Tokens (RFC 7519) whose `sub` is the user.

The settings say which algorithms are accepted, and a token chooses among them. Each family has its
own key: a public key can never serve as an HMAC secret.
"""

import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import jwt
import orjson
from cachetools import Cache, TLRUCache
from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import InvalidToken
from gateway.http.heads import Headers
from gateway.identity import IdentitySource
from gateway.identity.key_set import KeySet
from gateway.identity.keys import signing_key, verifying_keys
from gateway.names import UserId, parse_user_id
from gateway.settings import Settings

# Proxies refuse longer fields; real tokens have a few hundred bytes.
_LONGEST_TOKEN = 8192
# base64url without padding or anything else (RFC 7515 §2). PyJWT and some versions of Python's
# base64 ignore padding and foreign characters: one token would have many spellings.
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
# 395 bytes each, by tracemalloc.
_MAX_REMEMBERED = 100_000
# A key that was withdrawn from a JWKS verifies nothing after this time, whatever `exp` says.
_MAX_REMEMBERED_S = 300.0


class JwtIdentity(IdentitySource):
    """Verifies tokens and remembers their digests, never past a token's expiry."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Raises: ConfigurationError, if an accepted algorithm has no key."""
        section = settings.identity.jwt
        self._clock = clock
        self._secret, self._public_key = verifying_keys(settings)
        self._key_set = KeySet(section.jwks_url) if section.jwks_url else None
        self._algorithms = list(section.algorithms)
        self._audience = section.audience or None
        self._issuer = section.issuer or None
        self._remembered: TLRUCache[bytes, tuple[UserId, float]] = TLRUCache(
            _MAX_REMEMBERED, ttu=lambda _digest, cached, _now: cached[1], timer=clock
        )

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
        try:
            # Bypasses TLRUCache's expiry and LRU work (3 times the cost): expiry is checked below,
            # and verifying anew every 300 s approximates LRU.
            user, expires_s = Cache.__getitem__(self._remembered, digest)
        except KeyError:
            expires_s = now
        if expires_s <= now:
            user, expires_s = self._remembered[digest] = self._verify(basis, token)
        basis.limit_to(expires_s - now)
        return user

    def purge_all(self) -> None:
        """Every token is verified again."""
        self._remembered.clear()

    def _verify(self, basis: AtHand, token: bytes) -> tuple[UserId, float]:
        """(user, Unix time until which the token is believed). Raises: InvalidToken, Pending."""
        if not _COMPACT.fullmatch(token):
            raise InvalidToken(reason="the token is not three parts in base64url")
        try:
            key, algorithm = self._key_for(basis, token)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options={"verify_aud": self._audience is not None, "require": ["sub"]},
            )
            user = parse_user_id(claims["sub"])
            now = self._clock()
            expires = float(claims.get("exp", now + _MAX_REMEMBERED_S))
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,  # a key of another kind
            OverflowError,  # a moment beyond any float
            RecursionError,  # JSON nested too deeply
        ) as error:
            raise InvalidToken(reason=f"the token does not verify: {error}") from None
        return user, min(expires, now + _MAX_REMEMBERED_S)

    def _key_for(self, basis: AtHand, token: bytes) -> tuple[Any, str]:
        header = _unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in self._algorithms:
            raise InvalidToken(reason=f"algorithm {algorithm} is not accepted")
        if algorithm.startswith("HS"):
            return self._secret, algorithm
        if self._public_key is not None:
            return self._public_key, algorithm
        if self._key_set is None:
            raise InvalidToken(reason=f"there is no key for {algorithm}")
        return self._key_set.find(basis, header.get("kid")), algorithm


def _unverified_header(token: bytes) -> Mapping[str, Any]:
    """The JOSE header, which names the key. PyJWT's function for it decodes the whole token, which
    takes as long as verifying it. Raises: ValueError.
    """
    encoded = token.partition(b".")[0]
    header = orjson.loads(urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)))
    if not isinstance(header, dict) or not isinstance(header.get("kid"), str | None):
        raise ValueError("the header is malformed")
    return header


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
