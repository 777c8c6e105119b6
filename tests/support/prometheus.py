"""Runs promtool and Prometheus, as operators do."""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import require_program

MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
DASHBOARD = MONITORING / "dashboard.json"


def table_rows(columns: int) -> list[list[str]]:
    """Cells of the rows of the page's tables with so many columns."""
    lines = (MONITORING / "README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line[:1] == "|"]
    return [cells for cells in rows if len(cells) == columns]


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Those of the dashboard, rows included, in order."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def panel_queries(interval: str = "1m") -> list[tuple[str, str]]:
    """Title and expression of each query of the dashboard, for all nodes of the job `gateway`."""
    variables = {"$job": "gateway", "$instance": ".*", "$__rate_interval": interval}
    found = []
    for panel in panels():
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in variables.items():
                expression = expression.replace(variable, value)
            found.append((panel["title"], expression))
    return found


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs in docs/monitoring."""
    return subprocess.run(
        [require_program("promtool"), *arguments],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_parses(expressions: Iterable[str]) -> None:
    rules = [
        {"record": f"expression_{number}", "expr": expression}
        for number, expression in enumerate(expressions)
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}, file)
        file.flush()
        checked = promtool("check", "rules", file.name)
    assert checked.returncode == 0, checked.stderr
