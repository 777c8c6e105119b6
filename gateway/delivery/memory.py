"""Bytes that are held: two sends."""

from starlette.types import Send

from gateway.representation import HeaderFields


async def send_content(send: Send, status: int, fields: HeaderFields, body: bytes) -> None:
    """A whole answer. The messages are fresh ones, for middleware edits them in place."""
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
    await send({"type": "http.response.body", "body": body})
