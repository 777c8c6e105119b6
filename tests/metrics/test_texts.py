"""Texts from outside, as people see them."""

import time

import pytest

from gateway.metrics.texts import one_line

SIGNATURE = "A" * 43


@pytest.mark.parametrize(
    "text",
    [
        "x" * 65_000,
        "/signed/" * 8_000,
        "eyJ" * 20_000,
        "." + SIGNATURE * 1_500,
        "://" * 20_000,
        "\x00" * 65_000,
    ],
)
def test_a_text_that_a_stranger_makes_long_costs_little(text: str) -> None:
    """A search that begins anew at each letter takes seconds for these."""
    began_at = time.process_time()
    for _ in range(10):
        one_line(text, 65_000)
    assert time.process_time() - began_at < 2.0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a" * 10, "/a/a…"),
        ("12345", "12345"),
        (f"/signed/c2lnbmVkLXRva2Vu.{SIGNATURE}/plugins", "/sig…"),
    ],
)
def test_a_line_is_cut(text: str, shown: str) -> None:
    assert one_line(text, 5) == shown
