"""What loads from a source come to, in the table and in words."""

import asyncio
from contextlib import suppress

import pytest

from gateway.errors import AssetNotFound, SourceUnavailable
from gateway.metrics.catalogue import (
    SOURCE_CIRCUIT_OPEN,
    SOURCE_DURATION,
    SOURCE_ERRORS,
    SOURCE_LAST_SUCCESS,
    SOURCE_LOADS,
)
from gateway.metrics.process import ProcessMetrics
from gateway.metrics.sources import AllSources, SourceCounts, SourceState

EPOCH = 1_700_000_000.0


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return EPOCH + self.now_s


class Counted:
    """The database's counts, under a clock of the test."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = ProcessMetrics.alone()
        self.counts = SourceCounts("database", self.metrics.column, self.clock, self.clock.wall)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """Loads, errors, durations."""
        totals = self.metrics.totals()
        return (
            totals.value(SOURCE_LOADS, "database"),
            totals.value(SOURCE_ERRORS, "database"),
            sum(totals.distribution(SOURCE_DURATION, "database").counts),
        )

    @property
    def state(self) -> SourceState:
        return self.counts.state()

    def fail(self, reason: str = "it is away", *, was_asked: bool = True) -> None:
        error = SourceUnavailable(reason=reason)
        error.was_asked = was_asked
        with suppress(SourceUnavailable), self.counts.load():
            self.clock.now_s += 0.5
            raise error


def test_a_load_that_succeeds_is_counted_with_its_duration_and_moment() -> None:
    counted = Counted()
    with counted.counts.load():
        counted.clock.now_s += 2.0
    assert counted.numbers == (1, 0, 1)
    assert counted.metrics.totals().distribution(SOURCE_DURATION, "database").sum_s == 2.0
    assert counted.state == SourceState("database", None, False, None, EPOCH + 102.0, None, None)


def test_loads_that_end_together_count_one_by_one() -> None:
    counted = Counted()
    with counted.counts.load(3):
        counted.clock.now_s += 2.0
    assert counted.numbers == (3, 0, 3)
    assert counted.metrics.totals().distribution(SOURCE_DURATION, "database").sum_s == 6.0


def test_failures_are_counted_until_a_load_succeeds() -> None:
    counted = Counted()
    counted.fail("first")
    counted.fail("second")
    assert counted.numbers == (2, 2, 2)
    assert counted.state == SourceState("database", 1.0, False, None, None, "second", EPOCH + 101.0)
    with counted.counts.load():
        pass
    assert counted.state == SourceState(
        "database", None, False, None, EPOCH + 101.0, "second", EPOCH + 101.0
    )


def test_what_an_open_circuit_refuses_is_an_error_that_says_nothing_new() -> None:
    counted = Counted()
    counted.fail("the reason")
    counted.fail("failed a moment ago", was_asked=False)
    assert counted.numbers == (2, 2, 1)
    assert counted.state.failing_for_s is not None
    assert counted.state.last_error == "the reason"


def test_that_there_is_no_such_file_is_an_answer() -> None:
    counted = Counted()
    with pytest.raises(AssetNotFound), counted.counts.load():
        raise AssetNotFound
    assert counted.numbers == (1, 0, 1)
    assert counted.state.last_success_at == EPOCH + 100.0


def test_a_load_for_which_nobody_waits_any_more_is_not_counted() -> None:
    counted = Counted()
    with pytest.raises(asyncio.CancelledError), counted.counts.load():
        raise asyncio.CancelledError
    with counted.counts.load() as load:
        load.count = 0
    assert counted.numbers == (0, 0, 0)
    assert counted.state == SourceState("database", None, False, None, None, None, None)


def test_the_oldest_load_that_has_not_ended_shows() -> None:
    counted = Counted()
    with counted.counts.load():
        counted.clock.now_s += 5.0
        with counted.counts.load():
            assert counted.state.pending_s == 5.0
        counted.clock.now_s += 1.0
        assert counted.state.pending_s == 6.0
    assert counted.state.pending_s is None


def test_a_source_that_answered_somebody_else_does_not_fail_any_more() -> None:
    counted = Counted()
    counted.fail()
    counted.clock.now_s += 3.0
    counted.counts.answers()
    assert counted.state.failing_for_s is None
    assert counted.state.last_success_at == EPOCH + 103.5


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("two\nlines\x1b[31m", r"two\u000alines\u001b[31m"),
        ("x" * 400, "x" * 299 + "…"),
        ("postgresql://gateway:secret@db/app is away", "postgresql://***@db/app is away"),
    ],
)
def test_the_last_error_is_one_line_without_a_password(reason: str, shown: str) -> None:
    counted = Counted()
    counted.fail(reason)
    assert counted.state.last_error == shown


def test_circuits_and_the_last_success_are_copied_into_the_table() -> None:
    class Circuit:
        is_open = True

    metrics = ProcessMetrics.alone()
    sources = AllSources(metrics)
    sources.database.guarded_by(Circuit())
    with sources.users.load():
        pass
    totals = metrics.totals()
    assert totals.value(SOURCE_CIRCUIT_OPEN, "database") == 1
    assert totals.value(SOURCE_CIRCUIT_OPEN, "users") == 0
    assert totals.value(SOURCE_LAST_SUCCESS, "users") == pytest.approx(
        sources.users.last_success_at, abs=1.0
    )
    assert [state.name for state in sources.states()] == ["database", "users", "shared"]
