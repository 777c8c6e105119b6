"""Load in an open loop: requests come when they are due, not when the server is ready for them.

A client that waits for an answer before it asks again asks less of a slow server, and so hides how
slow it is ("coordinated omission"). Here each request has its moment, drawn ahead of time, and its
latency counts from that moment: waiting for a free connection is part of it.
"""

import asyncio
import multiprocessing
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import accumulate, count
from multiprocessing.connection import Connection as Pipe
from time import perf_counter_ns
from typing import TypeVar

from benchmarks.client import read_head
from benchmarks.processes import HOST

T = TypeVar("T")
Choose = Callable[[], int]
"""Draws who asks next: a rank, 0 is the most frequent user."""

# The exponent of Zipf's law for visits of people; 0 would be uniform.
_EXPONENT = 1.0
_MAX_CONNECTIONS = 64
_PATIENCE_S = 30.0
# asyncio's timers are a millisecond coarse: the loop spins for the rest of the time to a moment.
_COARSE_S = 0.002
NO_ANSWER = 0
"""Instead of a status: the connection failed, or nothing came in time."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, and when it is due, in seconds from the start."""

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
    """The generator's own share of the latency: it was busy when the request was due."""


def zipf(users: int, seed: int = 1) -> Choose:
    """The user of rank n comes 1/n as often as the first."""
    source = random.Random(seed)  # noqa: S311 (no secret)
    reached = list(accumulate(1 / rank**_EXPONENT for rank in range(1, users + 1)))
    return lambda: bisect_left(reached, source.random() * reached[-1])


def uniform(users: int, seed: int = 1) -> Choose:
    source = random.Random(seed)  # noqa: S311 (no secret)
    return lambda: source.randrange(users)


LAWS = {"Zipf": zipf, "uniform": uniform}


def shuffled(values: Iterable[T], seed: int = 1) -> list[T]:
    """In an order without rule: rank and place on the disk have nothing to do with each other."""
    result = list(values)
    random.Random(seed).shuffle(result)  # noqa: S311 (no secret)
    return result


def poisson(
    rate: float, duration_s: float, choose: Callable[[], tuple[str, bytes]], seed: int = 1
) -> Iterator[Arrival]:
    """Arrivals that know nothing of each other, `rate` a second on average.

    choose: draws the kind of a request, and the request.
    """
    source = random.Random(seed)  # noqa: S311 (no secret)
    at_s = source.expovariate(rate)
    while at_s < duration_s:
        kind, request = choose()
        yield Arrival(at_s, kind, request)
        at_s += source.expovariate(rate)


def one_of_each(requests: Sequence[bytes], rate: float) -> Iterator[Arrival]:
    """The requests in turn, `rate` a second, evenly."""
    return (Arrival(place / rate, "warm", request) for place, request in enumerate(requests))


async def open_loop(
    port: int, arrivals: Iterable[Arrival], *, spinning: bool = True
) -> list[Answered]:
    """Sends the requests; what became of them, in the order in which they were answered.

    spinning: reaches each moment exactly, and takes the whole core for that.
    """
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
        await _until(due_ns, spinning=spinning)
        task = asyncio.create_task(ask(arrival, due_ns, perf_counter_ns() - due_ns))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    await connections.close()
    return answered


@contextmanager
def steady_load(port: int, request: bytes, rate: int) -> "Iterator[Counter[int]]":
    """`rate` requests a second from a process of its own, while the block lasts.

    Afterwards the counter holds the number of answers by status.
    """
    statuses: Counter[int] = Counter()
    if not rate:
        yield statuses
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run_steady_load, args=(port, request, rate, theirs))
    process.start()
    try:
        yield statuses
    finally:
        ours.send("stop")
        statuses.update(ours.recv())
        process.join()


def _run_steady_load(port: int, request: bytes, rate: int, pipe: "Pipe[Counter[int], str]") -> None:
    def arrivals() -> Iterator[Arrival]:
        for number in count():
            if pipe.poll():
                return
            yield Arrival(number / rate, "steady", request)

    answered = asyncio.run(open_loop(port, arrivals(), spinning=False))
    pipe.send(Counter(answer.status for answer in answered))


async def _until(due_ns: int, *, spinning: bool) -> None:
    left_s = (due_ns - perf_counter_ns()) / 1e9
    coarse_s = _COARSE_S if spinning else 0.0
    if left_s > coarse_s:
        await asyncio.sleep(left_s - coarse_s)
    while perf_counter_ns() < due_ns:  # noqa: ASYNC110 (no event tells when the moment has come)
        await asyncio.sleep(0)


class _Connections:
    """Connections that are kept alive, opened at need; the last one used is the next one used."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(_MAX_CONNECTIONS)

    async def status_of(self, request: bytes) -> int:
        """The status, once the whole answer has come; NO_ANSWER if it does not come."""
        try:
            async with asyncio.timeout(_PATIENCE_S), self._connection() as (reader, writer):
                writer.write(request)
                status, length = await read_head(reader)
                await reader.readexactly(length)
                return status
        except (OSError, EOFError, TimeoutError, ValueError, IndexError):
            return NO_ANSWER

    @asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that nobody uses; it is used again only if its block ended well."""
        async with self._places:
            connection = self._free.pop() if self._free else None
            if connection is None or connection[0].at_eof():
                connection = await asyncio.open_connection(HOST, self._port)
            try:
                yield connection
            except BaseException:
                connection[1].close()
                raise
            self._free.append(connection)

    async def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for _, writer in self._free), return_exceptions=True
        )
