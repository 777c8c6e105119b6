"""`/-/dev/…`: what pages see of `gateway dev`.

`/-/dev/reload.js` reloads a page, `/-/dev/events` tells it of builds, and `/-/dev/explain` says why
a file failed. Only pages on this machine may ask the last two. The script says nothing of the site.
"""

import math
import secrets
import time
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.development.developed_plugin import DevelopedPlugin, SeenBuild
from gateway.endpoints.console_page import PALETTE
from gateway.endpoints.event_stream import (
    Events,
    EventStream,
    StreamEnd,
    encoded_event,
    refuse_foreign_stream,
)
from gateway.endpoints.explaining import UrlExplainer, below_mount
from gateway.endpoints.queries import Admission, Query
from gateway.endpoints.scripts import joined_script
from gateway.errors import InvalidRequest, OriginNotAllowed, TooManyStreams
from gateway.http.answers import json_answer
from gateway.http.cache_policy import NO_STORE
from gateway.http.cors import CorsPolicy
from gateway.identity.peers import is_loopback
from gateway.serving.explain import Explanation

_FOLDER = Path(__file__).parent / "static" / "dev"
STREAMS = 64
"""Each page that is seen has one. Browsers themselves open six to a server at most."""
# A page that was reloaded has left its stream. The terminal counts the pages that it tells, so they
# are missed within a second.
_HEARTBEAT_S = 0.5
_SCRIPT_FIELDS = {
    "Cache-Control": NO_STORE,
    "Cross-Origin-Resource-Policy": "cross-origin",  # for pages with an embedder policy
    "X-Content-Type-Options": "nosniff",
}


class DeveloperPages:
    """The routes for the pages of the developer's browser."""

    def __init__(
        self, plugin: DevelopedPlugin, urls: UrlExplainer, cors: CorsPolicy, end: StreamEnd
    ) -> None:
        self._plugin = plugin
        self._urls = urls
        self._cors = cors
        self._end = end
        self._run = secrets.token_hex(4)
        self._admission = Admission(STREAMS, TooManyStreams)
        self._script = joined_script(_FOLDER, "reload")
        palette = PALETTE.read_text("utf-8").replace(":root", ":host")
        self._style = (_FOLDER / "overlay.css").read_text("utf-8") + palette
        self.routes = [
            Route("/-/dev/reload.js", self._send_script),
            Route("/-/dev/events", self._stream),
            Route("/-/dev/explain", self._explain),
        ]

    async def _send_script(self, _request: Request) -> Response:
        build = self._plugin.current
        served = {"run": self._run, "number": 0 if build is None else build.number}
        constants = {"SERVED": served, "STYLE": self._style}
        lines = (f"const {name} = {orjson.dumps(it).decode()};" for name, it in constants.items())
        script = "\n".join(["(() => {", '"use strict";', *lines, f"{self._script}}})();\n"])
        return Response(script, headers=_SCRIPT_FIELDS, media_type="text/javascript")

    async def _stream(self, request: Request) -> EventStream:
        self._refuse_foreign(request)
        self._admission.take()
        release = self._admission.release
        return EventStream(self._events(), self._end, math.inf, release, _HEARTBEAT_S)

    async def _events(self) -> Events:
        """How things are, and then each build. So a page need not say what it has seen."""
        plugin, current = self._plugin, self._plugin.current
        latest = plugin.builds[-1] if plugin.builds else None
        yield self._plugin_event()
        if current is not None:
            yield self._build_event(current)
        if latest is not None and latest.problem is not None:
            yield self._build_event(latest)
        number = 0 if latest is None else latest.number
        while True:
            build = await plugin.after(number)
            number = build.number
            yield self._plugin_event() + self._build_event(build)  # a build may change the scope

    def _plugin_event(self) -> bytes:
        plugin = self._plugin
        names = ("slug", "user", "database_id", "scope", "dev_server")
        return encoded_event("plugin", {name: getattr(plugin, name) for name in names})

    async def _explain(self, request: Request) -> Response:
        self._refuse_foreign(request)
        url = Query(request, "url").parsed("url", str)
        if url is None:
            raise InvalidRequest("url: expected the URL of a file that failed")
        url = below_mount(url, request.scope)
        # The page's credential is not known here: it shows the plugin as its developer sees it.
        user = self._plugin.user if self._urls.needs_credential(url) else None
        found = await self._urls.explain(url, user=user)
        return json_answer({"served": found.served, "sentence": self._sentence(found)})

    def _sentence(self, found: Explanation) -> str:
        plugin = self._plugin
        is_developed = found.plugin in (plugin.slug, plugin.database_id)
        if is_developed and plugin.dev_server is not None:
            return (
                f"It comes from {plugin.dev_server}: that server's own output says what is wrong."
            )
        if found.served:
            return "The gateway serves this file; the browser's console says what is wrong with it."
        advice = found.advice
        if is_developed and " asset_not_found" in found.answer:
            advice = "The bundler wrote no such file, or the page is of another build"
        return f"{found.answer}. {advice}."

    def _refuse_foreign(self, request: Request) -> None:
        """Refuses pages that are not on this machine, also those of a host name that was made to
        resolve to it (DNS rebinding). Raises: OriginNotAllowed.
        """
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        is_here = is_loopback(request.scope) and self._cors.allows(
            b"http://" + host.encode("latin-1")
        )
        if origin is None:
            refuse_foreign_stream(request)
        if not is_here or not (origin is None or self._cors.allows(origin.encode("latin-1"))):
            raise OriginNotAllowed("Only pages of localhost may ask this")

    def _build_event(self, build: SeenBuild) -> bytes:
        content = {
            "run": self._run,
            "number": build.number,
            # A page in a container, or outside of it, may have another clock.
            "finished_s_ago": time.time() - build.finished_at,
            "seen_after_s": build.seen_after_s,
        }
        if build.problem is not None:
            return encoded_event("refused", {**content, "problem": build.problem})
        names = ("version", "duration_s", "files", "size_bytes")
        return encoded_event("build", content | {name: getattr(build, name) for name in names})
