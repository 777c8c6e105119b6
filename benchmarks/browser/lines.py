"""A line with a given rate and round-trip time, between a browser and a server: a TCP proxy.

All connections share the line, and each direction has its own rate, as in a home's connection to
the internet. A connection costs a round trip before its first byte, and every byte is half a round
trip late. TCP's slow start and lost packets are left out: real lines are slower, not faster.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.processes import HOST

# A part of the line's time that one connection may take at once: 20 ms at 1.6 Mbit/s.
_CHUNK_BYTES = 4096
# What a sender may be ahead of the line. Without it the line would rest whenever a timer is late.
_AHEAD_S = 0.02


@dataclass(frozen=True, slots=True)
class Speed:
    name: str
    bits_per_s: float
    """In each direction."""
    round_trip_s: float

    def __str__(self) -> str:
        return self.name


class Direction:
    """One direction of a line. Moments are seconds of any clock."""

    def __init__(self, speed: Speed) -> None:
        self._bytes_per_s = speed.bits_per_s / 8
        self._free_at = 0.0
        self.bytes = 0
        """All that was sent so far."""

    def send(self, size_bytes: int, now: float) -> float:
        """The moment at which the last of these bytes has left, after all that came before."""
        self._free_at = max(self._free_at, now) + size_bytes / self._bytes_per_s
        self.bytes += size_bytes
        return self._free_at


class Line:
    """Listens on `port`, and connects each client to the server."""

    def __init__(self, speed: Speed, server_port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = 0
        self._speed = speed
        self._server_port = server_port
        self._loop = loop
        self._up, self._down = Direction(speed), Direction(speed)
        self._clients: set[asyncio.StreamWriter] = set()

    @property
    def bytes(self) -> int:
        """All that passed so far, in both directions; of TCP's payload, with TLS."""
        return self._up.bytes + self._down.bytes

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connect, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def hang_up(self) -> None:
        """Ends all connections, as an hour without requests would. From any thread; waits."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result()

    async def _hang_up(self) -> None:
        for client in self._clients:
            client.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._clients.add(client)
        server = None
        try:
            answers, server = await asyncio.open_connection(HOST, self._server_port)
            await asyncio.sleep(self._speed.round_trip_s)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, server, self._up))
                both.create_task(self._carry(answers, client, self._down))
        except* OSError:
            pass  # one of them has gone, so the other one must go too
        finally:
            self._clients.discard(client)
            for writer in (client, server):
                if writer is not None:
                    writer.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        """Until the sender ends. What was sent arrives in its order, and then the end."""
        delay_s, arrives_at = self._speed.round_trip_s / 2, 0.0
        while chunk := await reader.read(_CHUNK_BYTES):
            left_at = direction.send(len(chunk), self._loop.time())
            arrives_at = left_at + delay_s
            self._loop.call_at(arrives_at, _write, writer, chunk)
            await asyncio.sleep(left_at - _AHEAD_S - self._loop.time())
        await asyncio.sleep(max(arrives_at, self._loop.time() + delay_s) - self._loop.time())
        writer.close()
        await writer.wait_closed()


def _write(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(chunk)


class Lines:
    """Lines that run in a thread of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: list[asyncio.Server] = []

    def open(self, speed: Speed, server_port: int) -> Line:
        line = Line(speed, server_port, self._loop)
        listening = asyncio.run_coroutine_threadsafe(line.listen(), self._loop)
        self._servers.append(listening.result())
        return line

    async def end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def shaped_lines() -> Iterator[Lines]:
    """Their lines end with the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lines")
    thread.start()
    lines = Lines(loop)
    try:
        yield lines
    finally:
        asyncio.run_coroutine_threadsafe(lines.end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
