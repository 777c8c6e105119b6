"""All errors of the gateway. The class decides status, code and public sentence.

    GatewayError
    ├── ConfigurationError            the operator's mistake: stops the start, exit code 2
    ├── StorageError                  a file below `plugins/` cannot be read or written
    ├── PublishingError               a plugin that cannot be published
    └── RequestError                  becomes an answer: `status`, `code`, `detail`
        ├── BadRequest                400  not valid HTTP/1.1
        ├── InvalidRequest            422  malformed input
        ├── NotAuthenticated          401  no credential
        │   └── PasswordRequired      for a page: the browser then asks for one
        ├── InvalidToken              401  a credential that is not valid
        ├── AssetTypeNotAllowed       403
        ├── AdministratorRequired     403
        ├── OriginNotAllowed          403  a page of another site asks for what it may not have
        ├── NotServed                 404  each subclass is one reason
        │   ├── NotInstalled          the user's installed_plugins.json has no such plugin
        │   ├── UnknownPlugin         the user has no row of the plugin
        │   ├── PluginDisabled        the row is not enabled
        │   ├── VersionNotPublished   the row's version has no folder
        │   └── AssetNotFound         the folder has no such file
        ├── MethodNotAllowed          405
        ├── RequestTimeout            408  the request did not arrive in time
        ├── AmbiguousVersion          409  users have the bare slug at several versions
        ├── AlreadyInstalled          409  at another version than the requested one
        ├── NoEarlierVersion          409  nothing to roll back to
        ├── UnusableVersion           409  published, but its metadata cannot be read
        ├── AlreadyExamining          409  another examination of the site runs
        ├── VersionRetired            410  the bytes of a pin are no longer there
        ├── PreconditionFailed        412  If-Match or If-Unmodified-Since
        ├── ContentTooLarge           413
        ├── RangeNotSatisfiable       416
        ├── TooManyChanges            429  too many changes of one user are waiting
        ├── TooManyQuestions          429  of administrators, at once
        ├── TooManyStreams            429  of events, for one purpose
        ├── HeadTooLarge              431
        ├── TransferCodingUnknown     501  any other than chunked
        ├── DevServerFailed           502  a bundler's dev server, in development alone
        ├── TooManyConnections        503  more than the settings or the system allow
        ├── SourceUnavailable         503  the database or the disk failed
        │   └── SourceBusy            it may answer if it is asked again: locked, or too slow
        └── ApplicationRefusal        any  the embedding application refuses the request

http/answers.py alone turns a `RequestError` into an answer. A public sentence is our own text,
never the `str(exc)` of another library.
"""

from typing import ClassVar

NOT_SERVED_DETAIL = "No such plugin file"
"""The sentence of every 404 to a caller who does not own the plugin."""


class GatewayError(Exception):
    """Any error this package raises on purpose."""


class ConfigurationError(GatewayError):
    """The gateway cannot start with these settings. The message is one line: what to change."""


class StorageError(GatewayError):
    """A file below `plugins/` cannot be read or written; the message names it."""


class PublishingError(GatewayError):
    """The source cannot be published; the message names the file and what was expected."""


class RequestError(GatewayError):
    """A request that is answered with an error.

    The client sees `detail`; only operators see `reason` (explain, logs).
    """

    status: int
    code: str
    default_detail: ClassVar[str]
    headers: tuple[tuple[str, str], ...] = ()
    """The header fields that this status requires in addition to the common ones."""

    def __init__(self, detail: str | None = None, *, reason: str | None = None) -> None:
        self.detail = detail or self.default_detail
        self.reason = reason or self.detail
        super().__init__(self.reason)


class BadRequest(RequestError):
    status, code, default_detail = 400, "bad_request", "The request is not valid HTTP/1.1"


class InvalidRequest(RequestError):
    status, code, default_detail = 422, "invalid_request", "The request is malformed"


class NotAuthenticated(RequestError):
    """RFC 9110 §15.5.2: a 401 carries a challenge."""

    status, code, default_detail = 401, "not_authenticated", "Not authenticated"
    headers = (("WWW-Authenticate", 'Bearer realm="plugins"'),)


class PasswordRequired(NotAuthenticated):
    """For pages that an administrator opens: the browser then asks for the token."""

    headers = (("WWW-Authenticate", 'Basic realm="administrators", charset="UTF-8"'),)


class InvalidToken(RequestError):
    """RFC 6750 §3.1."""

    status, code, default_detail = 401, "invalid_token", "Invalid token"
    headers = (("WWW-Authenticate", 'Bearer realm="plugins", error="invalid_token"'),)


class AssetTypeNotAllowed(RequestError):
    status, code, default_detail = 403, "type_not_allowed", "File type not allowed"


class AdministratorRequired(RequestError):
    status, code, default_detail = 403, "admin_required", "Administrators only"


class OriginNotAllowed(RequestError):
    status, code = 403, "origin_not_allowed"
    default_detail = "Pages of this origin may not change anything here"


class NotServed(RequestError):
    """404. Only a caller who owns the plugin learns the reason, as a sentence."""

    status, default_detail = 404, NOT_SERVED_DETAIL
    owner_detail: ClassVar[str]

    def __init__(self, detail: str | None = None, *, owned: bool = False, reason: str = "") -> None:
        detail = detail or (self.owner_detail if owned else self.default_detail)
        super().__init__(detail, reason=reason or self.owner_detail)


class NotInstalled(NotServed):
    code = "not_installed"
    owner_detail = "The plugin is not in your installed plugins"


class UnknownPlugin(NotServed):
    code = "unknown_plugin"
    owner_detail = "The database has no such plugin for you"


class PluginDisabled(NotServed):
    code = "plugin_disabled"
    owner_detail = "The plugin is disabled"


class VersionNotPublished(NotServed):
    code = "version_not_published"
    owner_detail = "Your version of the plugin has no files"


class AssetNotFound(NotServed):
    code = "asset_not_found"
    owner_detail = "Your version of the plugin has no such file"


class MethodNotAllowed(RequestError):
    """RFC 9110 §15.5.6: a 405 lists what is allowed."""

    status, code, default_detail = 405, "method_not_allowed", "Method Not Allowed"

    def __init__(self, allow: str) -> None:
        super().__init__()
        self.headers = (("Allow", allow),)


class RequestTimeout(RequestError):
    status, code = 408, "request_timeout"
    default_detail = "The request did not arrive in time"


class AmbiguousVersion(RequestError):
    status, code = 409, "ambiguous_version"
    default_detail = "Several versions are in use; ask by database id or with a pinned URL"


class AlreadyInstalled(RequestError):
    status, code = 409, "already_installed"
    default_detail = "The plugin is installed at another version; update moves it"


class NoEarlierVersion(RequestError):
    status, code = 409, "no_earlier_version"
    default_detail = "No earlier version is known; name the one to roll back to"


class UnusableVersion(RequestError):
    status, code = 409, "version_unusable"
    default_detail = "The metadata of this version cannot be read"


class AlreadyExamining(RequestError):
    status, code = 409, "already_examining"
    default_detail = "An examination runs already; one runs at a time"


class VersionRetired(RequestError):
    status, code = 410, "version_retired"
    default_detail = "These bytes are no longer kept; reload the page"


class PreconditionFailed(RequestError):
    status, code = 412, "precondition_failed"
    default_detail = "The file is not the one that the condition names"


class ContentTooLarge(RequestError):
    status, code, default_detail = 413, "content_too_large", "The body is too large"


class RangeNotSatisfiable(RequestError):
    """RFC 9110 §15.5.17: a 416 states the size."""

    status, code = 416, "range_not_satisfiable"
    default_detail = "No such range"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.headers = (("Content-Range", f"bytes */{size}"),)


class HeadTooLarge(RequestError):
    status, code = 431, "head_too_large"
    default_detail = "The header fields are too large"


class TransferCodingUnknown(RequestError):
    status, code = 501, "transfer_coding_unknown"
    default_detail = "The only transfer coding of requests is chunked"


class DevServerFailed(RequestError):
    """Only `gateway dev --from` raises it. The developer reads the detail: it names the server."""

    status, code = 502, "dev_server_failed"
    default_detail = "The bundler's dev server does not answer"


class _Later(RequestError):
    """The same request may succeed a second later (RFC 9110 §10.2.3)."""

    headers = (("Retry-After", "1"),)


class TooManyChanges(_Later):
    status, code = 429, "too_many_changes"
    default_detail = "Too many changes of this user are waiting already"


class TooManyQuestions(_Later):
    status, code = 429, "too_many_questions"
    default_detail = "Too many questions of administrators are being answered already"


class TooManyStreams(_Later):
    status, code = 429, "too_many_streams"
    default_detail = "Too many streams of events are open already"


class TooManyConnections(_Later):
    status, code = 503, "too_many_connections"
    default_detail = "Too many connections are open just now"


class SourceUnavailable(_Later):
    status, code = 503, "source_unavailable"
    default_detail = "A source of truth cannot be read just now"
    is_logged = False
    """Whether the log says that this source fails, so that no request has to."""
    was_asked = True
    """False: its circuit is open, and it was not asked."""


class SourceBusy(SourceUnavailable):
    """The database is locked, or was too slow: the same question may succeed a moment later."""


class ApplicationRefusal(RequestError):
    """The embedding application could not say who asks, or refuses to: it chose the status."""

    default_detail = "Internal server error"

    def __init__(
        self,
        status: int = 500,
        code: str = "internal_error",
        detail: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.headers = status, code, headers
