"""Streams of events, in this process: each of them ends, and gives back its place."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from starlette.types import Message

from gateway.endpoints import event_stream
from gateway.endpoints.event_stream import Events, EventStream, StreamEnd, encoded_event
from tests.support.waiting import until


class Watched:
    """A stream, and all that can be seen of it."""

    def __init__(
        self, events: Events, *, method: str = "GET", max_age_s: float = 60.0, reads: bool = True
    ) -> None:
        self.end = StreamEnd()
        self.releases = 0
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self._reads = reads
        stream = EventStream(events, self.end, max_age_s, self._release)
        scope: dict[str, Any] = {"type": "http", "method": method}
        self.task = asyncio.create_task(stream(scope, self._receive, self._send))

    def _release(self) -> None:
        self.releases += 1

    async def _receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if len(self.sent) > 1 and not self._reads:
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_complete(self) -> bool:
        return not self.sent[-1].get("more_body", True)


class Source:
    """Events, until somebody closes it."""

    def __init__(self) -> None:
        self.is_closed = False

    async def events(self, *events: bytes, goes_on: bool) -> Events:
        try:
            for event in events:
                yield event
            if goes_on:
                await asyncio.Event().wait()
        finally:
            with anyio.CancelScope(shield=True):  # as whoever has a process to end
                await asyncio.sleep(0)
            self.is_closed = True


def scenario(play: Callable[[Source], Awaitable[Watched]]) -> Watched:
    async def main() -> Watched:
        source = Source()
        async with asyncio.timeout(20.0):
            watched = await play(source)
            await watched.task
        assert source.is_closed
        assert watched.releases == 1
        return watched

    return asyncio.run(main())


def test_events_leave_one_by_one_and_the_stream_ends_with_the_last() -> None:
    async def play(source: Source) -> Watched:
        return Watched(source.events(b"a\n\n", b"b\n\n", goes_on=False))

    watched = scenario(play)
    assert [message.get("body") for message in watched.sent] == [None, b"a\n\n", b"b\n\n", b""]
    assert watched.is_complete
    assert dict(watched.sent[0]["headers"]) == {
        b"content-type": b"text/event-stream; charset=utf-8", b"cache-control": b"no-store",
        b"x-content-type-options": b"nosniff", b"x-accel-buffering": b"no",
    }  # fmt: skip


def test_an_order_ends_a_stream_that_waits_for_events() -> None:
    async def play(source: Source) -> Watched:
        watched = Watched(source.events(b"a\n\n", goes_on=True))
        await until(lambda: len(watched.sent) == 2)
        watched.end.order()
        return watched

    watched = scenario(play)
    assert watched.body == b"a\n\n" + encoded_event("end", {"reason": "draining"})
    assert watched.is_complete


def test_a_stream_that_begins_after_the_order_says_so_at_once() -> None:
    async def play(source: Source) -> Watched:
        watched = Watched(source.events(goes_on=True))
        watched.end.order()
        return watched

    assert b'{"reason":"draining"}' in scenario(play).body


def test_an_old_stream_ends() -> None:
    async def play(source: Source) -> Watched:
        return Watched(source.events(goes_on=True), max_age_s=0.01)

    watched = scenario(play)
    assert watched.body == encoded_event("end", {"reason": "age"})
    assert watched.is_complete


def test_a_client_that_goes_away_ends_it() -> None:
    async def play(source: Source) -> Watched:
        watched = Watched(source.events(b"a\n\n", goes_on=True))
        await until(lambda: len(watched.sent) == 2)
        watched.gone.set()
        return watched

    assert not scenario(play).is_complete


@pytest.mark.parametrize("why", ["draining", "age"])
def test_a_client_that_reads_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(event_stream, "_LAST_WORD_S", 0.01)

    async def play(source: Source) -> Watched:
        age_s = 0.01 if why == "age" else 60.0
        events = source.events(b"a\n\n", b"b\n\n", goes_on=True)
        watched = Watched(events, max_age_s=age_s, reads=False)
        await until(lambda: len(watched.sent) == 2)
        if why == "draining":
            watched.end.order()
        return watched

    watched = scenario(play)
    assert watched.body == b"a\n\n"
    assert not watched.is_complete


def test_a_stream_without_events_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_HEARTBEAT_S", 0.01)

    async def play(source: Source) -> Watched:
        watched = Watched(source.events(b"a\n\n", goes_on=True))
        await until(lambda: len(watched.sent) >= 4)
        watched.gone.set()
        return watched

    assert scenario(play).body.startswith(b"a\n\n" + 2 * b": still here\n\n")


def test_a_head_request_gets_the_head_alone() -> None:
    async def play(source: Source) -> Watched:
        events = source.events(b"a\n\n", goes_on=True)
        await anext(events)
        return Watched(events, method="HEAD")

    watched = scenario(play)
    assert (watched.body, watched.is_complete) == (b"", True)


def test_a_failure_of_the_events_is_raised_and_the_place_is_free() -> None:
    async def failing() -> Events:
        yield b"a\n\n"
        raise LookupError("a bug")

    async def main() -> None:
        watched = Watched(failing())
        with pytest.raises(ExceptionGroup) as raised:
            await watched.task
        assert raised.group_contains(LookupError)
        assert watched.releases == 1
        assert not watched.is_complete

    asyncio.run(main())


def test_text_cannot_end_an_event() -> None:
    event = encoded_event("finding", {"text": "a\n\nevent: b\r\ndata: \u2028"}, "1.5")
    assert event.count(b"\n\n") == 1
    assert event.splitlines()[0] == b"event: finding"
    assert event.endswith(b"\nid: 1.5\n\n")
