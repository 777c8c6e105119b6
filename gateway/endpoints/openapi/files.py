"""The operations of endpoints/assets.py and endpoints/integrity.py: each route has an unpinned and
a pinned form, and says what the integrity of a pin's files is.
"""

from collections.abc import Mapping, Sequence

from gateway.endpoints.integrity import QUERY, PinnedIntegrity
from gateway.endpoints.openapi.operations import Answer, Operation, Parameter, Scheme
from gateway.endpoints.openapi.parameters import CONDITIONS, in_header
from gateway.errors import (
    AmbiguousVersion,
    AssetNotFound,
    AssetTypeNotAllowed,
    InvalidToken,
    NotAuthenticated,
    NotInstalled,
    PluginDisabled,
    PreconditionFailed,
    RangeNotSatisfiable,
    RequestError,
    SourceUnavailable,
    UnknownPlugin,
    VersionNotPublished,
    VersionRetired,
)

_FIELDS = ("ETag", "Last-Modified", "Cache-Control", "Vary")
_ANSWERS: Mapping[int, Answer] = {
    200: Answer(
        "The file.", media_type="*/*", fields=(*_FIELDS, "Accept-Ranges", "Use-As-Dictionary")
    ),
    206: Answer(
        "The part of the file that Range names; several as `multipart/byteranges`.",
        media_type="*/*",
        fields=(*_FIELDS, "Accept-Ranges", "Content-Range"),
    ),
    304: Answer("The client has the current file.", fields=_FIELDS),
}
_PARAMETERS = (
    *CONDITIONS,
    in_header("If-Modified-Since", "A date: 304 if the file is not newer."),
    in_header("If-Unmodified-Since", "A date: 412 if the file is newer."),
    in_header("Range", "`bytes=0-99`: the part of the file that is asked for."),
    in_header("If-Range", "An ETag or a date: the whole file, if it is not current."),
    in_header("Accept-Encoding", "The codings that the client takes: `zstd`, `br`, `gzip`."),
)
_ANY_FILE = (
    AssetTypeNotAllowed,
    AssetNotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    SourceUnavailable,
)
_ANY_PIN = (
    AssetTypeNotAllowed,
    AssetNotFound,
    VersionRetired,
    PreconditionFailed,
    SourceUnavailable,
)
OF_OWN = (NotAuthenticated, InvalidToken, NotInstalled, UnknownPlugin, PluginDisabled)
_PIN = "@{version}~{build}/"
_ASKS_FOR_INTEGRITY = Parameter(
    QUERY,
    "query",
    "Without a value. Otherwise the URL names a folder, and is refused.",
    {"type": "string", "maxLength": 0},
    is_required=True,
    may_be_empty=True,
)
_JSON_FIELDS = ("ETag", "Cache-Control")
_INTEGRITY: Mapping[int, Answer] = {
    200: Answer(
        "The integrity of every file of the build that is served.",
        PinnedIntegrity,
        fields=_JSON_FIELDS,
    ),
    304: Answer("The client has the answer, which never changes.", fields=_JSON_FIELDS),
}


def _route(
    noun: str,
    prefix: str,
    whose: str,
    security: Sequence[Scheme],
    errors: Sequence[type[RequestError]],
    unpinned_errors: Sequence[type[RequestError]],
) -> tuple[Operation, ...]:
    route = f"{{api}}/{prefix}{{plugin}}/{{path}}"
    return (
        Operation(
            f"get{noun}File",
            "Files",
            "get",
            route,
            f"Sends a file of a plugin, {whose}",
            _ANSWERS,
            (*_ANY_FILE, *errors, *unpinned_errors),
            _PARAMETERS,
            security=security,
        ),
        Operation(
            f"getPinned{noun}File",
            "Files",
            "get",
            f"{{api}}/{prefix}{{plugin}}/{_PIN}{{path}}",
            "Sends a file of exactly this build; it never changes, so caches may keep it",
            _ANSWERS,
            (*_ANY_FILE, *errors, VersionRetired),
            _PARAMETERS,
            security=security,
            route=route,
        ),
        Operation(
            f"get{noun}Integrity",
            "Files",
            "get",
            f"{{api}}/{prefix}{{plugin}}/{_PIN}",
            "Says for each file of this build what `integrity` is in a script tag",
            _INTEGRITY,
            (*_ANY_PIN, *errors),
            (*CONDITIONS, _ASKS_FOR_INTEGRITY),
            security=security,
            route=f"{{api}}/{prefix}{{plugin}}/{{pin}}/",
        ),
    )


OPERATIONS = (
    *_route("", "plugins/", "at the caller's version", ("user",), OF_OWN, (VersionNotPublished,)),
    *_route(
        "Public",
        "public/plugins/",
        "without a credential",
        (),
        (UnknownPlugin,),
        (AmbiguousVersion,),
    ),
    *_route(
        "Signed",
        "signed/{token}/plugins/",
        "at the version of the user in the token",
        (),
        (InvalidToken, NotInstalled, UnknownPlugin, PluginDisabled),
        (VersionNotPublished,),
    ),
)
