"""What the server holds, sampled every half second."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import psutil

from benchmarks.processes import HOST, Running
from benchmarks.promises import Bound, Verdict, judge
from benchmarks.ratios import Spread
from benchmarks.soak.app import COUNTS_PATH
from benchmarks.soak.slope import fitted_line

_EVERY_S = 0.5
DESCRIPTORS = "file descriptors"
# The caches fill at first: what is held then is judged from here on.
_SETTLED_SHARE = 0.4
# File descriptors come and go with connections, so they are counted before and after the load.
LEFT = Bound(4, at_most=True)
_CLOSING_S = 10.0
# A shorter run shows the filling alone.
_SHORTEST_JUDGED_S = 100.0

BOUNDS: Mapping[str, Bound] = {
    "memory": Bound(8, "MiB", at_most=True),
    "threads": Bound(8, at_most=True),
    "tasks": Bound(8, at_most=True),
}
"""How much the fitted line may rise over the judged part: what a busy moment near its end makes
of a flat line. One of them lost with every thousandth request is four times as much."""


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    held: Mapping[str, float]
    """By name; memory in MiB."""


async def sample_counts(server: Running, duration_s: float) -> list[Sample]:
    started = time.monotonic()
    process = psutil.Process(server.pid)
    samples = []
    while (at_s := time.monotonic() - started) < duration_s:
        tasks = await _tasks(server.port)
        held = {
            "memory": process.memory_info().rss / 2**20,
            "threads": process.num_threads(),
            "tasks": tasks,
            DESCRIPTORS: process.num_fds(),
        }
        samples.append(Sample(at_s, held))
        await asyncio.sleep(_EVERY_S)
    return samples


def descriptors(server: Running) -> int:
    return int(psutil.Process(server.pid).num_fds())


async def descriptors_left(server: Running, before: int) -> int:
    """How many more the server has than before, once it had time to close what clients left."""
    until = time.monotonic() + _CLOSING_S
    while (left := descriptors(server) - before) > 0 and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(_EVERY_S)
    return left


def flatness(samples: Sequence[Sample]) -> list[Verdict]:
    """Of everything in BOUNDS."""
    duration_s = samples[-1].at_s if samples else 0.0
    settled = [each for each in samples if each.at_s >= duration_s * _SETTLED_SHARE]
    doubt = ""
    if duration_s < _SHORTEST_JUDGED_S:
        doubt = f"shorter than {_SHORTEST_JUDGED_S:g} s: the caches still fill"
    verdicts = []
    for name, bound in BOUNDS.items():
        figures = {}
        if len(settled) > 1:
            line = fitted_line([(each.at_s, each.held[name]) for each in settled])
            place = f"rise over {line.duration_s:.0f} s, from {line.level:,.1f}"
            figures = {place: Spread(line.rise, line.rise, line.rise)}
        verdicts.append(judge(f"soak: {name} flat", bound, figures, doubt=doubt))
    return verdicts


async def _tasks(port: int) -> float:
    """One connection for each look: it is closed before the descriptors are counted again."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        request = f"GET {COUNTS_PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return float(orjson.loads(body)["tasks"])
    finally:
        writer.close()
