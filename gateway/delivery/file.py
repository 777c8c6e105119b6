"""Files too large to hold, through Starlette's FileResponse."""

from pathlib import Path

import anyio
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from gateway.representation import HeaderFields


async def send_file(
    scope: Scope, receive: Receive, send: Send, path: Path, fields: HeaderFields
) -> None:
    """A 200 or 206 with our fields; FileResponse adds ranges."""
    headers = {name.decode(): value.decode() for name, value in fields}
    del headers["content-length"]  # FileResponse states the length of what it sends
    media_type = headers.pop("content-type")
    response = FileResponse(
        path, headers=headers, media_type=media_type, stat_result=await anyio.Path(path).stat()
    )
    await response(scope, receive, send)
