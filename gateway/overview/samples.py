"""What happened in an interval, out of the difference of the metrics' sums."""

from collections.abc import Iterable, Sequence
from operator import sub
from typing import Any, NamedTuple

from gateway.metrics.catalogue import (
    BOUNDS_S,
    CACHE_EVENT,
    CACHES,
    CPU,
    HOT,
    LOOP_DELAY,
    REQUEST_DURATION,
    REQUESTS,
    RESPONSE_BYTES,
    ROW_COUNT,
    SOURCE_DURATION,
    SOURCE_ERRORS,
    SOURCE_LOADS,
    SOURCES,
    WORKER_RESTARTS,
)
from gateway.metrics.table import Totals

_HITS = ("hits", "negative_hits", "stale_hits")


class Sample(NamedTuple):
    shown: dict[str, Any]
    """For people, as the console shows it."""
    counted: dict[str, Any]
    """The numbers that are summed up for the last minute: see `sum_up`."""


class Minute(NamedTuple):
    """Sums over several samples."""

    loads: dict[str, float]
    """By source; likewise the next two."""
    errors: dict[str, float]
    durations: dict[str, list[float]]
    loop_delays: list[float]
    request_durations: list[float]
    requests: float
    internal_errors: float
    restarts: float


def difference(totals: Totals, before: Totals) -> Totals:
    return Totals(list(map(sub, totals.values, before.values)))


def percentile(counts: Sequence[float], share: float) -> float | None:
    """The duration that this share of all stays below, interpolated in its bucket; None if nothing
    was counted. `counts`: by bucket, as in `Distribution`.

    What is longer than the last bound counts as the last bound.
    """
    total = sum(counts)
    if total <= 0:
        return None
    remaining = share * total
    below = 0.0
    for bound, count in zip(BOUNDS_S, counts, strict=False):
        if count and remaining <= count:
            return below + (bound - below) * remaining / count
        remaining -= count
        below = bound
    return below


def sample_of(change: Totals, elapsed_s: float, now: float) -> Sample:
    """`change`: how much each number has risen in `elapsed_s`, until `now`."""
    values = change.values

    def per_s(rows: Iterable[int]) -> float:
        return sum(values[row] for row in rows) / elapsed_s

    durations = [sum(counts) for counts in zip(*_all_durations(change), strict=True)]
    requests = sum(values[row] for row in _ROWS["all"])
    shown = {
        "time": now,
        "requests_per_s": requests / elapsed_s,
        "refusals_per_s": per_s(_ROWS["4"]),
        "errors_per_s": per_s(_ROWS["5"]),
        "bytes_per_s": per_s(RESPONSE_BYTES.rows.values()),
        "hot_share": _share(sum(values[row] for row in _ROWS[HOT]), requests),
        "p50_s": percentile(durations, 0.5),
        "p99_s": percentile(durations, 0.99),
        "hit_shares": {cache: _hit_share(change, cache) for cache in CACHES},
        "sources": {source: _source(change, source, elapsed_s) for source in SOURCES},
        "cpu_cores": change.value(CPU) / elapsed_s,
        "loop_delay_s": percentile(change.distribution(LOOP_DELAY).counts, 0.99),
    }
    return Sample(shown, _counted(change, durations)._asdict())


def sum_up(samples: Sequence[Sample]) -> Minute:
    """What was counted in all of them."""
    total = _counted(_NOTHING, [0.0] * (len(BOUNDS_S) + 1))
    for sample in samples:
        total = Minute(*(_plus(one, sample.counted[name]) for name, one in total._asdict().items()))
    return total


def _plus(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {key: _plus(value, other[key]) for key, value in one.items()}
    if isinstance(one, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one + other


def _counted(change: Totals, durations: list[float]) -> Minute:
    return Minute(
        loads={source: change.value(SOURCE_LOADS, source) for source in SOURCES},
        errors={source: change.value(SOURCE_ERRORS, source) for source in SOURCES},
        durations={
            source: list(change.distribution(SOURCE_DURATION, source).counts) for source in SOURCES
        },
        loop_delays=list(change.distribution(LOOP_DELAY).counts),
        request_durations=durations,
        requests=sum(change.values[row] for row in _ROWS["all"]),
        internal_errors=sum(change.values[row] for row in _ROWS["500"]),
        restarts=sum(change.values[row] for row in WORKER_RESTARTS.rows.values()),
    )


def _source(change: Totals, source: str, elapsed_s: float) -> dict[str, Any]:
    return {
        "loads_per_s": change.value(SOURCE_LOADS, source) / elapsed_s,
        "errors_per_s": change.value(SOURCE_ERRORS, source) / elapsed_s,
        "p99_s": percentile(change.distribution(SOURCE_DURATION, source).counts, 0.99),
    }


def _hit_share(change: Totals, cache: str) -> float | None:
    hits = sum(change.value(CACHE_EVENT, cache, event) for event in _HITS)
    return _share(hits, hits + change.value(CACHE_EVENT, cache, "misses"))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _all_durations(change: Totals) -> list[Sequence[float]]:
    return [change.distribution(REQUEST_DURATION, *labels).counts for labels in _DURATIONS]


def _request_rows() -> dict[str, list[int]]:
    """The rows of requests: all, by the first digit of the status, by status, and by path."""
    rows: dict[str, list[int]] = {"all": [], "4": [], "5": [], "500": [], HOT: []}
    for (_, status, path), row in REQUESTS.rows.items():
        for key in {"all", status[0], status, path} & rows.keys():
            rows[key].append(row)
    return rows


_ROWS = _request_rows()
_DURATIONS: list[tuple[str, ...]] = list(REQUEST_DURATION.rows)
_NOTHING = Totals([0.0] * ROW_COUNT)
