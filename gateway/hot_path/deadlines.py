"""How long a connection waits for its client: for bytes to arrive, and for bytes to be taken."""

import asyncio
import contextlib
import logging
import struct
import sys
from collections.abc import Callable

if sys.platform == "linux":
    import fcntl
    import termios

logger = logging.getLogger(__name__)

_NEVER = float("inf")


class Deadline:
    """Calls `reached` at the moment that was set last.

    Each request sets a later moment. One timer follows it, and is replaced only by an earlier one:
    a timer for each request would cost more than reading the clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, reached: Callable[[], None]) -> None:
        self._loop = loop
        self._reached = reached
        self._moment = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    def set(self, from_now_s: float) -> None:
        self._moment = moment = self._loop.time() + from_now_s
        timer = self._timer
        if timer is None or timer.when() > moment:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_later(from_now_s, self._look)

    def clear(self) -> None:
        """No moment is set."""
        self._moment = _NEVER

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        left_s = self._moment - self._loop.time()
        if left_s <= 0:
            self._reached()
        elif left_s < _NEVER:
            self._timer = self._loop.call_later(left_s, self._look)


class StallWatch:
    """Aborts a transport when its client has taken no byte for `timeout_s` that it could take."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout_s: float
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self.written_bytes = 0
        """Whoever writes to the transport counts here."""

    def watch(self) -> None:
        """Watches until all that was written is taken."""
        if self._timer is None and self._transport.get_write_buffer_size():
            taken = self._taken_bytes()
            self._timer = self._loop.call_later(self._timeout_s, self._look, taken)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, taken_before: int) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() and self._taken_bytes() == taken_before:
            logger.info("a client that reads nothing is cut off")
            self._transport.abort()
        else:
            self.watch()

    def _taken_bytes(self) -> int:
        """Bytes that the client has acknowledged. Only Linux tells what waits in the kernel, whose
        buffer may take a whole answer that a slow client then reads for minutes.
        """
        unsent = self._transport.get_write_buffer_size()
        connection = self._transport.get_extra_info("socket")
        if sys.platform == "linux" and connection is not None:
            with contextlib.suppress(OSError, ValueError):  # the socket is closed
                queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
                unsent += struct.unpack("i", queued)[0]
        return self.written_bytes - unsent
