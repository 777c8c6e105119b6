"""The architecture page: its program runs, its picture and its table show every ring."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.server import Server, listening
from tests.support.site import ADA, BEN, CLEO, NOBODY, SECRET, Site, bearer

ROOT = Path(__file__).parents[1]
MINIMAL = ROOT / "docs" / "explanation" / "minimal.py"
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
ENTRY = "/api/v1/plugins/Review/dist/remoteEntry.js"


@pytest.fixture(scope="module")
def minimal(site: Site) -> Iterator[Server]:
    arguments = (str(site.plugins), f"sqlite:///{site.database}", "0")
    with listening({"JWT_SECRET": SECRET}, str(MINIMAL), *arguments) as server:
        yield server


@pytest.mark.parametrize(
    ("user", "path", "status"),
    [
        (ADA, ENTRY, 200),  # at 1.0.0
        (BEN, ENTRY, 200),  # at 1.0.1
        (BEN, "/api/v1/plugins/Eyes/dist/remoteEntry.js", 404),  # not installed
        (CLEO, "/api/v1/plugins/Eyes/dist/remoteEntry.js", 404),  # disabled
        (NOBODY, ENTRY, 404),
        (ADA, "/api/v1/plugins/Review/dist/none.js", 404),
        (ADA, "/api/v1/plugins/Review/dist/../../v1.0.1/dist/remoteEntry.js", 404),
        (None, ENTRY, 401),
    ],
)
def test_the_minimal_application_answers_as_the_gateway_does(
    minimal: Server, server: Server, user: str | None, path: str, status: int
) -> None:
    headers = bearer(user) if user else {}
    ours, theirs = server.get(path, headers), minimal.get(path, headers)
    assert (ours.status, theirs.status) == (status, status)
    if status == 200:
        assert theirs.body == ours.body


def test_the_page_shows_the_program_as_it_runs() -> None:
    _, _, program = MINIMAL.read_text().split('"""', 2)
    assert f"```python\n{program.lstrip()}```" in PAGE


def test_the_picture_shows_the_rings_of_the_import_contract_from_top_to_bottom() -> None:
    heights: dict[str, float] = {}
    for text in ElementTree.parse(ROOT / "docs" / "explanation" / "rings.svg").iterfind(
        ".//{*}text"
    ):
        if text.get("class") == "name":
            heights[text.text or ""] = float(text.get("y", ""))
    drawn = [{name for name in heights if heights[name] == y} for y in sorted({*heights.values()})]
    assert drawn == rings()


def test_the_table_explains_every_ring() -> None:
    explained = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    assert {name for row in explained for name in re.findall(r"\w+", row)} == set().union(*rings())


def rings() -> list[set[str]]:
    """The rooms of each layer that `make check` keeps apart, from the top."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = configuration["tool"]["importlinter"]["contracts"][0]["layers"]
    return [set(layer.split(" | ")) for layer in layers if layer != "__main__"]
