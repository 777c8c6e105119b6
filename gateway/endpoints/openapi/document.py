"""From operations to an OpenAPI 3.1 document."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from gateway.endpoints.openapi import administration, changes, files, health, plugins
from gateway.endpoints.openapi.operations import (
    SCHEMES,
    TAGS,
    Answer,
    Operation,
    Parameter,
    field_components,
    field_references,
)
from gateway.endpoints.openapi.parameters import IN_PATH
from gateway.endpoints.openapi.refusals import (
    ERROR,
    codes_by_status,
    component_name,
    error_reference,
    error_response,
    error_schema,
    schema_name,
)
from gateway.http.json_types import JsonObject

OPERATIONS: Sequence[Operation] = (
    *plugins.OPERATIONS,
    *changes.OPERATIONS,
    *files.OPERATIONS,
    *health.OPERATIONS,
    *administration.OPERATIONS,
)
# Of the API, not of the program, which a stranger need not know.
_API_VERSION = "1"
_DESCRIPTION = """\
Front-end plugin files for many users, each at their own version.

Every GET also answers HEAD. An error is `{"detail", "code"}`, and is never cached. Any answer may
have `X-Request-ID`, the id of the request in the gateway's log.
"""
_TEMPLATE = re.compile(r"\{(\w+)\}")


def build_document(operations: Sequence[Operation], api_prefix: str) -> JsonObject:
    """The document, without `servers`. Takes 80 ms, most of it for the schemas."""
    writer = _Writer(operations)
    paths: dict[str, JsonObject] = {}
    for operation in operations:
        path = operation.path.replace("{api}", api_prefix, 1)
        paths.setdefault(path, {})[operation.method] = writer.operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Plugin-asset gateway",
            "version": _API_VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": writer.components(),
    }


class _Writer:
    """Writes operations, and collects the components that they refer to."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._schemas, self._definitions = _schemas(operations)
        uses = Counter(it for operation in operations for it in _parameters(operation))
        self._shared = {it.name: it for it, count in uses.items() if count > 1}
        self._responses: dict[str, JsonObject] = {}
        self._errors: dict[str, JsonObject] = {}

    def components(self) -> JsonObject:
        return {
            "schemas": {"Error": ERROR, **self._errors, **self._definitions},
            "responses": self._responses,
            "parameters": {name: it.as_openapi() for name, it in self._shared.items()},
            "headers": field_components(),
            "securitySchemes": dict(SCHEMES),
        }

    def operation(self, operation: Operation) -> JsonObject:
        alternatives: list[JsonObject] = [{scheme: []} for scheme in operation.security]
        written: JsonObject = {
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
            "parameters": [self._parameter(it) for it in _parameters(operation)],
            "security": [*alternatives, *([{}] if operation.is_open else [])],
            "responses": self._all_responses(operation),
        }
        if operation.description:
            written["description"] = operation.description
        if operation.body is not None:
            schema = self._schemas[operation.body, "validation"]
            written["requestBody"] = {
                "required": any(it.is_required() for it in operation.body.model_fields.values()),
                "content": {"application/json": {"schema": schema}},
            }
        return written

    def _parameter(self, parameter: Parameter) -> JsonObject:
        if self._shared.get(parameter.name) is parameter:
            return {"$ref": f"#/components/parameters/{parameter.name}"}
        return parameter.as_openapi()

    def _all_responses(self, operation: Operation) -> JsonObject:
        codes = codes_by_status(operation.errors)
        responses = {
            status: self._response(answer, codes.pop(status, ()))
            for status, answer in operation.answers.items()
        }
        for status, words in codes.items():
            name = component_name(words)
            self._errors[schema_name(words)] = error_schema(words)
            self._responses.setdefault(name, error_response(status, words))
            responses[status] = {"$ref": f"#/components/responses/{name}"}
        return {str(status): responses[status] for status in sorted(responses)}

    def _response(self, answer: Answer, codes: Iterable[str]) -> JsonObject:
        """`codes`: of the errors with the same status."""
        written: JsonObject = {
            "description": answer.description,
            "headers": field_references(answer.fields),
        }
        if answer.body is not None:
            schema = self._schemas[answer.body, "serialization"]
            if codes:
                self._errors[schema_name(codes)] = error_schema(codes)
                schema = {"anyOf": [schema, error_reference(codes)]}
            written["content"] = {answer.media_type or "application/json": {"schema": schema}}
        elif answer.media_type is not None:
            written["content"] = {answer.media_type: {}}
        return written


def _parameters(operation: Operation) -> list[Parameter]:
    in_path = [IN_PATH[name] for name in _TEMPLATE.findall(operation.path) if name != "api"]
    return [*in_path, *operation.parameters]


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which would repeat its name."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False


_Schemas = Mapping[tuple[Any, JsonSchemaMode], JsonObject]


def _schemas(operations: Iterable[Operation]) -> tuple[_Schemas, JsonObject]:
    """The schema of each type of a body, and the components that these refer to."""
    bodies: dict[tuple[Any, JsonSchemaMode], None] = {}
    for operation in operations:
        if operation.body is not None:
            bodies[operation.body, "validation"] = None
        for answer in operation.answers.values():
            if answer.body is not None:
                bodies[answer.body, "serialization"] = None
    schemas, definitions = TypeAdapter.json_schemas(
        [(body, mode, TypeAdapter(body)) for body, mode in bodies],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Untitled,
    )
    return schemas, definitions.get("$defs", {})
