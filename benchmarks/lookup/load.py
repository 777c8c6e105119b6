"""Requests over HTTP at given rates: latency from the moment at which each was due."""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cores import Cores
from benchmarks.load.open_loop import Answered, one_of_each, open_loop, poisson
from benchmarks.machine import cpu_seconds
from benchmarks.percentiles import Latencies
from benchmarks.processes import HOST, Command, Running, free_port, running
from benchmarks.subjects import LASTING, Asking
from benchmarks.users import LAWS
from gateway.upkeep.site import CONFIG_NAME

_WARM_RATE = 500
# Of a core. Encoding takes a whole one; looking after the JSON files of all who asked, a tenth.
_IDLE = 0.25
_LONGEST_REST_S = 60.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """One rate, with one law for who asks."""

    law: str
    rate: int
    latencies: Latencies
    lateness: Latencies
    """The generator's own share."""
    failed: int
    """Answers other than 200, and requests without an answer."""


@contextmanager
def gateway_server(
    folder: Path, environment: dict[str, str], cores: Cores, log_folder: Path
) -> Iterator[Running]:
    """`gateway serve` over a site. Raises: ServerFailed."""
    port = free_port()
    config = ("--config", str((folder / CONFIG_NAME).absolute()))
    arguments = ("-m", "gateway", *config, "serve", "--host", HOST, "--port", str(port))
    command = Command((sys.executable, *arguments), {**LASTING, **environment})
    with running(command, port, core=cores.server, folder=log_folder) as server:
        yield server


def warm_up(server: Running, askings: Sequence[Asking]) -> None:
    """One request of each user; then the server has made what it makes in the background."""
    requests = [asking.request for asking in askings]
    asyncio.run(open_loop(server.port, one_of_each(requests, _WARM_RATE)))
    until = time.monotonic() + _LONGEST_REST_S
    while time.monotonic() < until:
        before = cpu_seconds(server.pid)
        time.sleep(1)
        if cpu_seconds(server.pid) - before < _IDLE:
            return


def load_at(
    port: int, askings: Sequence[Asking], rates: Sequence[int], duration_s: float
) -> Iterator[Loaded]:
    """Each rate by each law."""
    for rate in rates:
        for law in LAWS:
            arrivals = poisson(rate, duration_s, _by_law(law, askings))
            yield _loaded(law, rate, asyncio.run(open_loop(port, arrivals)))


def _by_law(law: str, askings: Sequence[Asking]) -> Callable[[], tuple[str, bytes]]:
    requests = [asking.request for asking in askings]
    random.Random(2).shuffle(requests)  # noqa: S311 (no secret)
    choose = LAWS[law](len(requests))
    return lambda: ("file", requests[choose()])


def _loaded(law: str, rate: int, answered: Sequence[Answered]) -> Loaded:
    return Loaded(
        law,
        rate,
        Latencies(each.latency_ns for each in answered),
        Latencies(each.lateness_ns for each in answered),
        sum(each.status != 200 for each in answered),
    )
