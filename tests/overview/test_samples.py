"""Samples: what happened in an interval, from the difference of the metrics' sums."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.metrics.catalogue import (
    BOUNDS_S,
    CACHE_EVENT,
    COLD,
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
    WORKER_RESTARTS,
    RouteClass,
)
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.table import Totals
from gateway.overview.history import HISTORY_S, INTERVAL_S, History, Sampler
from gateway.overview.samples import percentile, sample_of, sum_up

BUCKETS = len(BOUNDS_S) + 1


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Sampled:
    """A process that serves alone, and its history."""

    def __init__(self) -> None:
        self.metrics = ProcessMetrics.alone()
        self.clock = Clock()
        self.history = History.alone()
        self.sampler = Sampler(self.history, self.metrics.table.totals, self.clock, self.clock)

    def next(self, elapsed_s: float = INTERVAL_S) -> dict[str, Any]:
        """The sample of an interval that ends now."""
        self.clock.now_s += elapsed_s
        self.sampler.look()
        return self.history.since(self.clock.now_s - 0.1)[0].shown

    def request(self, status: int, path: str, duration_s: float = 0.001) -> None:
        column, route = self.metrics.column, RouteClass.OWN
        column.counter(REQUESTS, route, str(status), path).add()
        column.histogram(REQUEST_DURATION, route, path).observe(duration_s)
        column.counter(RESPONSE_BYTES, route).add(100)


def test_rates_are_of_the_interval_and_of_every_route_and_path() -> None:
    sampled = Sampled()
    sampled.request(200, HOT)
    sampled.next()
    for status, path in [
        (200, HOT),
        (304, HOT),
        (200, COLD),
        (404, COLD),
        (410, COLD),
        (503, COLD),
    ]:
        sampled.request(status, path)
    sample = sampled.next()
    assert sample["requests_per_s"] == 3.0
    assert (sample["refusals_per_s"], sample["errors_per_s"]) == (1.0, 0.5)
    assert sample["hot_share"] == pytest.approx(1 / 3)
    assert sample["bytes_per_s"] == 300.0
    assert sample["time"] == sampled.clock.now_s


def test_an_interval_without_anything_has_no_shares_and_no_durations() -> None:
    sample = Sampled().next()
    assert sample["requests_per_s"] == 0
    assert [sample[name] for name in ("hot_share", "p50_s", "p99_s", "loop_delay_s")] == [None] * 4
    assert set(sample["hit_shares"].values()) == {None}
    assert sample["sources"]["users"] == {"loads_per_s": 0.0, "errors_per_s": 0.0, "p99_s": None}


def test_stale_and_negative_answers_are_hits_too() -> None:
    sampled = Sampled()
    for event, count in [("hits", 5), ("negative_hits", 2), ("stale_hits", 1), ("misses", 2)]:
        sampled.metrics.column.counter(CACHE_EVENT, "versions", event).add(count)
    assert sampled.next()["hit_shares"]["versions"] == 0.8


def test_sources_cpu_and_the_delay_of_the_loop_are_sampled() -> None:
    sampled = Sampled()
    column = sampled.metrics.column
    column.counter(SOURCE_LOADS, "database").add(4)
    column.counter(SOURCE_ERRORS, "database").add(1)
    column.histogram(SOURCE_DURATION, "database").observe(0.2)
    column.histogram(LOOP_DELAY).observe(0.02)
    column.counter(CPU).add(3.0)
    sample = sampled.next()
    database = sample["sources"]["database"]
    assert (database["loads_per_s"], database["errors_per_s"]) == (2.0, 0.5)
    assert database["p99_s"] == pytest.approx(0.298)
    assert sample["cpu_cores"] == 1.5
    assert 0.01 < sample["loop_delay_s"] <= 0.03


@pytest.mark.parametrize(
    ("durations", "share", "expected_s"),
    [
        ([], 0.5, None),
        ([0.2], 0.5, 0.2),  # half of the bucket from 0.1 to 0.3
        ([0.2] * 10, 0.99, 0.298),
        ([0.0001] * 99 + [2.0], 0.5, pytest.approx(0.0000654, rel=0.01)),
        ([0.0001] * 99 + [2.0], 0.995, 2.0),
        ([100.0], 0.99, BOUNDS_S[-1]),
    ],
)
def test_a_percentile_is_interpolated_in_its_bucket(
    durations: list[float], share: float, expected_s: float | None
) -> None:
    metrics = ProcessMetrics.alone()
    for duration_s in durations:
        metrics.column.histogram(LOOP_DELAY).observe(duration_s)
    counts = metrics.totals().distribution(LOOP_DELAY).counts
    assert percentile(counts, share) == (
        expected_s if expected_s is None else pytest.approx(expected_s)
    )


@given(st.lists(st.integers(0, 1000), min_size=BUCKETS, max_size=BUCKETS))
def test_percentiles_rise_with_their_share_and_lie_in_the_bucket_that_has_it(
    counts: list[int],
) -> None:
    shares = [0.01, 0.5, 0.9, 0.99, 1.0]
    found = [percentile(counts, share) for share in shares]
    if not sum(counts):
        assert found == [None] * 5
        return
    known = [duration_s for duration_s in found if duration_s is not None]
    assert len(known) == 5
    assert known == sorted(known)
    for share, duration_s in zip(shares, known, strict=True):
        below = sum(
            count
            for count, bound in zip(counts, BOUNDS_S, strict=False)
            if bound <= duration_s * (1 - 1e-9)
        )
        assert below <= share * sum(counts) * (1 + 1e-9)


def test_a_sample_is_written_at_each_interval_and_not_between() -> None:
    sampled = Sampled()
    for _ in range(20):
        sampled.clock.now_s += 0.1
        sampled.sampler.look()
    assert len(sampled.history.since(0)) == 1
    sampled.clock.now_s += 7.0
    sampled.sampler.look()
    assert len(sampled.history.since(0)) == 2


def test_the_history_has_the_last_ten_minutes_oldest_first() -> None:
    sampled = Sampled()
    times = [sampled.next()["time"] for _ in range(320)]
    found = [sample.shown["time"] for sample in sampled.history.since(0)]
    assert found == times[-int(HISTORY_S / INTERVAL_S) :]
    assert [it.shown["time"] for it in sampled.history.since(times[-3])] == times[-2:]
    assert sampled.history.since(times[-1]) == []


def test_the_largest_sample_fits() -> None:
    """Otherwise it could not be written, and the supervisor would die of it."""
    numbers = itertools.cycle([1.2345678901234567e300, 9.87654321098765e-300, 2.0**53])
    change = Totals(list(itertools.islice(numbers, ROW_COUNT)))
    History.alone().append(sample_of(change, 1.2345678901234567, 1764482574.1234567))


def test_the_last_minute_is_summed_up_from_its_samples() -> None:
    sampled = Sampled()
    column = sampled.metrics.column
    for duration_s in (0.001, 0.2):
        sampled.request(500, COLD, duration_s)
        column.counter(SOURCE_LOADS, "users").add(3)
        column.counter(SOURCE_ERRORS, "users").add(1)
        column.histogram(SOURCE_DURATION, "users").observe(duration_s)
        column.counter(WORKER_RESTARTS, "hung").add()
        sampled.next()
    minute = sum_up(sampled.history.since(0))
    assert (minute.loads["users"], minute.errors["users"], minute.loads["shared"]) == (6, 2, 0)
    assert (minute.requests, minute.internal_errors, minute.restarts) == (2, 2, 2)
    assert sum(minute.durations["users"]) == sum(minute.request_durations) == 2
    assert sum_up([]).requests == 0
