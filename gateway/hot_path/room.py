"""How many connections a worker has room for, and which one ends when there are too many."""

import asyncio
import contextlib
import resource
import sys
from collections import OrderedDict

# Descriptors for the database, files that are being sent, logs and the event loop.
_RESERVED = 64


class Room:
    """Counts the connections of a worker against the limit of descriptors."""

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        is_unlimited = soft == resource.RLIM_INFINITY
        self._max_connections = sys.maxsize if is_unlimited else max(soft - _RESERVED, soft // 2)
        self._idle: OrderedDict[asyncio.Transport, None] = OrderedDict()
        """Connections that are owed no answer; first the one that has waited longest."""
        self.lingering = 0
        """How many had their last answer, and wait for the client to close its side."""

    def add_idle(self, connection: asyncio.Transport) -> None:
        """A connection that is idle already keeps its place."""
        self._idle[connection] = None

    def renew_idle(self, connection: asyncio.Transport) -> None:
        """The connection waits from this moment on."""
        self._idle[connection] = None
        self._idle.move_to_end(connection)

    def remove_idle(self, connection: asyncio.Transport) -> None:
        self._idle.pop(connection, None)

    def make(self, connections: int) -> None:
        """Ends the connection that has waited longest, if there are more `connections` than fit."""
        if connections > self._max_connections:
            longest, _ = self._idle.popitem(last=False)
            longest.abort()


def raise_limit() -> None:
    """Lets the process open as many descriptors as the system allows; each client takes one. The
    usual soft limit of 1,024 is meant for programs that use select().
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS states more than it gives
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
