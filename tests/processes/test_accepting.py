"""Connections that wait while the event loop is busy: few turns accept them all."""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.processes.accepting import _MOST, Accepting
from tests.support.waiting import until

WAITING = 100


class Made(asyncio.Protocol):
    """Says in which turn of the loop it was connected."""

    def __init__(self, served: "Served", **options: Any) -> None:
        assert options == {"config": "of uvicorn"}
        self._served = served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._served.connected.append(self._served.turn)
        self._served.transports.append(transport)
        transport.write(b"hello")  # type: ignore[attr-defined]


class Served:
    """A listener that uvloop accepts from, with clients in its queue."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.turn = 0
        self.is_over = False
        self.connected: list[int] = []
        self.transports: list[Any] = []
        self.accepting = Accepting(lambda **options: Made(self, **options), [listener])

    async def serve(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._count)
        return await loop.create_server(
            lambda: self.accepting.protocol(config="of uvicorn"), sock=self.listener
        )

    def _count(self) -> None:
        self.turn += 1
        if not self.is_over:
            asyncio.get_running_loop().call_soon(self._count)


@contextmanager
def listening(family: int, folder: Path, waiting: int) -> Iterator[tuple[socket.socket, Any]]:
    """A listener, and clients who have connected and wait."""
    address = str(folder / "socket") if family == socket.AF_UNIX else ("127.0.0.1", 0)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.bind(address)
        listener.listen(2 * waiting)
        clients = [stack.enter_context(socket.socket(family)) for _ in range(waiting)]
        for client in clients:
            client.connect(listener.getsockname())
        yield listener, clients


def is_greeted(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(9) == b"hello"
    except BlockingIOError:
        return False


def served(
    folder: Path,
    scenario: Callable[[Served, Any], Awaitable[None]],
    family: int = socket.AF_INET,
) -> None:
    async def main(listener: socket.socket, clients: Any) -> None:
        it = Served(listener)
        server = await it.serve()
        try:
            await scenario(it, clients)
        finally:
            server.close()
            await it.accepting.settled()
            for transport in it.transports:
                transport.abort()
            await asyncio.sleep(0.05)  # not for luck: uvloop closes them in later turns
            it.is_over = True
            await asyncio.sleep(0.0)

    with listening(family, folder, WAITING) as (listener, clients):
        uvloop.run(main(listener, clients))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_one_turn_accepts_many_that_wait_but_not_all(tmp_path: Path, family: int) -> None:
    async def scenario(it: Served, clients: Any) -> None:
        await until(lambda: len(it.connected) == WAITING)
        most = Counter(it.connected).most_common(1)[0][1]
        assert _MOST // 2 < most <= _MOST
        for client in clients:
            await until(lambda: is_greeted(client))  # noqa: B023

    served(tmp_path, scenario, family)


def test_after_it_has_settled_all_that_were_accepted_are_connected(tmp_path: Path) -> None:
    async def scenario(it: Served, _clients: Any) -> None:
        made = it.accepting.protocol(config="of uvicorn")  # as for one that the loop accepts
        assert isinstance(made, Made)
        before = len(it.connected)
        await it.accepting.settled()
        assert len(it.connected) >= before + _MOST - 1
        await until(lambda: len(it.connected) == WAITING)

    served(tmp_path, scenario)


def test_clients_who_have_left_end_nothing(tmp_path: Path) -> None:
    async def scenario(it: Served, clients: Any) -> None:
        for client in clients[: WAITING // 2]:
            linger = b"\1\0\0\0" + b"\0\0\0\0"  # a reset, and no orderly end
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.close()
        for client in clients[WAITING // 2 :]:
            await until(lambda: is_greeted(client))  # noqa: B023

    served(tmp_path, scenario)
