"""Who asks, and whom they may act for: users for themselves, administrators for anyone."""

import hmac
from base64 import b64decode
from dataclasses import dataclass

from starlette.types import Scope

from gateway.caching.basis import Basis
from gateway.errors import (
    AdministratorRequired,
    InvalidRequest,
    InvalidToken,
    NotAuthenticated,
    PasswordRequired,
)
from gateway.http.heads import Headers, joined_headers
from gateway.identity.chain import IdentityChain
from gateway.names import UserId, parse_user_id
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Caller:
    """`user` is None if the credential is the administrators' token, which names no user."""

    user: UserId | None
    is_administrator: bool

    def require_administrator(self) -> None:
        """Raises: AdministratorRequired."""
        if not self.is_administrator:
            raise AdministratorRequired

    def acts_for(self, user_id: str | None) -> UserId:
        """The user whose plugins are changed: the one with this id, or the caller.

        Raises: AdministratorRequired, if that is another user; InvalidRequest.
        """
        if user_id is None:
            if self.user is None:
                raise InvalidRequest("Expected ?user=ID: the token names no user")
            return self.user
        try:
            user = parse_user_id(user_id)
        except ValueError:
            raise InvalidRequest("user: not a user id") from None
        if user != self.user:
            self.require_administrator()
        return user


class Callers:
    """Administrators are the users in `identity.admin_users`, and whoever sends `admin.token`."""

    def __init__(self, settings: Settings, identity: IdentityChain) -> None:
        self._identity = identity
        self._administrators = frozenset(settings.identity.admin_users)
        self._token = settings.admin.token.encode()

    async def identify(self, scope: Scope, *, challenge_browser: bool = False) -> Caller:
        """`challenge_browser`: a request without a credential makes a browser ask for the token.

        Raises: NotAuthenticated, InvalidToken, SourceUnavailable.
        """
        headers = joined_headers(scope)
        if self._token and self._holds_token(headers):
            return Caller(None, is_administrator=True)
        try:
            user = await Basis.of(scope).settled(self._identity.identify, scope, headers)
        except NotAuthenticated:
            raise (
                PasswordRequired if challenge_browser and self._token else NotAuthenticated
            ) from None
        return Caller(user, is_administrator=user in self._administrators)

    async def require_administrator(self, scope: Scope, *, challenge_browser: bool = False) -> None:
        """Raises: as `identify`; AdministratorRequired."""
        caller = await self.identify(scope, challenge_browser=challenge_browser)
        caller.require_administrator()

    def _holds_token(self, headers: Headers) -> bool:
        """Whether `admin.token` is the bearer token, or the password of any user name (RFC 7617):
        browsers can send that.
        """
        try:
            scheme, _, sent = headers.get(b"authorization", b"").partition(b" ")
            token = sent.strip()
            if scheme.lower() == b"basic":
                token = b64decode(token, validate=True).partition(b":")[2]
        except ValueError:
            raise InvalidToken from None
        # In constant time: the time of a refusal must not tell how many bytes were right.
        is_equal = hmac.compare_digest(token, self._token)
        return is_equal and scheme.lower() in (b"bearer", b"basic")
