"""Development only: callers say who they are. Only loopback peers are believed."""

from urllib.parse import parse_qs

from starlette.types import Scope

from gateway.caching.basis import AtHand
from gateway.errors import InvalidToken
from gateway.http.heads import Headers
from gateway.identity import IdentitySource
from gateway.identity.peers import is_loopback
from gateway.names import UserId, parse_user_id

HEADER = b"x-dev-user"
QUERY_PARAMETER = "dev_user"


class DevIdentity(IdentitySource):
    """The user named by the header `X-Dev-User` or the query parameter `dev_user`."""

    def identify(self, _basis: AtHand, scope: Scope, headers: Headers) -> UserId | None:
        if not is_loopback(scope):
            return None
        try:
            value = headers.get(HEADER)
            if value is not None:
                return parse_user_id(value.decode("latin-1"))
            if not scope["query_string"]:
                return None
            values = parse_qs(scope["query_string"].decode("latin-1")).get(QUERY_PARAMETER)
            return parse_user_id(values[0]) if values else None
        except ValueError as error:
            raise InvalidToken(reason=str(error)) from None
