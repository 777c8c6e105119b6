"""The operations for load balancers, Prometheus, proxies and programs."""

from collections.abc import Sequence

from gateway.endpoints.health import Alive, Readiness
from gateway.endpoints.openapi.files import OF_OWN
from gateway.endpoints.openapi.operations import (
    ADMINISTRATOR,
    ADMINISTRATORS_ONLY,
    NOT_STORED,
    Answer,
    Operation,
    Parameter,
)
from gateway.endpoints.openapi.parameters import IF_NONE_MATCH, in_header
from gateway.errors import (
    AdministratorRequired,
    AmbiguousVersion,
    AssetNotFound,
    AssetTypeNotAllowed,
    InvalidRequest,
    PreconditionFailed,
    RequestError,
    SourceUnavailable,
    VersionNotPublished,
    VersionRetired,
)
from gateway.http.json_types import JsonObject


def _health(
    id_: str,
    path: str,
    summary: str,
    answers: dict[int, Answer],
    *errors: type[RequestError],
    parameters: Sequence[Parameter] = (),
) -> Operation:
    return Operation(id_, "Health", "get", path, summary, answers, errors, parameters)


def _kept(name: str, media_type: str = "application/json") -> dict[int, Answer]:
    """The answers with JSON that a client may keep."""
    fields = ("ETag", "Cache-Control")
    return {
        200: Answer(f"The {name}.", JsonObject, media_type=media_type, fields=fields),
        304: Answer(f"The client has the current {name}.", fields=fields),
    }


OPERATIONS = (
    _health(
        "getLiveness",
        "/-/live",
        "Answers if the process does",
        {200: Answer("The process answers.", Alive, fields=NOT_STORED)},
        parameters=(in_header("X-Gateway-Challenge", "64 hex digits: the answer has `proof`."),),
    ),
    _health(
        "getReadiness",
        "/-/ready",
        "Says whether requests can be answered, and if not, why",
        {
            200: Answer("`ready`, or `degraded`.", Readiness, fields=NOT_STORED),
            503: Answer("`draining`, or `unavailable`.", Readiness, fields=NOT_STORED),
        },
    ),
    _health(
        "getOpenApi",
        "/-/openapi.json",
        "Shows this document",
        _kept("document"),
        PreconditionFailed,
        parameters=(IF_NONE_MATCH,),
    ),
    _health(
        "getPluginSchema",
        "/-/plugin.schema.json",
        "Shows the JSON Schema of a plugin's metadata, for editors",
        _kept("schema", "application/schema+json"),
        PreconditionFailed,
        parameters=(IF_NONE_MATCH,),
    ),
    Operation(
        "getMetrics",
        "Health",
        "get",
        "/-/metrics",
        "Shows what all workers counted, in the Prometheus text format",
        {200: Answer("The metrics.", media_type="text/plain", fields=NOT_STORED)},
        ADMINISTRATORS_ONLY,
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
