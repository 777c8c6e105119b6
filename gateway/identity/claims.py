"""What the claims of a token must say (RFC 7519 §4.1).

These are the rules of PyJWT, which checks claims only together with a signature. A test holds the
two against each other.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.names import UserId, parse_user_id


@dataclass(frozen=True, slots=True)
class ClaimsRules:
    audience: str
    """Required in `aud`; empty: any."""
    issuer: str
    """Required as `iss`; empty: any."""

    def apply(self, claims: Mapping[str, Any], now: float) -> tuple[UserId, float]:
        """(user, Unix time of expiry; infinite without `exp`).

        Raises: ValueError, TypeError, OverflowError.
        """
        for name in ("iat", "nbf"):
            if name in claims and int(claims[name]) > now:
                raise ValueError(f"The token is not yet valid ({name})")
        expires_s = float(int(claims["exp"])) if "exp" in claims else math.inf
        if expires_s <= now:
            raise ValueError("Signature has expired")
        if self.issuer and claims.get("iss") != self.issuer:
            raise ValueError("Invalid issuer")
        if self.audience and not self._is_for_audience(claims.get("aud")):
            raise ValueError("Invalid audience")
        if not isinstance(claims.get("jti", ""), str):
            raise ValueError("jti is no text")
        return parse_user_id(claims.get("sub")), expires_s

    def _is_for_audience(self, aud: object) -> bool:
        if isinstance(aud, list):
            return self.audience in aud and all(isinstance(each, str) for each in aud)
        return aud == self.audience
