"""What a user has, changed over HTTP: by himself, or by an administrator (`?user=ID`)."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.endpoints.bodies import Body, read_body, refuse_foreign_page
from gateway.errors import (
    InvalidRequest,
    MethodNotAllowed,
    SourceUnavailable,
    StorageError,
    UnknownPlugin,
)
from gateway.http.answers import plain_json
from gateway.http.cors import CorsPolicy
from gateway.identity.callers import Callers
from gateway.lifecycle.installing import Lifecycle, Outcome
from gateway.names import UserId, Version, parse_plugin, parse_slug, parse_version
from gateway.serving.formats import JsonObject


class _ToVersion(Body):
    version: str | None = None
    """None: the newest for an update, the one before for a rollback."""

    def parsed(self) -> Version | None:
        """Raises: InvalidRequest."""
        try:
            return None if self.version is None else parse_version(self.version)
        except ValueError as error:
            raise InvalidRequest(f"version: {error}") from None


class _Install(_ToVersion):
    source_url: str | None = Field(None, max_length=2048)
    """For the user's JSON: where the plugin came from."""


class _Enabled(Body):
    enabled: bool


class _Nothing(Body):
    pass


B = TypeVar("B", bound=Body)
Command = Callable[[UserId, str, B], Awaitable[Outcome]]


def lifecycle_routes(
    prefix: str, lifecycle: Lifecycle, callers: Callers, cors: CorsPolicy
) -> list[Route]:
    """Routes below `{api}/plugins`."""

    def route(method: str, path: str, body_type: type[B], command: Command[B]) -> Route:
        async def answer(request: Request) -> Response:
            if request.method != method:
                raise MethodNotAllowed(f"GET, HEAD, OPTIONS, {method}")
            refuse_foreign_page(request, cors)
            caller = await callers.identify(request.scope)
            user = caller.acts_for(_named_user(request))
            body = await read_body(request, body_type)
            change = command(user, _named_plugin(request), body)
            return plain_json(_envelope(await _disk_failures_told(change)))

        # Below `{plugin}/` files are read: their route would refuse a wrong method in our place.
        methods = [method] if path == "/{plugin}" else ["POST", "PUT", "PATCH", "DELETE"]
        return Route(prefix + path, answer, methods=methods)

    async def install(user: UserId, plugin: str, body: _Install) -> Outcome:
        try:
            slug = parse_slug(plugin)
        except ValueError:
            raise UnknownPlugin from None
        metadata = {} if body.source_url is None else {"source_url": body.source_url}
        return await lifecycle.install(user, slug, body.parsed(), metadata)

    async def update(user: UserId, plugin: str, body: _ToVersion) -> Outcome:
        return await lifecycle.update(user, plugin, body.parsed())

    async def rollback(user: UserId, plugin: str, body: _ToVersion) -> Outcome:
        return await lifecycle.rollback(user, plugin, body.parsed())

    async def uninstall(user: UserId, plugin: str, _body: _Nothing) -> Outcome:
        return await lifecycle.uninstall(user, plugin)

    async def enable(user: UserId, plugin: str, body: _Enabled) -> Outcome:
        return await lifecycle.set_enabled(user, plugin, enabled=body.enabled)

    return [
        route("POST", "/{plugin}/install", _Install, install),
        route("PUT", "/{plugin}/update", _ToVersion, update),
        route("POST", "/{plugin}/rollback", _ToVersion, rollback),
        route("DELETE", "/{plugin}/uninstall", _Nothing, uninstall),
        route("PATCH", "/{plugin}", _Enabled, enable),
    ]


async def _disk_failures_told(change: Awaitable[Outcome]) -> Outcome:
    """Raises: SourceUnavailable."""
    try:
        return await change
    except StorageError as error:
        raise SourceUnavailable(reason=str(error)) from error


def _named_plugin(request: Request) -> str:
    """Raises: UnknownPlugin."""
    try:
        return parse_plugin(request.path_params["plugin"])
    except ValueError as error:
        raise UnknownPlugin(reason=str(error)) from None


def _named_user(request: Request) -> str | None:
    """Raises: InvalidRequest, if two are named: which of them is anyone's guess."""
    named = request.query_params.getlist("user")
    if len(named) > 1:
        raise InvalidRequest("user: expected once")
    return named[0] if named else None


def _envelope(outcome: Outcome) -> JsonObject:
    """As the application wraps its answers about one plugin (FORMATS: status)."""
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
