"""Applications that have the gateway mounted in them, as factories for `uvicorn --factory`."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from gateway import Gateway, create_app, load_settings
from tests.support.server import Server, listening

PREFIX = "/assets/of plugins"
"""It has a space, because a prefix is text in some places and percent-encoded in others."""
URL_PREFIX = "/assets/of%20plugins"
_SECOND = "SECOND_"


@contextmanager
def serving_mounted(
    factory: str,
    environment: Mapping[str, str],
    *arguments: str,
    second: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """uvicorn with an application of this module; `second` is the environment of a second site."""
    both = {**environment, **{_SECOND + name: text for name, text in (second or {}).items()}}
    command = ("-m", "uvicorn", "--factory", f"{__name__}:{factory}", "--port", "0")
    with listening(both, *command, *arguments) as server:
        yield server


def with_running() -> Starlette:
    """An application whose lifespan runs the gateway, as the documentation asks."""
    return _host({PREFIX: create_app(load_settings())}, run=True)


def with_traces() -> Starlette:
    """An application that traces, and sends what it records as the variables OTEL_* say."""
    from opentelemetry import trace  # noqa: PLC0415 (the other applications do without)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return with_running()


def without_running() -> Starlette:
    """An application that forgets to run the gateway."""
    return _host({PREFIX: create_app(load_settings())}, run=False)


def with_sessions() -> FastAPI:
    """An application of FastAPI with sessions. For the user "broken" it has a bug."""

    def user(request: Request) -> str | None:
        if request.session.get("user") == "broken":
            raise RuntimeError("a bug of the application")
        return request.session.get("user")

    gateway = create_app(load_settings(), user=user)
    app = FastAPI(lifespan=lambda _app: gateway.running())
    app.add_middleware(SessionMiddleware, secret_key="of a test")

    @app.get("/login/{name}")
    def log_in(name: str, request: Request) -> str:
        request.session["user"] = name
        return name

    app.mount(PREFIX, gateway)
    return app


def two_sites() -> Starlette:
    names = [name for name in os.environ if name.startswith(_SECOND)]
    environment = {name.removeprefix(_SECOND): os.environ[name] for name in names}
    second = create_app(load_settings(environ=environment))
    return _host({"/one": create_app(load_settings()), "/two": second}, run=True)


def _host(gateways: dict[str, Gateway], *, run: bool) -> Starlette:
    async def page(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("the page of the host")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for gateway in gateways.values() if run else ():
                await stack.enter_async_context(gateway.running())
            yield

    mounts = [Mount(prefix, gateway) for prefix, gateway in gateways.items()]
    return Starlette(routes=[Route("/", page), *mounts], lifespan=lifespan)
