"""docs/how-to/tracing.md names every span."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "tracing.md").read_text()


def test_the_page_names_every_span() -> None:
    code = "".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    fixed = set(re.findall(r'\bspan(?:_below)?\([^"()]*"([^"]+)"', code))
    assert "read users' files" in fixed  # the search finds them
    described = set(re.findall(r"^\| `([^`{]+)` \| internal", PAGE, re.MULTILINE))
    assert described == fixed
