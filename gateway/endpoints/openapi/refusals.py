"""Errors as OpenAPI responses, from the classes of the error tree."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from gateway.endpoints.openapi.operations import field_references
from gateway.errors import (
    BadRequest,
    ContentTooLarge,
    HeadTooLarge,
    RequestError,
    RequestTimeout,
    TooManyConnections,
    TransferCodingUnknown,
)
from gateway.http.json_types import JsonObject

ANY_REQUEST: Sequence[type[RequestError]] = (
    BadRequest,
    RequestTimeout,
    ContentTooLarge,
    HeadTooLarge,
    TransferCodingUnknown,
    TooManyConnections,
)
"""What the server refuses before it looks for a route. Where an application has mounted the
gateway, that application's server decides about these."""
ERROR: JsonObject = {
    "type": "object",
    "description": "Why a request is refused.",
    "properties": {
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {
            "type": "string",
            "description": "A word for programs; The documentation explains each.",
        },
    },
    "required": ["detail", "code"],
    "additionalProperties": False,
}
FIELDS: Mapping[int, Sequence[str]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    416: ("Content-Range",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
"""What such an answer has beside Cache-Control."""
_BUG = {500: {"internal_error"}}


def codes_by_status(errors: Iterable[type[RequestError]]) -> dict[int, set[str]]:
    """The codes of these errors and of those that any request may get."""
    codes: defaultdict[int, set[str]] = defaultdict(set, _BUG)
    for error in (*errors, *ANY_REQUEST):
        codes[error.status].add(error.code)
    return dict(sorted(codes.items()))


def component_name(codes: Iterable[str]) -> str:
    """`AssetNotFoundOrUnknownPlugin`: answers with the same codes share components."""
    return "Or".join(code.title().replace("_", "") for code in sorted(codes))


def schema_name(codes: Iterable[str]) -> str:
    """Programs that write clients make a class of each schema: one for all answers like it."""
    return f"{component_name(codes)}Error"


def error_schema(codes: Iterable[str]) -> JsonObject:
    return {
        "allOf": [
            {"$ref": "#/components/schemas/Error"},
            {"properties": {"code": {"enum": sorted(codes)}}},
        ]
    }


def error_reference(codes: Iterable[str]) -> JsonObject:
    return {"$ref": f"#/components/schemas/{schema_name(codes)}"}


def error_response(status: int, codes: Iterable[str]) -> JsonObject:
    return {
        "description": HTTPStatus(status).phrase,
        "headers": field_references(("Cache-Control", *FIELDS.get(status, ()))),
        "content": {"application/json": {"schema": error_reference(codes)}},
    }
