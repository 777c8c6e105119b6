"""What is counted of an answer, whichever messages it is made of."""

import asyncio
from typing import Any

import pytest
from starlette.routing import Route
from starlette.types import Message, Scope

from gateway.hot_path.counting import CountingSend, RouteClasses
from gateway.metrics.catalogue import COLD, REQUESTS, RESPONSE_BYTES, RouteClass
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.requests import RequestCounts
from gateway.metrics.table import Totals
from gateway.overview.recent import RecentRequests

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"5000")],
}


def body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def endpoint() -> None:
    """Stands for one of our routes."""


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


CLASSES = RouteClasses.of([(RouteClass.PLUGIN, [Route("/x", endpoint)])])


def counted(*messages: Message, method: str = "GET", asked: Any = endpoint) -> Totals:
    metrics = ProcessMetrics.alone()
    scope: Scope = {"type": "http", "method": method, "path": "/x", "endpoint": asked}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        recent = RecentRequests()
        counting = CountingSend(scope, send, RequestCounts(metrics.column), CLASSES, recent)
        for message in messages:
            await counting(message)

    asyncio.run(main())
    assert sent == list(messages)
    return metrics.table.totals()


@pytest.mark.parametrize(
    ("messages", "method", "size"),
    [
        ((START, body(b"one", more=True), body(b"three")), "GET", 8),
        ((START, body(b"")), "GET", 0),
        ((START, {"type": "http.response.body"}), "GET", 0),
        ((START, body(b"what the server drops")), "HEAD", 0),
        ((START, {"type": "http.response.pathsend", "path": "/file"}), "GET", 5000),
        ((START, {"type": "http.response.pathsend", "path": "/file"}), "HEAD", 0),
    ],
)
def test_the_bytes_that_a_client_gets_are_counted(
    messages: tuple[Message, ...], method: str, size: int
) -> None:
    totals = counted(*messages, method=method)
    assert totals.value(RESPONSE_BYTES, RouteClass.PLUGIN) == size
    assert totals.value(REQUESTS, RouteClass.PLUGIN, "200", COLD) == 1.0


@pytest.mark.parametrize("asked", [None, len, Unhashable()])
def test_an_endpoint_that_is_none_of_ours_is_other(asked: object) -> None:
    totals = counted(START, body(b"x"), asked=asked)
    assert totals.value(REQUESTS, RouteClass.OTHER, "200", COLD) == 1.0
