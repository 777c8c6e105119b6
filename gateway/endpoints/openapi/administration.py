"""The operations of administrators."""

from collections.abc import Sequence
from typing import Literal

from gateway.endpoints import auditing, people
from gateway.endpoints.bodies import Body
from gateway.endpoints.caches import CacheState, Purge, PurgeAnswer
from gateway.endpoints.explaining import Question
from gateway.endpoints.name_forms import SLUG, USER_ID
from gateway.endpoints.openapi.operations import (
    ADMINISTRATOR,
    ADMINISTRATORS_ONLY,
    NOT_STORED,
    TEXT,
    Answer,
    Operation,
    Parameter,
)
from gateway.endpoints.openapi.parameters import in_header
from gateway.errors import (
    AlreadyExamining,
    InvalidRequest,
    OriginNotAllowed,
    RequestError,
    TooManyQuestions,
    TooManyStreams,
)
from gateway.http.json_types import JsonObject
from gateway.serving.explain import ExplanationAnswer
from gateway.serving.user_listing import UsersAnswer


def _in_query(name: str, description: str, schema: JsonObject) -> Parameter:
    """An empty one counts as not given: endpoints/queries.py."""
    return Parameter(name, "query", description, schema, may_be_empty=True)


def _limit(usual: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return _in_query("limit", "How many are shown at most.", schema)


def _administration(
    id_: str,
    path: str,
    summary: str,
    answer: Answer,
    *errors: type[RequestError],
    parameters: Sequence[Parameter] = (),
    method: Literal["get", "post"] = "get",
    body: type[Body] | None = None,
) -> Operation:
    return Operation(
        id_,
        "Administration",
        method,
        path,
        summary,
        {200: answer},
        (*ADMINISTRATORS_ONLY, *errors),
        parameters,
        body,
        ADMINISTRATOR,
    )


_USER = _in_query("user", "A user's id.", USER_ID)
_DURATION = {"type": "string", "pattern": "^[0-9]{1,5}[smhdw]$"}
_MOMENT = {
    "anyOf": [_DURATION, *({"type": "string", "format": it} for it in ("date", "date-time"))]
}
_NO_CONTROLS = {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}
_NO_NUL = {"type": "string", "pattern": r"^[^\u0000]*$"}
_EXPLANATION = Answer("The decision and its steps.", ExplanationAnswer, fields=NOT_STORED)
_EVENTS = "text/event-stream"

OPERATIONS = (
    _administration(
        "getCaches",
        "/-/cache",
        "Shows the caches and the versions in use, of the worker that answers",
        Answer("Entries and counts.", CacheState, fields=NOT_STORED),
    ),
    _administration(
        "purgeCaches",
        "/-/cache/purge",
        "Makes all workers of all nodes ask their sources again",
        Answer("What was purged.", PurgeAnswer, fields=NOT_STORED),
        OriginNotAllowed,
        InvalidRequest,
        method="post",
        body=Purge,
    ),
    _administration(
        "explainByQuery",
        "/-/explain",
        "Explains what a GET would be answered, and why",
        _EXPLANATION,
        InvalidRequest,
        parameters=(
            _in_query("url", "From its path on. Alone, or with `user`.", TEXT),
            _USER,
            _in_query("plugin", "With `user` and `path`: a slug.", TEXT),
            _in_query("path", "With `user` and `plugin`: a file.", TEXT),
        ),
    ),
    _administration(
        "explain",
        "/-/explain",
        "Explains what a GET would be answered, and why, also with a token or a signed URL",
        _EXPLANATION,
        OriginNotAllowed,
        InvalidRequest,
        method="post",
        body=Question,
    ),
    _administration(
        "listUsers",
        "/-/users",
        "Lists users with their plugins and versions, and why they get each of them or not",
        Answer("A page of users.", UsersAnswer, fields=NOT_STORED),
        InvalidRequest,
        TooManyQuestions,
        parameters=(
            _in_query(
                "search",
                "A part of a user's id, or of the slug or the name of a plugin.",
                {**_NO_CONTROLS, "maxLength": people.MAX_CHARACTERS},
            ),
            _in_query("after", "`after` of the page before.", _NO_NUL),
            _limit(people.USUAL_LIMIT, people.MAX_LIMIT),
        ),
    ),
    _administration(
        "listAuditRecords",
        "/-/audit",
        "Lists who changed what, and what was refused, the newest first",
        Answer("The newest records.", auditing.AuditAnswer, fields=NOT_STORED),
        InvalidRequest,
        TooManyQuestions,
        parameters=(
            _USER,
            _in_query("plugin", "A plugin's slug.", SLUG),
            _in_query("since", "A date, a time in ISO 8601, or for how long: `2h`.", _MOMENT),
            _limit(auditing.USUAL_LIMIT, auditing.MAX_LIMIT),
        ),
    ),
    Operation(
        "examineSite",
        "Administration",
        "get",
        "/-/findings",
        "Sends what `gateway doctor` finds, while it finds it",
        {
            200: Answer("Events, each with JSON.", media_type=_EVENTS, fields=NOT_STORED),
            204: Answer("A browser connected again after the last event.", fields=NOT_STORED),
        },
        (*ADMINISTRATORS_ONLY, OriginNotAllowed, AlreadyExamining),
        (in_header("Last-Event-ID", "Browsers send it when they connect again."),),
        security=ADMINISTRATOR,
    ),
    _administration(
        "showConsole",
        "/-/console",
        "Shows a page with all of this",
        Answer(
            "The page.", media_type="text/html", fields=(*NOT_STORED, "Content-Security-Policy")
        ),
    ),
    _administration(
        "watchConsole",
        "/-/console/events",
        "Sends what the console shows, live",
        Answer("Events, each with JSON.", media_type=_EVENTS, fields=NOT_STORED),
        OriginNotAllowed,
        TooManyStreams,
        parameters=(in_header("Last-Event-ID", "The id of the newest sample that is known."),),
    ),
)
