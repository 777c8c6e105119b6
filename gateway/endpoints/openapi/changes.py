"""The operations of endpoints/lifecycle.py."""

from typing import Literal

from gateway.endpoints.bodies import Body
from gateway.endpoints.lifecycle import ChangeAnswer, Enabled, Install, ToVersion
from gateway.endpoints.name_forms import USER_ID
from gateway.endpoints.openapi.operations import Answer, Operation, Parameter
from gateway.errors import (
    AdministratorRequired,
    AlreadyInstalled,
    InvalidRequest,
    InvalidToken,
    MethodNotAllowed,
    NoEarlierVersion,
    NotAuthenticated,
    NotInstalled,
    OriginNotAllowed,
    RequestError,
    SourceUnavailable,
    TooManyChanges,
    UnknownPlugin,
    UnusableVersion,
    VersionNotPublished,
)

_USER = Parameter(
    "user",
    "query",
    "Whose plugins: an administrator may name any user. `admin.token` names no user, and needs it.",
    USER_ID,
)
_ANY_CHANGE = (
    NotAuthenticated,
    InvalidToken,
    AdministratorRequired,
    OriginNotAllowed,
    UnknownPlugin,
    InvalidRequest,
    TooManyChanges,
    SourceUnavailable,
    MethodNotAllowed,  # a plugin with an encoded slash makes it the URL of a file
)


def _operation(
    id_: str,
    method: Literal["post", "put", "patch", "delete"],
    below: str,
    summary: str,
    body: type[Body] | None,
    *errors: type[RequestError],
) -> Operation:
    return Operation(
        id_,
        "Changes",
        method,
        f"{{api}}/plugins/{{plugin}}{below}",
        summary,
        {
            200: Answer(
                "What the user has after the change.", ChangeAnswer, fields=("Cache-Control",)
            )
        },
        (*_ANY_CHANGE, *errors),
        (_USER,),
        body,
        ("user", "administrator"),
    )


_OF_VERSIONS = (VersionNotPublished, UnusableVersion)

OPERATIONS = (
    _operation(
        "installPlugin",
        "post",
        "/install",
        "Gives the user a plugin, by default at the newest published version",
        Install,
        AlreadyInstalled,
        *_OF_VERSIONS,
    ),
    _operation(
        "updatePlugin",
        "put",
        "/update",
        "Moves the user to another version, by default the newest",
        ToVersion,
        NotInstalled,
        *_OF_VERSIONS,
    ),
    _operation(
        "rollBackPlugin",
        "post",
        "/rollback",
        "Moves the user back, by default to the previous version",
        ToVersion,
        NotInstalled,
        NoEarlierVersion,
        *_OF_VERSIONS,
    ),
    _operation(
        "uninstallPlugin",
        "delete",
        "/uninstall",
        "Takes the plugin and its configuration from the user",
        None,  # `{}` is accepted, but a body of DELETE has no meaning (RFC 9110 §9.3.5)
        NotInstalled,
    ),
    _operation("enablePlugin", "patch", "", "Enables or disables a plugin", Enabled),
)
