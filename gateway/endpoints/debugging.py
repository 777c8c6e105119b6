"""`observability.debug_headers`: answers name the caches they rest on, and their time."""

from starlette.types import Message, Scope, Send

from gateway.caching.basis import BASIS_KEY, TracedBasis


def with_debug_fields(scope: Scope, send: Send) -> Send:
    """A `send` that adds Cache-Status and Server-Timing to the answer.

    The scope then carries the basis that the endpoints decide with (`Basis.of`).
    """
    basis = scope[BASIS_KEY] = TracedBasis()

    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *basis.debug_fields()]}
        await send(message)

    return send_with_fields
