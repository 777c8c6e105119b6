"""The gateway's operations in the document of an application that mounts it."""

from dataclasses import dataclass
from typing import Any

from gateway.http.json_types import JsonObject


def merge_openapi(
    own: JsonObject, gateways: JsonObject, prefix: str = "", *, names: str = "Gateway"
) -> JsonObject:
    """A new document: that of an application, and the operations of the gateway mounted in it.

    `own`: the application's document, such as FastAPI's `app.openapi()`; nothing in it is replaced.
    `gateways`: what `Gateway.openapi()` returns. `prefix`: the path of the mount. `names`: how the
    names of the gateway's components, operations and tags begin.

        class Application(FastAPI):
            def openapi(self) -> dict[str, Any]:
                return merge_openapi(super().openapi(), gateway.openapi(), "/assets")
    """
    added = _Renamed(gateways, names)
    components = added.components()
    return {
        **own,
        "paths": {**own.get("paths", {}), **added.paths(prefix)},
        "components": {
            kind: {**own.get("components", {}).get(kind, {}), **components.get(kind, {})}
            for kind in {**own.get("components", {}), **components}
        },
        "tags": [*own.get("tags", ()), *added.tags()],
    }


@dataclass(frozen=True, slots=True)
class _Renamed:
    """The parts of a gateway's document, under names that no other document has."""

    document: JsonObject
    names: str

    def paths(self, prefix: str) -> JsonObject:
        return {
            prefix + path: {method: self._operation(it) for method, it in operations.items()}
            for path, operations in self.document["paths"].items()
        }

    def components(self) -> JsonObject:
        return {
            kind: {self._component(name): self._with_references(it) for name, it in named.items()}
            for kind, named in self.document["components"].items()
        }

    def tags(self) -> list[JsonObject]:
        return [{**tag, "name": self._tag(tag["name"])} for tag in self.document["tags"]]

    def _operation(self, operation: JsonObject) -> JsonObject:
        return {
            **self._with_references(operation),
            "operationId": f"{self.names.lower()}_{operation['operationId']}",
            "tags": [self._tag(tag) for tag in operation["tags"]],
            "security": [
                {self._component(scheme): scopes for scheme, scopes in alternative.items()}
                for alternative in operation["security"]
            ],
        }

    def _component(self, name: str) -> str:
        return f"{self.names}{name[:1].upper()}{name[1:]}"

    def _tag(self, name: str) -> str:
        return f"{self.names}: {name}"

    def _with_references(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._with_references(it) for it in value]
        if not isinstance(value, dict):
            return value
        changed = {key: self._with_references(it) for key, it in value.items()}
        if isinstance(changed.get("$ref"), str):
            kind, _, name = changed["$ref"].rpartition("/")
            changed["$ref"] = f"{kind}/{self._component(name)}"
        return changed
