"""A server in the process of its command, for one person: `gateway demo` and `gateway dev`.

It ends at the first signal, and waits for nobody but a moment: who has a page open knows that they
have stopped it. The command ends after it, and removes what it made.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from gateway.endpoints.event_stream import StreamEnd

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # HUP: the terminal was closed


def exit_at_signals() -> None:
    """Until the server runs, a signal ends the command by SystemExit: it removes what it made."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))


class ForegroundServer(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, streams: StreamEnd, announce: Callable[[], None]
    ) -> None:
        """`announce` is called when it listens."""
        super().__init__(config)
        self._streams = streams
        self._announce = announce

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In the place of uvicorn's, which would raise the signal again after the end."""
        for number in _SIGNALS:
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams.order()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # its answer was cancelled
        await asyncio.sleep(0)  # transports close in the loop's next turn
