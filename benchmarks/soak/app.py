"""The gateway as uvicorn runs it, which also tells how many asyncio tasks there are."""

import asyncio
import gc

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import create_app as create_gateway

COUNTS_PATH = "/-/benchmarks/counts"


def create_app() -> ASGIApp:
    gateway = create_gateway()

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != COUNTS_PATH:
            await gateway(scope, receive, send)
            return
        counts = {"tasks": len(asyncio.all_tasks()), "collected": gc.get_stats()[2]["collections"]}
        body = orjson.dumps(counts)
        fields = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return counting
