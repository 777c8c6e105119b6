"""Requests that change something: their bodies, bounded and checked, and their origins."""

from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from gateway.errors import ContentTooLarge, InvalidRequest, OriginNotAllowed
from gateway.http.cors import NO_ORIGINS, CorsPolicy
from gateway.http.request_reader import MAX_BODY_BYTES


class Body(BaseModel):
    """A JSON object with these keys and no others."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


def refuse_foreign_page(request: Request, cors: CorsPolicy = NO_ORIGINS) -> None:
    """Refuses requests that a page of another site makes a browser send (CSRF).

    If a proxy in front takes a cookie as the credential, the browser sends that cookie too. `cors`:
    whose pages may ask beside the gateway's own.

    Raises: OriginNotAllowed.
    """
    origin = request.headers.get("origin")
    if (
        origin is None  # not sent by a page
        or request.headers.get("sec-fetch-site") == "same-origin"
        or cors.allows(origin.encode("latin-1"))
        or _host(origin) == request.headers.get("host", "")
    ):
        return
    raise OriginNotAllowed


def _host(origin: str) -> str | None:
    """The host of an origin, with its port; None if no page can have that origin."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


async def read_body(request: Request, body_type: type[B]) -> B:
    """The JSON body; an empty body counts as `{}`. Raises: ContentTooLarge, InvalidRequest."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise ContentTooLarge
    try:
        return body_type.model_validate_json(content or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidRequest(f"{where}: {first['msg']}") from None
