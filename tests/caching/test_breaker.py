"""A source that fails is left alone, and asked again: caching/breaker.py, with a clock of ours."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.caching.breaker import PAUSE_S, THRESHOLD, CircuitBreaker
from gateway.errors import SourceUnavailable

START_S = 1000.0
A_MOMENT_S = 0.01


class Source:
    """What the breaker guards; its outcomes are given as letters.

    `.` answers, `x` fails, `?` is a bug of ours, `c` is given up by its caller.
    """

    def __init__(self) -> None:
        self.now_s = START_S
        self.asked = 0
        self.breaker = CircuitBreaker("the source", clock=lambda: self.now_s)

    def ask(self, outcome: str, takes_s: float = 0.0) -> str:
        """The outcome, or `-` where the source was not asked."""
        try:
            with self.breaker.guarding():
                self.asked += 1
                self.now_s += takes_s
                if outcome == "x":
                    raise SourceUnavailable(reason="down")
                if outcome == "?":
                    raise KeyError
                if outcome == "c":
                    raise asyncio.CancelledError
        except SourceUnavailable as error:
            return "x" if error.reason == "down" else "-"
        except (KeyError, asyncio.CancelledError):
            return outcome
        return outcome

    def ask_all(self, outcomes: str) -> str:
        return "".join(self.ask(outcome) for outcome in outcomes)

    @classmethod
    def failing(cls) -> "Source":
        source = cls()
        source.ask_all("x" * THRESHOLD)
        return source


@pytest.mark.parametrize(
    ("outcomes", "seen"),
    [
        ("....", "...."),
        ("xx.", "xx."),
        ("xxx.", "xxx-"),
        ("xxx..xx", "xxx----"),
        ("xx.xx.xx.", "xx.xx.xx."),  # in a row, not in all
        ("x.xxx.", "x.xxx-"),
        ("???.", "???."),  # not the source's fault
        ("ccc.", "ccc."),
        ("xx?x.", "xx?x-"),  # and no proof that it works
        ("xxcx.", "xxcx-"),
    ],
)
def test_three_failures_in_a_row_open_the_circuit(outcomes: str, seen: str) -> None:
    assert Source().ask_all(outcomes) == seen


def test_while_it_is_open_nobody_waits_and_nobody_asks() -> None:
    source = Source.failing()
    source.now_s += PAUSE_S - A_MOMENT_S
    assert source.ask_all(".....") == "-----"
    assert source.asked == THRESHOLD


def test_what_is_refused_is_a_503_that_names_the_source() -> None:
    source = Source.failing()
    with pytest.raises(SourceUnavailable, match="the source") as refused, source.breaker.guarding():
        pass
    assert (refused.value.status, dict(refused.value.headers)) == (503, {"Retry-After": "1"})


def test_after_the_pause_one_call_asks_and_the_others_do_not_wait_for_it() -> None:
    source = Source.failing()
    source.now_s += PAUSE_S
    with source.breaker.guarding():
        assert source.ask_all("...") == "---"
    assert source.ask_all("...") == "..."


def test_its_failure_opens_the_circuit_for_another_pause_from_then_on() -> None:
    source = Source.failing()
    source.now_s += PAUSE_S
    assert source.ask("x", takes_s=5.0) == "x"
    source.now_s += PAUSE_S - A_MOMENT_S
    assert source.ask(".") == "-"
    source.now_s += A_MOMENT_S
    assert source.ask(".") == "."


def test_a_call_that_never_returns_does_not_keep_the_circuit_open_for_ever() -> None:
    source = Source.failing()
    source.now_s += PAUSE_S
    with source.breaker.guarding():  # and is still waiting
        source.now_s += PAUSE_S
        assert source.ask_all("..") == ".."


def test_refused_calls_do_not_put_off_the_next_question() -> None:
    source = Source.failing()
    for _ in range(10):
        source.now_s += PAUSE_S / 10
        seen = source.ask(".")
    assert seen == "."


def test_calls_that_began_before_it_opened_may_close_it() -> None:
    """They have proved that the source works."""
    source = Source()
    with source.breaker.guarding():
        assert source.ask_all("xxx.") == "xxx-"
    assert source.ask(".") == "."


def test_it_tells_for_how_long_nothing_has_worked() -> None:
    source = Source()
    assert source.breaker.failing_for_s is None
    source.ask("x", takes_s=2.0)
    assert source.breaker.failing_for_s == 2.0  # since that call began
    source.now_s += 1.0
    source.ask_all("xx--")
    source.now_s += 60.0
    assert source.breaker.failing_for_s == 63.0
    source.ask("?")
    assert source.breaker.failing_for_s == 63.0
    source.now_s += PAUSE_S
    source.ask(".")
    assert source.breaker.failing_for_s is None


def test_a_source_that_has_answered_somebody_else_is_asked_by_all() -> None:
    source = Source.failing()
    source.breaker.close()
    with source.breaker.guarding():  # no other call has to wait for the first one
        assert source.ask_all("..x.") == "..x."
    source = Source.failing()
    source.breaker.close()
    assert source.ask_all("x" * THRESHOLD + ".") == "x" * THRESHOLD + "-"


def test_the_log_says_once_that_a_source_fails_and_once_that_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    source = Source()
    for _ in range(2):
        source.ask_all("xxx..")
        source.now_s += PAUSE_S
        source.ask_all("x--")
        source.now_s += PAUSE_S
        source.ask_all("....")
    lines = ["the source fails: down", f"the source works again, after {2 * PAUSE_S:.1f} s"]
    assert caplog.messages == lines * 2


def test_no_request_has_to_log_what_is_in_the_log_already() -> None:
    source = Source()
    for _ in range(THRESHOLD + 1):
        with pytest.raises(SourceUnavailable) as refused, source.breaker.guarding():
            raise SourceUnavailable(reason="down")
        assert refused.value.is_logged


@given(
    st.lists(
        st.tuples(st.sampled_from(".x?c"), st.floats(0, 3), st.floats(0, 3)),
        max_size=30,
    )
)
def test_a_source_that_works_again_is_asked_within_a_pause_whatever_happened(
    history: list[tuple[str, float, float]],
) -> None:
    source = Source()
    for outcome, pause_s, takes_s in history:
        source.now_s += pause_s
        source.ask(outcome, takes_s)
    source.now_s += PAUSE_S
    assert source.ask_all("...") == "..."
    assert source.breaker.failing_for_s is None


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_a_source_that_stays_down_is_asked_at_most_once_in_a_pause(pauses_s: list[float]) -> None:
    source = Source.failing()
    for pause_s in pauses_s:
        source.now_s += pause_s
        source.ask("x")
    assert source.asked - THRESHOLD <= (source.now_s - START_S) / PAUSE_S
