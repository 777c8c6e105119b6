"""The OpenAPI document of a gateway that gives everything, and answers held against it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from gateway.application import Gateway
from gateway.settings import Settings
from tests.support.site import SECRET

Document = dict[str, Any]
METHODS = {"get", "post", "put", "patch", "delete"}


def gateway_with_everything(folder: Path, **sections: Any) -> Gateway:
    """With every route that any setting gives, unless `sections` say otherwise."""
    settings = {
        "database": {"url": f"sqlite:///{folder / 'gateway.db'}"},
        "access": {"changes": "users"},
        "identity": {"jwt": {"secret": SECRET}, "signed": {"secret": SECRET}},
        **sections,
    }
    return Gateway(Settings.model_validate(settings))


def operations_of(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Path, method and operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def references_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from references_in(part)


def resolve(document: Document, value: Document) -> Document:
    """What a reference refers to; a value that is none, as it is."""
    if "$ref" not in value:
        return value
    found: Any = document
    for key in value["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return dict(found)


def problems(document: Document, path: str, method: str, status: int, content: Any) -> list[str]:
    """What is wrong with the JSON of an answer. Keys that the document does not name are, too."""
    template = next(it for it in document["paths"] if _matches(it, path))
    operation = document["paths"][template][method]
    response = resolve(document, operation["responses"][str(status)])
    schema = response["content"]["application/json"]["schema"]
    components = {"components": {"schemas": _closed(document["components"]["schemas"])}}
    validator = jsonschema_rs.Draft202012Validator({**schema, **components})
    return [str(error) for error in validator.iter_errors(content)]


def without_required(value: Any) -> Any:
    """The document, or a part of it, for an answer of which only some keys are shown."""
    if isinstance(value, dict):
        return {key: without_required(part) for key, part in value.items() if key != "required"}
    return [without_required(part) for part in value] if isinstance(value, list) else value


def _matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path) is not None


def _closed(schemas: Document) -> Document:
    closed = {"additionalProperties": False}
    return {
        name: {**closed, **schema} if "properties" in schema else schema
        for name, schema in schemas.items()
    }
