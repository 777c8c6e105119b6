"""Bytes that are held: two sends."""

from starlette.types import Send

from gateway.http.planning import Plan
from gateway.http.representation import HeaderFields


async def send_answer(send: Send, status: int, fields: HeaderFields, body: bytes) -> None:
    """A whole answer. The messages are fresh ones, for middleware edits them in place."""
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
    await send({"type": "http.response.body", "body": body})


async def send_held(send: Send, plan: Plan, content: bytes) -> None:
    await send_answer(send, plan.status, plan.fields, body_of(plan, content))


def body_of(plan: Plan, content: bytes) -> bytes:
    """The bytes of the plan; the whole content is not copied."""
    pieces = [
        part
        if isinstance(part, bytes)
        else content
        if part == (0, len(content))
        else content[part[0] : part[1]]
        for part in plan.parts
    ]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
