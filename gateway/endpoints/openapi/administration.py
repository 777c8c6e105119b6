"""The operations below `/-/`."""

from collections.abc import Sequence
from typing import Literal

from gateway.endpoints import auditing, people
from gateway.endpoints.bodies import Body
from gateway.endpoints.caches import CacheState, Purge, PurgeAnswer
from gateway.endpoints.explaining import Question
from gateway.endpoints.health import Alive, Readiness
from gateway.endpoints.name_forms import SLUG, USER_ID
from gateway.endpoints.openapi.files import OF_OWN
from gateway.endpoints.openapi.operations import ADMINISTRATOR, Answer, Operation, Parameter
from gateway.endpoints.openapi.parameters import IF_NONE_MATCH, in_header
from gateway.errors import (
    AdministratorRequired,
    AlreadyExamining,
    AmbiguousVersion,
    AssetNotFound,
    AssetTypeNotAllowed,
    InvalidRequest,
    InvalidToken,
    NotAuthenticated,
    OriginNotAllowed,
    PreconditionFailed,
    RequestError,
    SourceUnavailable,
    TooManyQuestions,
    TooManyStreams,
    VersionNotPublished,
    VersionRetired,
)
from gateway.http.json_types import JsonObject
from gateway.serving.explain import ExplanationAnswer
from gateway.serving.user_listing import UsersAnswer

_NOT_STORED = ("Cache-Control",)
_ADMINISTRATORS_ONLY = (NotAuthenticated, InvalidToken, AdministratorRequired, SourceUnavailable)


def _in_query(name: str, description: str, schema: JsonObject) -> Parameter:
    """An empty one counts as not given: endpoints/queries.py."""
    return Parameter(name, "query", description, schema, may_be_empty=True)


def _limit(usual: int, most: int) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return _in_query("limit", "How many are shown at most.", schema)


def _health(
    id_: str,
    path: str,
    summary: str,
    answers: dict[int, Answer],
    *errors: type[RequestError],
    parameters: Sequence[Parameter] = (),
) -> Operation:
    return Operation(id_, "Health", "get", path, summary, answers, errors, parameters)


HEALTH = (
    _health(
        "getLiveness",
        "/-/live",
        "Answers if the process does",
        {200: Answer("The process answers.", Alive, fields=_NOT_STORED)},
        parameters=(in_header("X-Gateway-Challenge", "64 hex digits: the answer has `proof`."),),
    ),
    _health(
        "getReadiness",
        "/-/ready",
        "Says whether requests can be answered, and if not, why",
        {
            200: Answer("`ready`, or `degraded`.", Readiness, fields=_NOT_STORED),
            503: Answer("`draining`, or `unavailable`.", Readiness, fields=_NOT_STORED),
        },
    ),
    _health(
        "getOpenApi",
        "/-/openapi.json",
        "Shows this document",
        {
            200: Answer("The document.", JsonObject, fields=("ETag", "Cache-Control")),
            304: Answer("The client has the current document.", fields=("ETag", "Cache-Control")),
        },
        PreconditionFailed,
        parameters=(IF_NONE_MATCH,),
    ),
    _health(
        "getPluginSchema",
        "/-/plugin.schema.json",
        "Shows the JSON Schema of a plugin's metadata, for editors",
        {
            200: Answer(
                "The schema.",
                JsonObject,
                media_type="application/schema+json",
                fields=("ETag", "Cache-Control"),
            ),
            304: Answer("The client has the current schema.", fields=("ETag", "Cache-Control")),
        },
        parameters=(IF_NONE_MATCH,),
    ),
    Operation(
        "getMetrics",
        "Health",
        "get",
        "/-/metrics",
        "Shows what all workers counted, in the Prometheus text format",
        {200: Answer("The metrics.", media_type="text/plain", fields=_NOT_STORED)},
        _ADMINISTRATORS_ONLY,
        security=ADMINISTRATOR,
        is_open=True,
        description="Peers in `observability.metrics_allow` need no credential.",
    ),
    Operation(
        "authorizeFile",
        "Health",
        "get",
        "/-/authorize",
        "Says whether a request may have its file, to a proxy that sends the file itself",
        {
            200: Answer(
                "It may.",
                fields=("Cache-Control", "X-Plugin-Root", "X-Plugin-Tree", "X-Accel-Expires"),
            )
        },
        (
            *OF_OWN,
            AdministratorRequired,
            InvalidRequest,
            AssetTypeNotAllowed,
            VersionNotPublished,
            AssetNotFound,
            AmbiguousVersion,
            VersionRetired,
            SourceUnavailable,
        ),
        (
            Parameter(
                "X-Original-URI",
                "header",
                "The path of the request, as it was received.",
                {"type": "string", "pattern": "^[!-~]+$"},
                is_required=True,
            ),
        ),
        security=("user",),
        is_open=True,
        description="For loopback, the Unix socket and trusted peers only. The credential is the"
        " one of the request that the proxy asks about.",
    ),
)


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
        (*_ADMINISTRATORS_ONLY, *errors),
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
_EXPLANATION = Answer("The decision and its steps.", ExplanationAnswer, fields=_NOT_STORED)
_EVENTS = "text/event-stream"

ADMINISTRATION = (
    _administration(
        "getCaches",
        "/-/cache",
        "Shows the caches and the versions in use, of the worker that answers",
        Answer("Entries and counts.", CacheState, fields=_NOT_STORED),
    ),
    _administration(
        "purgeCaches",
        "/-/cache/purge",
        "Makes all workers of all nodes ask their sources again",
        Answer("What was purged.", PurgeAnswer, fields=_NOT_STORED),
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
            _in_query("url", "From its path on. Alone, or with `user`.", {"type": "string"}),
            _USER,
            _in_query("plugin", "With `user` and `path`: a slug.", {"type": "string"}),
            _in_query("path", "With `user` and `plugin`: a file.", {"type": "string"}),
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
        Answer("A page of users.", UsersAnswer, fields=_NOT_STORED),
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
        Answer("The newest records.", auditing.AuditAnswer, fields=_NOT_STORED),
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
            200: Answer("Events, each with JSON.", media_type=_EVENTS, fields=_NOT_STORED),
            204: Answer("A browser connected again after the last event.", fields=_NOT_STORED),
        },
        (*_ADMINISTRATORS_ONLY, OriginNotAllowed, AlreadyExamining),
        (in_header("Last-Event-ID", "Browsers send it when they connect again."),),
        security=ADMINISTRATOR,
    ),
    _administration(
        "showConsole",
        "/-/console",
        "Shows a page with all of this",
        Answer(
            "The page.", media_type="text/html", fields=(*_NOT_STORED, "Content-Security-Policy")
        ),
    ),
    _administration(
        "watchConsole",
        "/-/console/events",
        "Sends what the console shows, live",
        Answer("Events, each with JSON.", media_type=_EVENTS, fields=_NOT_STORED),
        OriginNotAllowed,
        TooManyStreams,
        parameters=(in_header("Last-Event-ID", "The id of the newest sample that is known."),),
    ),
)
OPERATIONS = (*HEALTH, *ADMINISTRATION)
