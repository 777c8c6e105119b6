"""Runs promtool and Prometheus, as operators do."""

import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode

import yaml

from benchmarks.processes import free_port
from tests.conftest import require_program
from tests.support.nginx import wait_until_listening
from tests.support.waiting import eventually

MONITORING = Path(__file__).parents[2] / "docs" / "how-to" / "monitoring"
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
    """Runs in docs/how-to/monitoring."""
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


SCRAPE_INTERVAL_S = 1


class Result(NamedTuple):
    """A series in the answer to a query."""

    labels: dict[str, str]
    samples: list[tuple[float, str]]
    """Seconds since the epoch, and the value as a text."""


class Prometheus:
    """A Prometheus that runs. It scrapes and evaluates the alerts every second."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """A Prometheus that has just begun to listen answers 503."""
        try:
            urllib.request.urlopen(f"{self._url}/-/ready", timeout=10).close()
        except HTTPError as error:
            error.close()
            return False
        return True

    def query(self, expression: str, at: float | None = None) -> list[Result]:
        """`at`: seconds since the epoch, by default now. Raises: HTTPError, for a wrong one."""
        moment = {} if at is None else {"time": f"{at:.3f}"}
        results = self.get("query", query=expression, **moment)["result"]
        return [Result(one["metric"], one.get("values") or [one["value"]]) for one in results]

    def value(self, expression: str, at: float | None = None) -> float:
        """Of an expression with one result."""
        (result,) = self.query(expression, at)
        ((_, value),) = result.samples
        return float(value)

    def alerts(self) -> list[dict[str, Any]]:
        """Those that are pending or fire."""
        found: list[dict[str, Any]] = self.get("alerts")["alerts"]
        return found

    def get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus_scraping(folder: Path, *targets: str) -> Iterator[Prometheus]:
    """Prometheus with the job `gateway` and the alerts; its data are in `folder`."""
    program, port = require_program("prometheus"), free_port()
    interval = f"{SCRAPE_INTERVAL_S}s"
    jobs = [
        {
            "job_name": "gateway",
            "metrics_path": "/-/metrics",
            "static_configs": [{"targets": list(targets)}],
        }
    ]
    every = {
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "evaluation_interval": interval,
    }
    folder.mkdir()
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump({"global": every, "rule_files": [str(ALERTS)], "scrape_configs": jobs})
    )
    process = subprocess.Popen(
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
        text=True,
    )
    try:
        wait_until_listening(port, process)
        prometheus = Prometheus(port)
        eventually(prometheus.is_ready, bool)
        yield prometheus
    finally:
        process.terminate()
        process.wait(20)
