"""The operations of endpoints/plugins.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.endpoints.openapi.operations import Answer, Operation
from gateway.endpoints.openapi.parameters import CONDITIONS
from gateway.errors import (
    AssetNotFound,
    InvalidToken,
    NotAuthenticated,
    PreconditionFailed,
    RequestError,
    SourceUnavailable,
    UnknownPlugin,
)
from gateway.serving.plugin_types import (
    DesignerPlugin,
    ManifestPlugin,
    Module,
    Modules,
    Plugin,
    PluginWithModules,
    StatusAnswer,
)

_FIELDS = ("ETag", "Cache-Control", "Vary")


def _answers(description: str, body: Any) -> Mapping[int, Answer]:
    return {
        200: Answer(description, body, fields=_FIELDS),
        304: Answer("The client has the current answer.", fields=_FIELDS),
    }


def _operation(
    id_: str, path: str, summary: str, body: Any, *errors: type[RequestError], text: str = ""
) -> Operation:
    common: Sequence[type[RequestError]] = (
        NotAuthenticated,
        InvalidToken,
        PreconditionFailed,
        SourceUnavailable,
    )
    return Operation(
        id_,
        "Plugins",
        "get",
        f"{{api}}/plugins/{path}",
        summary,
        _answers("The answer, about the caller alone.", body),
        (*common, *errors),
        CONDITIONS,
        security=("user",),
        description=text,
    )


# A parameter with an encoded slash makes any of these the URL of a file, which is not found.
_MISSING = (UnknownPlugin, AssetNotFound)
_BY_ID = "`{plugin}` is a database id."

OPERATIONS = (
    _operation(
        "getManifest",
        "manifest",
        "Lists the caller's enabled and installed plugins, by slug",
        dict[str, ManifestPlugin],
    ),
    _operation(
        "getDesignerManifest",
        "manifest/designer",
        "Lists the caller's enabled and installed plugins with their modules, by slug",
        dict[str, DesignerPlugin],
    ),
    _operation(
        "getPluginBySlug",
        "by-slug/{slug}",
        "Shows one plugin, enabled or not, without modules",
        Plugin,
        *_MISSING,
    ),
    _operation(
        "getPluginStatus",
        "{plugin}/status",
        "Says whether a plugin exists and its files are in order",
        StatusAnswer,
        AssetNotFound,
    ),
    _operation(
        "getPluginInfo",
        "{plugin}/info",
        "Shows one plugin with its modules",
        PluginWithModules,
        *_MISSING,
        text=_BY_ID,
    ),
    _operation(
        "listModules",
        "{plugin}/modules",
        "Lists the modules of a plugin",
        Modules,
        *_MISSING,
        text=_BY_ID,
    ),
    _operation(
        "getModule",
        "{plugin}/modules/{module}",
        "Shows one module of a plugin",
        Module,
        *_MISSING,
        text=_BY_ID,
    ),
)
