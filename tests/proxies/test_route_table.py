"""The tables of docs/how-to/proxies.md say who answers which request, as the printed proxies do."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.proxies import upstream_of
from gateway.proxies.one_origin import GatewayRoute, gateway_routes
from gateway.settings import Settings
from tests.support.site import SECRET

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "proxies.md").read_text()
SECTION = PAGE.partition("\n## One origin\n")[2].partition("\nWhat the application sees")[0]
WORDS = {"api": "/api/v1", "plugin": "Review", "slug": "Review", "module": "Main",
         "path": "dist/remoteEntry.js", "token": "body.signature"}  # fmt: skip
REST = "Review/dist/remoteEntry.js"
ALL: Mapping[str, Any] = {
    "access": {"changes": "users"},
    "identity": {"jwt": {"secret": SECRET}, "signed": {"secret": SECRET}},
}


class Row(NamedTuple):
    requests: list[str]
    """`METHOD PATH` of an example of each request that the row names."""
    answered_by: str
    text: str
    """The whole row, which also says on which settings it depends."""


def routes(changed: Mapping[str, Any]) -> list[GatewayRoute]:
    settings = Settings.model_validate({**ALL, **changed})
    return gateway_routes(upstream_of(settings, "proxy", "127.0.0.1:8005"))


def is_the_gateways(request: str, changed: Mapping[str, Any] = {}) -> bool:
    return any(re.match(route.pattern, request) for route in routes(changed))


def table_rows() -> Iterator[Row]:
    for line in SECTION.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 2 and "`" in cells[0]:
            requests = list(examples(cells[0].partition(", except")[0]))
            yield Row(requests, cells[1], line)


def examples(cell: str) -> Iterator[str]:
    """A `…` at the beginning of a path stands for the path before it without its last segment."""
    methods, base, follows_method = ["GET", "POST"], "", False
    for word in re.findall(r"\b[A-Z]{3,}\b|`[^`]+`", cell):
        if not word.startswith("`"):
            methods, follows_method = [*(methods if follows_method else []), word], True
            continue
        follows_method, path = False, word.strip("`")
        if path.startswith(("{api}", "/-/")):
            base = path.rpartition("/")[0]
        if "/" in path:
            path = re.sub("^…", base, path).replace("…", REST).format(**WORDS)
            yield from (f"{method} {path}" for method in methods)


ROWS = [row for row in table_rows() if "OPTIONS" not in row.text and "%2e" not in row.text]
GATEWAYS = [row for row in ROWS if row.answered_by == "the gateway"]
APPLICATIONS = [row for row in ROWS if row.answered_by == "the application"]
DEPENDING = [row for row in ROWS if row not in GATEWAYS and row not in APPLICATIONS]


def test_the_tables_are_read() -> None:
    assert (len(GATEWAYS), len(APPLICATIONS), len(DEPENDING)) == (6, 6, 1)
    assert "HEAD /api/v1/plugins/Review/modules/Main" in GATEWAYS[1].requests
    assert "PUT /api/v1/plugins/Review/update" in DEPENDING[0].requests
    assert "POST /api/v1/plugins/Review/services/stop" in APPLICATIONS[3].requests


@pytest.mark.parametrize("row", GATEWAYS, ids=lambda row: row.requests[0])
def test_the_gateway_answers_what_the_table_says(row: Row) -> None:
    for request in row.requests:
        assert is_the_gateways(request), request


@pytest.mark.parametrize("row", APPLICATIONS, ids=lambda row: row.requests[0])
def test_the_application_answers_what_the_table_says(row: Row) -> None:
    for request in row.requests:
        assert not is_the_gateways(request), request


@pytest.mark.parametrize(
    ("condition", "changed"),
    [
        ("if `access.changes` is `off`", {"access": {"changes": "off"}}),
        ("unless `access.public` is false", {"access": {"changes": "users", "public": False}}),
        ("if `identity.signed.secret` is set", {"identity": {"jwt": {"secret": SECRET}}}),
    ],
)
def test_a_row_depends_on_the_setting_that_it_names(
    condition: str, changed: Mapping[str, Any]
) -> None:
    (row,) = [row for row in ROWS if condition in row.text]
    for request in row.requests:
        assert is_the_gateways(request)
        assert not is_the_gateways(request, changed)


def test_every_route_of_the_gateway_is_in_the_table() -> None:
    named = [request for row in (*GATEWAYS, *DEPENDING) for request in row.requests]
    for route in routes({}):
        assert any(re.match(route.pattern, request) for request in named), route
