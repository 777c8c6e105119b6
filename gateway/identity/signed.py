"""A capability in the path, for script tags and CDNs: they send no header.

    {api}/signed/<payload>.<mac>/plugins/{plugin}/…

`payload` is base64url(JSON [user, slug, expiry in seconds since the epoch]), `mac` is
base64url(HMAC-SHA-256 of `payload`). Chunk URLs resolve relative to the entry, so they keep both.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import orjson

from gateway.errors import ConfigurationError, InvalidRequest, InvalidToken
from gateway.names import Slug, UserId, parse_slug, parse_user_id
from gateway.settings import Settings, SignedSettings


@dataclass(frozen=True, slots=True)
class Capability:
    """What a valid token permits: one user's view of one plugin, until a moment."""

    user: UserId
    slug: Slug
    expires_s: int


class SignedPaths:
    """Makes and checks the tokens of one secret."""

    def __init__(self, settings: SignedSettings) -> None:
        self._secret = settings.secret.encode()
        self._max_ttl_s = settings.max_ttl

    @property
    def enabled(self) -> bool:
        return bool(self._secret)

    def sign(self, user: UserId, slug: Slug, ttl_s: int, now: float) -> str:
        """Raises: InvalidRequest, unless `ttl_s` is from 1 to `identity.signed.max_ttl`."""
        if not 0 < ttl_s <= self._max_ttl_s:
            raise InvalidRequest(f"the ttl must be between 1 and {self._max_ttl_s} seconds")
        payload = _encode(orjson.dumps([user, slug, int(now) + ttl_s]))
        return f"{payload}.{self._mac(payload)}"

    def verify(self, token: str, now: float) -> Capability:
        """Raises: InvalidToken."""
        payload, _, mac = token.partition(".")
        if not self.enabled or not hmac.compare_digest(
            mac.encode("utf-8", "replace"), self._mac(payload).encode()
        ):
            raise InvalidToken(reason="the signed path does not verify")
        try:
            user, slug, expires_s = orjson.loads(_decode(payload))
            capability = Capability(parse_user_id(user), parse_slug(slug), int(expires_s))
        except (ValueError, TypeError, binascii.Error) as error:  # signed, but not by this code
            raise InvalidToken(reason=f"the signed path holds no capability: {error}") from None
        if capability.expires_s <= now:
            raise InvalidToken(reason="the signed path has expired")
        return capability

    def _mac(self, payload: str) -> str:
        digest = hmac.new(self._secret, payload.encode("utf-8", "replace"), hashlib.sha256)
        return _encode(digest.digest())


def sign_path(settings: Settings, user: UserId, slug: Slug, ttl_s: int | None, now: float) -> str:
    """The path of a signed URL, up to and including `{plugin}/`.

    `ttl_s`: by default `identity.signed.max_ttl`.

    Raises: ConfigurationError, without a secret; InvalidRequest, as `SignedPaths.sign`.
    """
    section = settings.identity.signed
    signed = SignedPaths(section)
    if not signed.enabled:
        raise ConfigurationError(
            "identity.signed.secret: expected a secret, signed URLs are made with it"
        )
    token = signed.sign(user, slug, section.max_ttl if ttl_s is None else ttl_s, now)
    return f"{settings.http.api_prefix}/signed/{token}/plugins/{slug}/"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
