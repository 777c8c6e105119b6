"""Accepts connections that wait, together with the one that the event loop accepts.

libuv accepts one connection in a turn of the loop (since 1.45). While a worker is busy, a turn
takes milliseconds, and connections that wait in the socket's queue need a turn each: of 512 that
came at once, the last were accepted after two seconds.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

Protocols = Callable[..., asyncio.Protocol]

# In one turn. With 64, no request was answered sooner, and the other workers would get less.
_MOST = 16


class Accepting:
    """Makes protocols, as uvicorn asks for them: it does for each connection that is accepted."""

    def __init__(self, protocols: Protocols, listeners: Sequence[socket.socket]) -> None:
        self._protocols = protocols
        for listener in listeners:
            listener.setblocking(False)
        self._listeners = listeners
        self._connecting: set[asyncio.Task[None]] = set()

    def protocol(self, **options: Any) -> asyncio.Protocol:
        """The protocol of a connection that the event loop has accepted."""
        protocols = partial(self._protocols, **options)
        for listener in self._listeners:
            self._accept_waiting(listener, protocols)
        return protocols()

    def _accept_waiting(self, listener: socket.socket, protocols: Protocols) -> None:
        for _ in range(_MOST - 1):
            try:
                connection, _address = listener.accept()
            except OSError:  # none waits; or no descriptor is left, as the event loop will find
                return
            task = asyncio.create_task(_connect(connection, protocols))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def settled(self) -> None:
        """Returns when the server knows all connections that were accepted."""
        await asyncio.sleep(0.0)  # it learns of those of the event loop in the next turn
        await asyncio.gather(*self._connecting)


async def _connect(connection: socket.socket, protocols: Protocols) -> None:
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().connect_accepted_socket(protocols, connection)
    except OSError:  # the client has left
        connection.close()
