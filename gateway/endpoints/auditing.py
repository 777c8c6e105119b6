"""`/-/audit`: who changed what, and what was refused, for administrators."""

from contextlib import closing
from functools import partial
from itertools import islice
from typing import NotRequired, cast

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.disk.audit_log import AuditLog
from gateway.disk.audit_query import AuditQuery, parse_since
from gateway.endpoints.queries import Admission, Query
from gateway.errors import SourceUnavailable
from gateway.http.answers import json_answer
from gateway.http.json_types import JsonObject, TypedDict, json_object
from gateway.identity.callers import Callers
from gateway.names import parse_slug, parse_user_id

USUAL_LIMIT, MAX_LIMIT = 100, 1000


# As `Record.line` writes it. Not a class: `from` is a word of Python.
AuditRecord = TypedDict(
    "AuditRecord",
    {
        "time": str,
        "by": str,
        "via": str,
        "action": str,
        "user": str | None,
        "plugin": str | None,
        "from": str | None,
        "to": str | None,
        "result": str,
        "backup": NotRequired[str],
        "request_id": NotRequired[str],
    },
)


@json_object
class AuditAnswer(TypedDict):
    """Records of the audit log, the newest first."""

    records: list[AuditRecord]
    has_more: bool
    """Whether older records match too."""


class AuditTrail:
    """The route of the audit log."""

    def __init__(self, log: AuditLog, callers: Callers, admission: Admission) -> None:
        self._log = log
        self._callers = callers
        self._admission = admission
        self._one_at_a_time = CapacityLimiter(1)
        self.route = Route("/-/audit", self._show)

    async def _show(self, request: Request) -> Response:
        await self._callers.require_administrator(request.scope)
        parameters = Query(request, "user", "plugin", "since", "limit")
        query = AuditQuery(
            parameters.parsed("user", parse_user_id),
            parameters.parsed("plugin", parse_slug),
            parameters.parsed("since", parse_since),
        )
        limit = parameters.count("limit", USUAL_LIMIT, MAX_LIMIT)
        with self._admission.admitted():
            read = partial(self._read, query, limit)
            return json_answer(await run_sync(read, limiter=self._one_at_a_time))

    def _read(self, query: AuditQuery, limit: int) -> AuditAnswer:
        """Blocking. Raises: SourceUnavailable."""
        try:
            with closing(query.newest_records(self._log)) as records:
                found = [_as_unicode(record) for record in islice(records, limit + 1)]
        except OSError as error:
            raise SourceUnavailable(reason=f"the audit log cannot be read: {error}") from error
        return {"records": found[:limit], "has_more": len(found) > limit}


def _as_unicode(record: JsonObject) -> AuditRecord:
    """The record without half of a surrogate pair, which JSON can hold and UTF-8 cannot."""
    shown = {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in record.items()
    }
    return cast(AuditRecord, shown)
