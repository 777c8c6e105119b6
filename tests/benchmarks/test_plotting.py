"""Plots can be read: numbers as people write them, legends below, nothing too wide."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.plotting import plain, svg_of

READABLE_PT = 700
"""A page shows pictures with 800 to 900 pixels; a wider one is made smaller, with its letters."""


def draw(axes: Any) -> None:
    axes.plot([1_000, 1_000_000], [3, 12], label="a line")
    axes.set(xscale="log", yscale="log")
    axes.legend()


def drawn(panels: int) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of("name", [draw] * panels, height=3.6))


def texts(svg: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()).strip() for text in svg.iterfind(".//{*}text")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1, "1"), (20, "20"), (10_000, "10,000"), (2_000_000, "2 million")],
)
def test_a_number_has_no_power_of_ten(value: float, text: str) -> None:
    assert plain(value) == text


def test_ticks_are_plain_numbers_and_close_ones_are_there_too() -> None:
    shown = texts(drawn(1))
    assert {"1,000", "10,000", "1 million"} <= set(shown)
    assert {"5", "10"} <= set(shown)
    assert not [text for text in shown if "\N{MULTIPLICATION SIGN}" in text]


@pytest.mark.parametrize("panels", [1, 2, 3, 4])
def test_a_picture_is_as_wide_as_a_page(panels: int) -> None:
    svg = drawn(panels)
    width = float(re.sub("pt", "", svg.attrib["width"]))
    assert width <= READABLE_PT
    assert sum(text == "a line" for text in texts(svg)) == panels


def test_a_legend_is_below_its_panel() -> None:
    svg = drawn(1)
    groups = {
        group.attrib["id"]: group for group in svg.iterfind(".//{*}g") if "id" in group.attrib
    }
    below = [float(text.attrib["y"]) for text in groups["legend_1"].iterfind(".//{*}text")]
    ticks = [float(text.attrib["y"]) for text in groups["matplotlib.axis_1"].iterfind(".//{*}text")]
    assert min(below) > max(ticks)


def test_equal_figures_give_equal_bytes() -> None:
    assert svg_of("name", [draw], 3.6) == svg_of("name", [draw], 3.6)
