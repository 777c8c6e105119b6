"""What an operation is: one method of one URL, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.endpoints.bodies import Body
from gateway.errors import (
    AdministratorRequired,
    InvalidToken,
    NotAuthenticated,
    RequestError,
    SourceUnavailable,
)
from gateway.http.json_types import JsonObject

Tag = Literal["Files", "Plugins", "Changes", "Health", "Administration"]
TAGS: Mapping[Tag, str] = {
    "Files": "The files of plugins. Pages load them; a pinned URL names exact bytes.",
    "Plugins": "What the caller has, as JSON.",
    "Changes": "Changes of what a user has. The setting `access.changes` says who may make them.",
    "Health": "For load balancers, Prometheus, proxies and programs.",
    "Administration": "For users in `identity.admin_users`, and for whoever holds `admin.token`.",
}
Scheme = Literal["user", "administrator", "password"]
SCHEMES: Mapping[Scheme, JsonObject] = {
    "user": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token of a user, unless a proxy or an application around the gateway"
        " says who the user is.",
    },
    "administrator": {
        "type": "http",
        "scheme": "bearer",
        "description": "`admin.token`, or the token of a user in `identity.admin_users`.",
    },
    "password": {
        "type": "http",
        "scheme": "basic",
        "description": "`admin.token` as the password of any user name, for browsers.",
    },
}
ADMINISTRATOR: Sequence[Scheme] = ("administrator", "password")
ADMINISTRATORS_ONLY = (NotAuthenticated, InvalidToken, AdministratorRequired, SourceUnavailable)
"""The errors of an operation that only administrators may use."""
NOT_STORED = ("Cache-Control",)
"""The fields of an answer about this moment."""
TEXT: JsonObject = {"type": "string"}


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A part of the URL, or a header field, of a request."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    schema: JsonObject = field(default_factory=lambda: TEXT)
    is_required: bool = False
    may_be_empty: bool = False

    def as_openapi(self) -> JsonObject:
        written: JsonObject = {
            "name": self.name,
            "in": self.place,
            "description": self.description,
            "schema": self.schema,
        }
        if self.is_required:
            written["required"] = True
        if self.may_be_empty:
            written["allowEmptyValue"] = True
        return written


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is not an error of the tree."""

    description: str
    body: Any = None
    """The type of a JSON body; None: the body is not JSON, or there is none."""
    media_type: str | None = None
    """None: `application/json`, or there is no body."""
    fields: Sequence[str] = ()
    """Names of header fields, which FIELDS explains."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one URL."""

    id: str
    tag: Tag
    method: Literal["get", "post", "put", "patch", "delete"]
    path: str
    """As in docs/reference/urls.md: `{api}/plugins/{plugin}/status`."""
    summary: str
    answers: Mapping[int, Answer]
    errors: Sequence[type[RequestError]] = ()
    """Those of this operation, beside those that any request may get."""
    parameters: Sequence[Parameter] = ()
    """Beside those of the path."""
    body: type[Body] | None = None
    """The JSON body that it takes."""
    security: Sequence[Scheme] = ()
    """Any one of these; none: it needs no credential."""
    is_open: bool = False
    """Whether a caller without a credential may be answered too."""
    description: str = ""
    route: str | None = None
    """The path of the route that answers, if that is another one."""


# Header fields of answers


_FIELD_TEXTS = {
    "ETag": "Strong, made from the content, equal on every node.",
    "Last-Modified": "When the file was written.",
    "Cache-Control": "Who may keep the answer, and for how long.",
    "Vary": "On which fields of the request the answer depends.",
    "Use-As-Dictionary": "For which URLs a browser may use the file as a dictionary (RFC 9842).",
    "Accept-Ranges": "`bytes`: parts of the file may be asked for.",
    "Content-Range": "The part that is sent; in a 416 the size of the file.",
    "WWW-Authenticate": "The kind of credential that is expected.",
    "Allow": "The methods that the URL takes.",
    "Retry-After": "After how many seconds the same request may succeed.",
    "Content-Security-Policy": "The scripts and styles of the page, and no others.",
    "X-Plugin-Root": "The folder below `plugins/shared`: `<slug>/v<version>`.",
    "X-Plugin-Tree": "The folder below `plugins/cache/pinned`; `-` if it is not there.",
    "X-Accel-Expires": "For how many seconds a proxy may remember the answer.",
}
_SOMETIMES = {"Content-Range", "Use-As-Dictionary"}
"""Fields that not every answer has which may have them: several ranges have theirs in the body, and
only pinned files are dictionaries."""
_COUNTS = {"Retry-After", "X-Accel-Expires"}


def field_components() -> JsonObject:
    """`components.headers`."""
    return {
        name: {
            "description": text,
            "required": name not in _SOMETIMES,
            "schema": {"type": "integer"} if name in _COUNTS else TEXT,
        }
        for name, text in _FIELD_TEXTS.items()
    }


def field_references(names: Sequence[str]) -> JsonObject:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
