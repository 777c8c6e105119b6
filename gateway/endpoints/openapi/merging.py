"""The gateway's operations in the document of an application that mounts it."""

from typing import Any

from gateway.http.json_types import JsonObject

_NAMES = "Gateway"
"""Before the names of components and operations: the application may have its own Error."""
_METHODS = {"get", "post", "put", "patch", "delete"}


def merge_openapi(own: JsonObject, gateways: JsonObject, prefix: str = "") -> JsonObject:
    """A new document: that of an application, and the operations of the gateway mounted in it.

    `own`: the application's document, such as FastAPI's `app.openapi()`. `gateways`: what
    `Gateway.openapi()` returns. `prefix`: the path of the mount. Paths, components and tags of the
    application stay as they are.

        class Application(FastAPI):
            def openapi(self) -> dict[str, Any]:
                return merge_openapi(super().openapi(), gateway.openapi(), "/assets")
    """
    added = _renamed(gateways)
    paths = {prefix + path: _with_own_ids(methods) for path, methods in added["paths"].items()}
    components = {
        kind: {**own.get("components", {}).get(kind, {}), **added["components"].get(kind, {})}
        for kind in {**own.get("components", {}), **added["components"]}
    }
    return {
        **own,
        "paths": {**own.get("paths", {}), **paths},
        "components": components,
        "tags": [*own.get("tags", ()), *added["tags"]],
    }


def _with_own_ids(methods: JsonObject) -> JsonObject:
    """Programs that write clients need operationIds that differ; readers, whose a tag is."""
    return {
        method: {
            **operation,
            "operationId": f"gateway_{operation['operationId']}",
            "tags": [f"{_NAMES}: {tag}" for tag in operation["tags"]],
        }
        for method, operation in methods.items()
        if method in _METHODS
    }


def _renamed(document: JsonObject) -> JsonObject:
    """With the prefix before the name of each component, wherever it is referred to."""
    components = {
        kind: {_NAMES + name: _with_references(it) for name, it in named.items()}
        for kind, named in document["components"].items()
    }
    tags = [{**tag, "name": f"{_NAMES}: {tag['name']}"} for tag in document["tags"]]
    return {"paths": _with_references(document["paths"]), "components": components, "tags": tags}


def _with_references(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_references(it) for it in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_references(it) for key, it in value.items()}
    if isinstance(changed.get("$ref"), str):
        kind, _, name = changed["$ref"].rpartition("/")
        changed["$ref"] = f"{kind}/{_NAMES}{name}"
    if isinstance(changed.get("security"), list):
        changed["security"] = [
            {_NAMES + scheme: scopes for scheme, scopes in alternative.items()}
            for alternative in changed["security"]
        ]
    return changed
