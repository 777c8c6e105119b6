"""What the server holds, sampled every half second."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import psutil

from benchmarks.apps import COUNTS_PATH
from benchmarks.client import ask
from benchmarks.figures import exactly, fitted_line
from benchmarks.processes import Running
from benchmarks.record import Record

_EVERY_S = 0.5
FLAT = ("memory", "threads", "tasks")
"""What must not grow; promises with the key `soak_…` say by how much it may."""
DESCRIPTORS = "file descriptors"
# The caches fill at first: only the rest of the time is judged.
_SETTLED_SHARE = 0.4
# File descriptors come and go with connections, so they are counted before and after the load.
_CLOSING_S = 10.0
# In a shorter run the caches fill all the time.
_SHORTEST_JUDGED_S = 100.0


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    counts: Mapping[str, float]
    """By name; memory in MiB."""


async def sample_counts(server: Running, duration_s: float) -> list[Sample]:
    started = time.monotonic()
    process = psutil.Process(server.pid)
    samples = []
    while (at_s := time.monotonic() - started) < duration_s:
        # One connection for each look: it is closed before the descriptors are counted again.
        answer = await asyncio.to_thread(ask, server.port, COUNTS_PATH)
        counts = {
            "memory": process.memory_info().rss / 2**20,
            "threads": process.num_threads(),
            "tasks": float(orjson.loads(answer.content)["tasks"]),
            DESCRIPTORS: process.num_fds(),
        }
        samples.append(Sample(at_s, counts))
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


def judge_flatness(record: Record, samples: Sequence[Sample]) -> None:
    """By the rise of the line that fits the samples once the caches are filled."""
    duration_s = samples[-1].at_s if samples else 0.0
    settled = [sample for sample in samples if sample.at_s >= duration_s * _SETTLED_SHARE]
    doubt = ""
    if duration_s < _SHORTEST_JUDGED_S:
        doubt = f"shorter than {_SHORTEST_JUDGED_S:g} s: the caches still fill"
    for name in FLAT:
        figures = {}
        if len(settled) > 1:
            line = fitted_line([(sample.at_s, sample.counts[name]) for sample in settled])
            case = f"{name}: rise over {line.duration_s:.0f} s, from {line.level:,.1f}"
            figures = {case: exactly(line.rise)}
        record.judge(f"soak_{name}", figures, doubt=doubt)
