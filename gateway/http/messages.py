"""An answer as the messages of ASGI (HTTP connection scope)."""

from starlette.types import Send

from gateway.http.heads import HeaderFields


async def send_answer(send: Send, status: int, fields: HeaderFields, body: bytes) -> None:
    """A whole answer. Each message is a new object, because middleware edits them in place."""
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
    await send({"type": "http.response.body", "body": body})
