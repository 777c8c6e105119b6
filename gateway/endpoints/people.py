"""`/-/users`: which users have which plugins at which versions, for administrators."""

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.endpoints.queries import Admission, Query
from gateway.http.answers import json_answer
from gateway.identity.callers import Callers
from gateway.serving.user_listing import UserListing

USUAL_LIMIT, MAX_LIMIT = 50, 100
MAX_CHARACTERS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class People:
    """The route of the users."""

    def __init__(self, listing: UserListing, callers: Callers, admission: Admission) -> None:
        self._listing = listing
        self._callers = callers
        self._admission = admission
        self.route = Route("/-/users", self._show)

    async def _show(self, request: Request) -> Response:
        await self._callers.require_administrator(request.scope)
        query = Query(request, "search", "after", "limit")
        search, after = query.parsed("search", _parse_search), query.parsed("after", _parse_after)
        limit = query.count("limit", USUAL_LIMIT, MAX_LIMIT)
        with self._admission.admitted():
            return json_answer(await self._listing.page(search, after, limit))


def _parse_search(text: object) -> str:
    """Raises: ValueError."""
    if len(str(text)) > MAX_CHARACTERS or _CONTROL.search(str(text)):
        raise ValueError(
            f"expected at most {MAX_CHARACTERS} characters, without control characters"
        )
    return str(text)


def _parse_after(text: object) -> str:
    """Raises: ValueError, for what no page gives. PostgreSQL refuses NUL."""
    if "\0" in str(text):
        raise ValueError("expected the value of the page before")
    return str(text)
