"""monitoring/dashboard.json: what Grafana imports, and queries of series that there are."""

import json
from itertools import combinations
from typing import Any

import pytest

from tests.support.prometheus import DASHBOARD, assert_parses, panel_queries, panels, table_rows
from tests.support.promql import unknown_in

ROWS = ["Health", "Traffic", "Latency", "Caches", "Sources", "Changes", "Workers"]
WIDTH = 24
"""Columns of Grafana's grid."""


def drawn() -> list[dict[str, Any]]:
    return [panel for panel in panels() if panel["type"] != "row"]


def test_the_rows_are_in_the_order_of_the_console() -> None:
    assert [panel["title"] for panel in panels() if panel["type"] == "row"] == ROWS


def test_ids_and_titles_of_panels_are_unique() -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in panels()]
        assert [value for value in values if values.count(value) > 1] == []
    for panel in drawn():
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_the_page_says_the_same_of_each_panel() -> None:
    described = [cells for cells in table_rows(2) if not cells[0].startswith("-")]
    first = described.index(["panel", "what it shows"])
    rows = [cells for cells in described[first:] if cells != ["panel", "what it shows"]]
    assert rows == [[panel["title"], panel["description"]] for panel in drawn()]


def test_panels_lie_inside_the_grid_and_not_over_each_other() -> None:
    places = [panel["gridPos"] for panel in panels()]
    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert places == sorted(places, key=lambda place: (place["y"], place["x"]))


def test_every_panel_asks_the_chosen_data_source_and_nodes() -> None:
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    assert [variable["name"] for variable in variables] == ["datasource", "job", "instance"]
    for panel in drawn():
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            selected = target["expr"].count('{job="$job", instance=~"$instance"')
            assert selected == target["expr"].count("{") > 0


def test_it_needs_a_grafana_that_it_names() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    grafana, *_ = dashboard["__requires"]
    assert (grafana["id"], grafana["version"]) == ("grafana", "10.0.0")
    assert dashboard["schemaVersion"] == 38  # that of Grafana 10.0
    types = {one["id"] for one in dashboard["__requires"] if one["type"] == "panel"}
    assert types == {panel["type"] for panel in drawn()}


@pytest.mark.parametrize(
    ("title", "expression"), panel_queries(), ids=[title for title, _ in panel_queries()]
)
def test_a_query_names_series_and_labels_of_the_catalogue(title: str, expression: str) -> None:
    assert unknown_in(expression) == []


@pytest.mark.slow
def test_promtool_can_read_every_query() -> None:
    assert_parses(expression for _, expression in panel_queries())
