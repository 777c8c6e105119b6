"""Requests that come when they come, not when the server is ready for them.

A client that waits for an answer before it asks again asks less of a server that is slow, and so
hides how slow it is ("coordinated omission"). Here each request has its moment, drawn ahead of
time, and its latency counts from that moment: waiting for a free connection is part of it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter_ns

from benchmarks.processes import HOST

_MOST_CONNECTIONS = 64
_PATIENCE_S = 30.0
# asyncio's timers are a millisecond coarse: the rest of the time to a moment is spent looking.
_COARSE_S = 0.002
NO_ANSWER = 0
"""Instead of a status: the connection failed, or nothing came in time."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, and when it comes, in seconds from the start."""

    at_s: float
    kind: str
    request: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    at_s: float
    kind: str
    status: int
    latency_ns: int
    lateness_ns: int
    """How much of the latency is this generator's own: it was busy when the moment came."""


def poisson(
    rate: float, duration_s: float, choose: Callable[[], tuple[str, bytes]], seed: int = 1
) -> Iterator[Arrival]:
    """Arrivals that know nothing of each other, `rate` a second on average."""
    source = random.Random(seed)  # noqa: S311 (no secret)
    at_s = source.expovariate(rate)
    while at_s < duration_s:
        kind, request = choose()
        yield Arrival(at_s, kind, request)
        at_s += source.expovariate(rate)


def one_of_each(requests: Sequence[bytes], rate: float) -> Iterator[Arrival]:
    """In turn, at an even pace."""
    return (Arrival(place / rate, "warm", each) for place, each in enumerate(requests))


async def open_loop(port: int, arrivals: Iterable[Arrival]) -> list[Answered]:
    """What became of each request, in the order in which they were answered."""
    answered: list[Answered] = []
    connections = _Connections(port)
    tasks: set[asyncio.Task[None]] = set()
    started_ns = perf_counter_ns()

    async def ask(arrival: Arrival, due_ns: int, lateness_ns: int) -> None:
        status = await connections.status_of(arrival.request)
        latency_ns = perf_counter_ns() - due_ns
        answered.append(Answered(arrival.at_s, arrival.kind, status, latency_ns, lateness_ns))

    for arrival in arrivals:
        due_ns = started_ns + round(arrival.at_s * 1e9)
        await _until(due_ns)
        task = asyncio.create_task(ask(arrival, due_ns, perf_counter_ns() - due_ns))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    await connections.close()
    return answered


async def _until(due_ns: int) -> None:
    left_s = (due_ns - perf_counter_ns()) / 1e9
    if left_s > _COARSE_S:
        await asyncio.sleep(left_s - _COARSE_S)
    while perf_counter_ns() < due_ns:  # noqa: ASYNC110 (nothing tells when it has come)
        await asyncio.sleep(0)


class _Connections:
    """Kept alive, the last one used first; opened at need, up to a number."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def status_of(self, request: bytes) -> int:
        try:
            async with asyncio.timeout(_PATIENCE_S), self._connection() as (reader, writer):
                writer.write(request)
                return await read_answer(reader)
        except (OSError, EOFError, TimeoutError, ValueError, IndexError):
            return NO_ANSWER

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """One that nobody uses; only what ended well is used again."""
        async with self._places:
            found = self._free.pop() if self._free else None
            if found is None or found[0].at_eof():
                found = await asyncio.open_connection(HOST, self._port)
            try:
                yield found
            except BaseException:
                found[1].close()
                raise
            self._free.append(found)

    async def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in self._free), return_exceptions=True
        )


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status, once the whole answer has come. Raises: EOFError, ValueError, IndexError."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if found and status != 304:
        await reader.readexactly(int(rest.partition(b"\r\n")[0]))
    return status
