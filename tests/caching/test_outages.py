"""A source that fails is logged once, however often it is asked."""

import logging

import pytest

from gateway.caching.outages import QUIET_S, Outages
from gateway.errors import SourceUnavailable

BEGIN = "the files fail: down"


class Source:
    """`.` answers, `x` fails, a number lets so many seconds pass."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.outages = Outages("the files", clock=lambda: self.now_s)

    def ask(self, *outcomes: str | float) -> None:
        for outcome in outcomes:
            if isinstance(outcome, float):
                self.now_s += outcome
            elif outcome == "x":
                error = SourceUnavailable(reason="down")
                self.outages.failed(error)
                assert error.is_logged
            else:
                self.outages.answered()


@pytest.mark.parametrize(
    ("outcomes", "lines"),
    [
        ((".", "."), []),
        (("x",), [BEGIN]),
        (("x", "x", "x"), [BEGIN]),
        (("x", ".", "x", ".", "x", "."), [BEGIN]),
        (
            ("x", 5.0, "x", QUIET_S, ".", "."),
            [BEGIN, "the files work again, after 5.0 s and 2 failures"],
        ),
        (("x", QUIET_S - 1.0, ".", "x", QUIET_S - 1.0, "."), [BEGIN]),
        (
            ("x", QUIET_S, ".", "x", "x"),
            [BEGIN, "the files work again, after 0.0 s and 1 failures", BEGIN],
        ),
        (("x", 100.0, "x"), [BEGIN]),
    ],
)
def test_one_line_when_it_fails_and_one_when_it_works_again(
    outcomes: tuple[str | float, ...], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Source().ask(*outcomes)
    assert caplog.messages == lines
