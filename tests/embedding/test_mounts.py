"""The gateway in applications of Starlette and FastAPI that know their users by sessions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    SimpleUser,
    UnauthenticatedUser,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from gateway import ConfigurationError, Gateway, create_app, load_settings
from gateway.identity.application import UserFunction
from tests.support.asgi import HANGS_AFTER_S, Client, Headers, body, fields, status
from tests.support.embedding import (
    USER_FIELD,
    as_user,
    code,
    settings_without_a_secret,
    version_for,
)
from tests.support.scrapes import hot_answers
from tests.support.settings import QUIET
from tests.support.site import ADA, BEN, USERS_CHANGE, Site, populated
from tests.support.urls import ENTRY_URL, MANIFEST, own

Application = Starlette | FastAPI
Host = Callable[[str, Gateway, list[Middleware]], Application]


async def log_in(request: Request) -> Response:
    request.session["user"] = request.path_params["user"]
    return PlainTextResponse("welcome")


async def log_out(request: Request) -> Response:
    request.session.clear()
    return PlainTextResponse("bye")


def session_user(request: Request) -> str | None:
    return request.session.get("user")


def starlette_host(prefix: str, gateway: Gateway, middleware: list[Middleware]) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    return Starlette(
        routes=[
            Route("/login/{user}", log_in),
            Route("/logout", log_out),
            Mount(prefix, gateway),
        ],
        middleware=middleware,
        lifespan=lifespan,
    )


def fastapi_host(prefix: str, gateway: Gateway, middleware: list[Middleware]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    app = FastAPI(middleware=middleware, lifespan=lifespan)
    app.add_route("/login/{user}", log_in)
    app.add_route("/logout", log_out)
    app.mount(prefix, gateway)
    return app


each_host = pytest.mark.parametrize("host", [starlette_host, fastapi_host])
each_prefix = pytest.mark.parametrize("prefix", ["", "/assets"])


def with_host(
    site: Site,
    host: Host,
    prefix: str,
    user: UserFunction,
    middleware: Middleware,
    scenario: Callable[[Gateway, Client], Awaitable[None]],
    **environment: str,
) -> None:
    async def main() -> None:
        settings = settings_without_a_secret(site, **QUIET, **environment)
        gateway = create_app(settings, user=user)
        app = host(prefix, gateway, [middleware])
        async with app.router.lifespan_context(app), asyncio.timeout(HANGS_AFTER_S):
            await scenario(gateway, Client(app))

    asyncio.run(main())


def session_of(answer: list[Any]) -> Headers:
    """What the browser sends after this answer."""
    cookie = fields(answer)[b"set-cookie"].partition(b";")[0]
    return [(b"cookie", cookie)]


@each_host
@each_prefix
def test_the_session_of_the_application_says_who_asks(site: Site, host: Host, prefix: str) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        url = prefix + ENTRY_URL
        assert await version_for(client, url, []) == "not_authenticated"
        sessions = {user: session_of(await client.request(f"/login/{user}")) for user in (ADA, BEN)}
        for _ in range(3):
            assert await version_for(client, url, sessions[ADA]) == "1.0.0"
            assert await version_for(client, url, sessions[BEN]) == "1.0.1"
        assert hot_answers(gateway)[200] == 4
        manifest = await client.request(prefix + MANIFEST, None, extra=sessions[BEN])
        assert b"1.0.1" in body(manifest)
        out = session_of(await client.request("/logout", None, extra=sessions[ADA]))
        assert await version_for(client, url, out) == "not_authenticated"
        assert await version_for(client, url, []) == "not_authenticated"

    sessions = Middleware(SessionMiddleware, secret_key="of a test")
    with_host(site, host, prefix, session_user, sessions, scenario)


@each_host
def test_without_its_middleware_the_session_is_an_error_and_no_file(site: Site, host: Host) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert await version_for(client, ENTRY_URL, []) == "internal_error"

    nothing = Middleware(_Nothing)
    with_host(site, host, "", session_user, nothing, scenario)


class _Nothing:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


class _FromHeader(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.headers.get(USER_FIELD.decode())
        return None if name is None else (AuthCredentials(), SimpleUser(name))


def authenticated_user(request: Request) -> str | None:
    user = request.user
    return None if isinstance(user, UnauthenticatedUser) else user.username


@each_host
@each_prefix
def test_the_authentication_middleware_of_starlette_says_who_asks(
    site: Site, host: Host, prefix: str
) -> None:
    async def scenario(_gateway: Gateway, client: Client) -> None:
        for _ in range(2):
            assert await version_for(client, prefix + ENTRY_URL, as_user(BEN)) == "1.0.1"
            assert await version_for(client, prefix + ENTRY_URL, []) == "not_authenticated"

    middleware = Middleware(AuthenticationMiddleware, backend=_FromHeader())
    with_host(site, host, prefix, authenticated_user, middleware, scenario)


@each_host
def test_users_of_the_application_change_what_they_have_but_no_foreign_page_does(
    tmp_path: Path, host: Host
) -> None:
    """A browser sends the session by itself, whatever page asks."""
    site = populated(tmp_path)
    foreign = (b"origin", b"https://elsewhere.example")

    async def scenario(_gateway: Gateway, client: Client) -> None:
        session = session_of(await client.request(f"/login/{ADA}"))
        ask = partial(client.request, own("Review", "uninstall"), None, method="DELETE")
        assert code(await ask(extra=[*session, foreign])) == "origin_not_allowed"
        assert code(await ask()) == "not_authenticated"
        assert status(await ask(extra=session)) == 200
        assert await version_for(client, ENTRY_URL, session) == "not_installed"

    sessions = Middleware(SessionMiddleware, secret_key="of a test")
    with_host(site, host, "", session_user, sessions, scenario, **USERS_CHANGE)


@pytest.mark.parametrize("user", [session_user, None])
def test_a_folder_that_is_no_sites_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: UserFunction | None
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=f"^no site here: .* in {tmp_path}; .*FILE"):
        create_app(user=user)
    with pytest.raises(ConfigurationError, match=r"^no site here: "):
        create_app(load_settings(), user=user)
    (tmp_path / "gateway.db").touch()
    assert create_app(user=session_user).core.settings.sqlite_file.exists()
