"""Development only: the caller says who he is. Loopback peers alone are believed."""

from collections.abc import Hashable, Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.types import Scope

from gateway.basis import Basis
from gateway.errors import InvalidToken
from gateway.identity import single_header
from gateway.names import UserId, parse_user_id

HEADER = b"x-dev-user"
QUERY_PARAMETER = "dev_user"


class DevIdentity:
    """The user named by the header `X-Dev-User` or the query parameter `dev_user`."""

    async def identify(self, scope: Scope, _basis: Basis) -> UserId | None:
        if not _is_loopback(scope):
            return None
        try:
            value = single_header(scope, HEADER)
            if value is not None:
                return parse_user_id(value.decode("latin-1"))
            named = parse_qs(scope["query_string"].decode("latin-1")).get(QUERY_PARAMETER)
            return parse_user_id(named[0]) if named else None
        except ValueError as error:
            raise InvalidToken(reason=str(error)) from None

    def credential(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Hashable:
        client = scope.get("client")
        return headers.get(HEADER), scope["query_string"], client[0] if client else None

    def purge_all(self) -> None:
        """Nothing is remembered."""


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ip_address(client[0]).is_loopback
    except ValueError:
        return False
