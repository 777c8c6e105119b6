"""Applications that have the gateway in them, and know their users themselves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import Message

from gateway import Gateway, create_app, load_settings
from gateway.identity.application import UserFunction
from gateway.settings import Settings
from tests.support.asgi import HANGS_AFTER_S, Client, Headers, body, status
from tests.support.site import Site

USER_FIELD = b"x-test-user"


def as_user(user: str) -> Headers:
    """What `named_in_header` knows the user by."""
    return [(USER_FIELD, user.encode())]


def named_in_header(request: Request) -> str | None:
    return request.headers.get(USER_FIELD.decode())


async def awaited_from_header(request: Request) -> str | None:
    await asyncio.sleep(0)
    return named_in_header(request)


def settings_without_a_secret(site: Site, **environment: str) -> Settings:
    ours = {name: text for name, text in site.environment.items() if "JWT" not in name}
    return load_settings(environ={**ours, **environment})


def with_embedded(
    site: Site,
    user: UserFunction,
    scenario: Callable[[Gateway, Client], Awaitable[None]],
    *,
    prefix: str = "",
    **environment: str,
) -> None:
    """Runs the scenario with a gateway that a Starlette application has mounted."""

    async def main() -> None:
        gateway = create_app(settings_without_a_secret(site, **environment), user=user)

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            async with gateway.running():
                yield

        app = Starlette(routes=[Mount(prefix, gateway)], lifespan=lifespan)
        async with app.router.lifespan_context(app), asyncio.timeout(HANGS_AFTER_S):
            await scenario(gateway, Client(app))

    asyncio.run(main())


async def version_for(client: Client, path: str, extra: Headers) -> str:
    """The version of the file that the caller gets, or the code of the refusal."""
    messages = await client.request(path, None, extra=extra)
    return body(messages).split()[2].decode() if status(messages) == 200 else code(messages)


def code(messages: list[Message]) -> str:
    return str(orjson.loads(body(messages))["code"])
