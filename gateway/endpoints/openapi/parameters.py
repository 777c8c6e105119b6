"""Parameters that several operations have."""

from collections.abc import Sequence

from gateway.endpoints.name_forms import BUILD, VERSION
from gateway.endpoints.openapi.operations import TEXT, Parameter
from gateway.http.json_types import JsonObject

_ANY_PLUGIN: JsonObject = {"type": "string", "minLength": 1}


def _in_path(name: str, description: str, schema: JsonObject = TEXT) -> Parameter:
    return Parameter(name, "path", description, schema, is_required=True)


IN_PATH = {
    parameter.name: parameter
    for parameter in (
        _in_path("plugin", "A plugin's slug, or the id of its row (a database id).", _ANY_PLUGIN),
        _in_path("slug", "A plugin's slug."),
        _in_path("module", "A module's id or name."),
        _in_path(
            "path",
            "A file below the version's folder, such as `dist/remoteEntry.js`. Its slashes are sent"
            " as they are: the gateway refuses `%2F`.",
        ),
        _in_path("version", "The version of a pin.", VERSION),
        _in_path("build", "The build of a pin: a digest of the version's files.", BUILD),
        _in_path("token", "What `gateway sign` prints: user, plugin and expiry, signed."),
    )
}


def in_header(name: str, description: str) -> Parameter:
    return Parameter(name, "header", description)


IF_NONE_MATCH = in_header("If-None-Match", "ETags that the client has: 304 if one is current.")
IF_MATCH = in_header("If-Match", "ETags: 412 unless one of them is current.")
CONDITIONS: Sequence[Parameter] = (IF_NONE_MATCH, IF_MATCH)
