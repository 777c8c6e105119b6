"""Passes requests for the developed plugin's files on to a bundler's dev server.

It stands before the router, and asks the route of the URL for the version that the caller gets: one
decision for all ways of naming a user. The router's checks of names and types do not hold here: a
dev server has `/@vite/client` and `/src/Panel.tsx`.
"""

from asyncio import Semaphore
from collections.abc import Sequence
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.caching.basis import Basis
from gateway.development.dev_server import DevServer, DevServerAnswer
from gateway.development.developed_plugin import DevelopedPlugin
from gateway.endpoints.assets import AssetRoute
from gateway.errors import AssetNotFound, DevServerFailed, RequestError
from gateway.http.answers import error_answer, send_answer
from gateway.http.heads import joined_headers
from gateway.names import parse_pin
from gateway.threads import in_own_thread

_AT_ONCE = 16
# Never for long: the file is another one a moment later.
_FIELDS = ((b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff"))


class PassingOn:
    """An ASGI application. `inner` answers everything else."""

    def __init__(
        self,
        inner: ASGIApp,
        routes: Sequence[AssetRoute],
        plugin: DevelopedPlugin,
        server: DevServer,
    ) -> None:
        self._inner = inner
        self._routes = tuple(routes)
        self._plugin = plugin
        self._server = server
        self._room = Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = await self._path_of_developed(scope)
        if path is None:
            await self._inner(scope, receive, send)
            return
        try:
            answer = await self._ask(scope, path)
        except DevServerFailed as error:
            await error_answer(error)(scope, receive, send)
            return
        fields = (*answer.fields, *_FIELDS, (b"content-length", b"%d" % len(answer.body)))
        if scope["method"] == "HEAD" or answer.status == 304:
            fields = (*answer.fields, *_FIELDS)
        await send_answer(send, answer.status, fields, answer.body)

    async def _ask(self, scope: Scope, path: bytes) -> DevServerAnswer:
        fetch = partial(
            self._server.fetch,
            scope["method"],
            path.decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            joined_headers(scope),
        )
        # A bundler that compiles keeps the answer back for long. It must not keep the process.
        async with self._room:
            return await in_own_thread(fetch)

    async def _path_of_developed(self, scope: Scope) -> bytes | None:
        """The path below the plugin, as received; None if the developed version is not meant."""
        for route in self._routes:
            below = route.path_below(scope)
            # What is escaped is no JSON endpoint either: `takes` leaves it to the router alone.
            if not below or not route.takes(below.replace(b"%", b"")):
                continue
            *plugin, path = below.split(b"/", route.segments_before_path)
            pin = path.partition(b"/")[0].decode("latin-1")
            if len(plugin) < route.segments_before_path or _is_pin(pin):
                return None
            if await self._is_developed(route, scope, b"/".join(plugin)):
                return path
        return None

    async def _is_developed(self, route: AssetRoute, scope: Scope, plugin: bytes) -> bool:
        """Whether the caller's version of the plugin is the one that is developed."""
        release = self._plugin.release
        if release is None:
            return False
        entry = plugin + b"/" + release.entry.encode()
        try:
            resolution = await Basis().settled(route.resolve, scope, joined_headers(scope), entry)
        except RequestError:  # the route says why
            return False
        key = resolution.key
        return (key.slug, key.version) == (self._plugin.slug, release.version)


def _is_pin(segment: str) -> bool:
    """A page that was loaded before has pins of versions that have files. Vite has `@vite`."""
    try:
        parse_pin(segment)
    except AssetNotFound:
        return False
    return True
