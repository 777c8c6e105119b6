"""Users change what they have over HTTP; administrators do it for any user (`?user=ID`)."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Literal, TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.disk.audit_log import Author
from gateway.endpoints.bodies import Body, read_body, refuse_foreign_page
from gateway.endpoints.name_forms import NewVersionText, WebUrlText
from gateway.errors import (
    AdministratorRequired,
    InvalidRequest,
    MethodNotAllowed,
    SourceUnavailable,
    StorageError,
    UnknownPlugin,
)
from gateway.http.answers import json_answer
from gateway.http.cache_policy import NO_STORE
from gateway.http.cors import CorsPolicy
from gateway.http.json_types import JsonObject, TypedDict, json_object
from gateway.identity.callers import Callers
from gateway.lifecycle.installing import Lifecycle, Order, Outcome
from gateway.names import (
    UserId,
    Version,
    parse_new_version,
    parse_or_none,
    parse_plugin,
    parse_slug,
    parse_source_url,
    parse_user_id,
)


class ToVersion(Body):
    """The version to move to."""

    version: NewVersionText | None = Field(
        None, description="If none is named: the newest version; for a rollback, the one before."
    )

    def parsed(self) -> Version | None:
        """Raises: InvalidRequest."""
        try:
            return None if self.version is None else parse_new_version(self.version)
        except ValueError as error:
            raise InvalidRequest(f"version: {error}") from None


class Install(ToVersion):
    """What to install."""

    source_url: WebUrlText | None = Field(
        None,
        max_length=2048,
        description="Where the plugin came from; it is written into the user's JSON.",
    )

    def metadata(self) -> JsonObject:
        """Raises: InvalidRequest."""
        try:
            is_named = self.source_url is not None
            return {"source_url": parse_source_url(self.source_url)} if is_named else {}
        except ValueError as error:
            raise InvalidRequest(f"source_url: {error}") from None


class Enabled(Body):
    """Whether the plugin is enabled."""

    enabled: bool


class Nothing(Body):
    """No field is expected."""


@json_object
class ChangedPlugin(TypedDict):
    """What the user has after a change."""

    plugin_slug: str
    plugin_id: str | None
    """The database id; null if there was no row."""
    user_id: str
    version: str | None
    """Null: the user does not have the plugin any more."""
    previous_version: str | None
    """What the user had before, if that is another version."""
    enabled: bool | None
    changed: bool
    """False: nothing was to be done."""


@json_object
class ChangeAnswer(TypedDict):
    """The application wraps its answers about one plugin in the same way."""

    status: Literal["success"]
    data: ChangedPlugin


def route_without_methods(prefix: str) -> Route:
    """The route of `{api}/plugins/{plugin}` if nobody may change anything: it has no methods.

    The paths below it are those of files, whose routes refuse all methods that change something.
    """

    async def refuse(request: Request) -> Response:
        # The path of the manifest has the same form; its own route takes GET and HEAD alone.
        is_manifest = request.path_params["plugin"] == "manifest"
        raise MethodNotAllowed("GET, HEAD" if is_manifest else "")

    methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
    return Route(prefix + "/{plugin}", refuse, methods=methods)


B = TypeVar("B", bound=Body)
ADMINISTRATOR = "administrator (token)"
"""Who changes something with `admin.token`, which names nobody. No user id has such a form."""
Command = Callable[[Author, UserId, str, B], Awaitable[Outcome]]


class LifecycleRoutes:
    """Commands below `{api}/plugins/{plugin}`."""

    def __init__(
        self,
        prefix: str,
        lifecycle: Lifecycle,
        callers: Callers,
        cors: CorsPolicy,
        *,
        admins_only: bool,
    ) -> None:
        """`prefix`: `{api}/plugins`."""
        self._prefix = prefix
        self._lifecycle = lifecycle
        self._callers = callers
        self._cors = cors
        self._admins_only = admins_only
        self.routes = [
            self._route("POST", "/{plugin}/install", Install, self._install),
            self._route("PUT", "/{plugin}/update", ToVersion, self._update),
            self._route("POST", "/{plugin}/rollback", ToVersion, self._roll_back),
            self._route("DELETE", "/{plugin}/uninstall", Nothing, self._uninstall),
            self._route("PATCH", "/{plugin}", Enabled, self._enable),
        ]

    def _route(self, method: str, path: str, body_type: type[B], command: Command[B]) -> Route:
        # Every path below `{plugin}/` is also the path of a file, whose route would answer OPTIONS
        # and a wrong method with an Allow that does not name ours. GET is that route's: it refuses
        # names without a suffix.
        any_change = ["OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
        methods = [method] if path == "/{plugin}" else any_change
        endpoint = partial(self._answer, method, body_type, command)
        return Route(self._prefix + path, endpoint, methods=methods)

    async def _answer(
        self, method: str, body_type: type[B], command: Command[B], request: Request
    ) -> Response:
        allow = f"OPTIONS, {method}"
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allow, "Cache-Control": NO_STORE})
        if request.method != method:
            raise MethodNotAllowed(allow)
        refuse_foreign_page(request, self._cors)
        caller = await self._callers.identify(request.scope)
        author = Author(caller.user or ADMINISTRATOR, "http")
        named = _named_user(request)
        try:
            if self._admins_only:
                caller.require_administrator()
            user = caller.acts_for(named)
        except AdministratorRequired as error:
            await self._note_refusal(author, named, request, error)
            raise
        body = await read_body(request, body_type)
        try:
            outcome = await command(author, user, _named_plugin(request), body)
        except StorageError as error:
            raise SourceUnavailable(reason=str(error)) from error
        return json_answer(_envelope(outcome))

    async def _note_refusal(
        self, author: Author, named: str | None, request: Request, error: AdministratorRequired
    ) -> None:
        """Writes into the audit log who tried to change whose plugin, if these are names."""
        user = parse_or_none(parse_user_id, author.name if named is None else named)
        with suppress(UnknownPlugin):
            plugin = _named_plugin(request)
            if user is None:
                return
            # The body, which says which of the two, is not read for a caller who may do neither.
            is_enabling = request.method == "PATCH"
            action = "enable or disable" if is_enabling else request.url.path.rpartition("/")[2]
            await self._lifecycle.note_refusal(Order(action, author, user, plugin), error)

    async def _install(self, by: Author, user: UserId, plugin: str, body: Install) -> Outcome:
        try:
            slug = parse_slug(plugin)
        except ValueError:
            raise UnknownPlugin from None
        return await self._lifecycle.install(user, slug, body.parsed(), body.metadata(), by=by)

    async def _update(self, by: Author, user: UserId, plugin: str, body: ToVersion) -> Outcome:
        return await self._lifecycle.update(user, plugin, body.parsed(), by=by)

    async def _roll_back(self, by: Author, user: UserId, plugin: str, body: ToVersion) -> Outcome:
        return await self._lifecycle.rollback(user, plugin, body.parsed(), by=by)

    async def _uninstall(self, by: Author, user: UserId, plugin: str, _body: Nothing) -> Outcome:
        return await self._lifecycle.uninstall(user, plugin, by=by)

    async def _enable(self, by: Author, user: UserId, plugin: str, body: Enabled) -> Outcome:
        return await self._lifecycle.set_enabled(user, plugin, enabled=body.enabled, by=by)


def _named_plugin(request: Request) -> str:
    """Raises: UnknownPlugin."""
    try:
        return parse_plugin(request.path_params["plugin"])
    except ValueError as error:
        raise UnknownPlugin(reason=str(error)) from None


def _named_user(request: Request) -> str | None:
    """Raises: InvalidRequest, if two are named: programs disagree on which one counts."""
    users = request.query_params.getlist("user")
    if len(users) > 1:
        raise InvalidRequest("user: expected once")
    return users[0] if users else None


def _envelope(outcome: Outcome) -> ChangeAnswer:
    return {
        "status": "success",
        "data": {
            "plugin_slug": outcome.slug,
            "plugin_id": outcome.database_id,
            "user_id": outcome.user,
            "version": outcome.version,
            "previous_version": outcome.previous_version,
            "enabled": outcome.enabled,
            "changed": outcome.changed,
        },
    }
