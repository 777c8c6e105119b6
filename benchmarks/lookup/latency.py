"""Requests over HTTP at given rates: latency from the moment at which each was due."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.client import Request
from benchmarks.figures import PERCENTILE_NAMES, PERCENTILES, Latencies, us_text
from benchmarks.machine import cpu_seconds
from benchmarks.open_loop import LAWS, one_of_each, open_loop, poisson, shuffled
from benchmarks.processes import Running
from benchmarks.record import Draw, Record, Table

_WARM_RATE = 500
# Share of a core. Encoding takes a whole core; watching the users' JSON files takes a tenth.
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


def warm_up(server: Running, requests: Sequence[Request]) -> None:
    """Sends one request of each user, and waits until the server has made its variants."""
    raw = [request.raw for request in requests]
    asyncio.run(open_loop(server.port, one_of_each(raw, _WARM_RATE)))
    until = time.monotonic() + _LONGEST_REST_S
    while time.monotonic() < until:
        before = cpu_seconds(server.pid)
        time.sleep(1)
        if cpu_seconds(server.pid) - before < _IDLE:
            return


def load_at(
    port: int, requests: Sequence[Request], rate: int, law: str, duration_s: float
) -> Loaded:
    raw = shuffled((request.raw for request in requests), seed=2)
    choose = LAWS[law](len(raw))
    arrivals = poisson(rate, duration_s, lambda: ("file", raw[choose()]))
    answered = asyncio.run(open_loop(port, arrivals))
    return Loaded(
        law,
        rate,
        Latencies(answer.latency_ns for answer in answered),
        Latencies(answer.lateness_ns for answer in answered),
        sum(answer.status != 200 for answer in answered),
    )


def note_latency(record: Record, loads: Sequence[Loaded]) -> None:
    rows = []
    for load in loads:
        rows.append(
            [
                f"{load.rate} requests/s, {load.law}",
                *map(us_text, load.latencies.percentiles_us()),
                us_text(load.lateness.percentile_us(99.0)),
            ]
        )
        if load.failed:
            record.failures.append(f"{load.rate} requests/s: {load.failed} answers were not 200")
    title = "Microseconds of a request by HTTP from the moment it was due (open loop)"
    columns = ["load, users", *PERCENTILE_NAMES, "generator's p99"]
    record.tables.append(Table(title, columns, rows))
    _plot_latency(record, loads)


def _plot_latency(record: Record, loads: Sequence[Loaded]) -> None:
    places = range(len(PERCENTILES))

    def panel(law: str) -> Draw:
        def draw(axes: Any) -> None:
            for load in loads:
                if load.law == law:
                    label = f"{load.rate} requests/s"
                    axes.plot(places, load.latencies.percentiles_us(), marker="o", label=label)
            axes.set(yscale="log", ylabel="µs from the due moment", title=f"{law} users")
            axes.set_xticks(places, PERCENTILE_NAMES)
            axes.legend()

        return draw

    laws = list(dict.fromkeys(load.law for load in loads))
    record.plot("lookup-load", "Latency under load", *map(panel, laws))
