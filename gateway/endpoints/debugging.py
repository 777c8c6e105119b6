"""`observability.debug_headers`: answers name the caches they rest on, and their time."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.caching.basis import BASIS_KEY
from gateway.caching.traced_basis import TracedBasis


class DebugHeaders:
    """Adds Cache-Status and Server-Timing to the answers of an application.

    The scope carries the basis that the endpoints decide with (`Basis.of`).
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        basis = scope[BASIS_KEY] = TracedBasis()

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *basis.debug_fields()]}
            await send(message)

        await self._application(scope, receive, send_with_fields)
