"""Each command runs once with `--quick`: it measures everything and leaves a valid record.

Whether it was fast is never judged here.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.cli import BENCHMARKS
from benchmarks.comparison import moves
from benchmarks.promises import PROMISES
from benchmarks.record import Figure
from tests.conftest import require, require_program
from tests.support.npm import NO_REGISTRY

pytestmark = pytest.mark.slow

# Options that leave some of the repetitions out: all runs together take a minute and a half.
OPTIONS = {
    "scale": ("--users", "2000"),
    "freshness": ("--repetitions", "4"),
    "serve": ("--cases", "identity,manifest", "--servers", "bare,minimal,uncached"),
    "upstream": ("--cases", "identity"),
}
PROGRAMS = {
    **{name: ["wrk"] for name in ("pages", "storm", "serve")},
    "upstream": ["wrk", "nginx"],
    "upgrade": ["npm"],
    "browser": ["chromium", "npm", "nginx", "caddy"],
}
# Promises that a quick run measures; those about rivals of `pages` take a whole run.
JUDGED = {
    "pages": {"page_load", "first_request", "same_again", "one_file", "one_file_p99"},
    "storm": {"queries_at_once", "memory_page", "idle_10k", "queries_per_view"},
    "serve": {"same_again", "manifest"},
    "upstream": {"behind_nginx"},
    "lookup": {"lookup_p50", "lookup_p99", "concurrent_misses"},
    "scale": {"memory_lookup", "lookup_p50", "lookup_p99", "start"},
    "freshness": {"fresh_sqlite", "fresh_json", "fresh_worker"},
    "soak": {
        *("soak_memory", "soak_threads", "soak_tasks"),
        *("soak_descriptors", "soak_5xx", "outage"),
    },
    "resources": {"shared_memory", "shared_disk"},
    "migration": set(),
    "upgrade": {"upgrade_bytes"},
    "browser": {"browser_second", "browser_upgrade_bytes"},
}

# Counts, and shares of a core: an idle server may use less than one tick of 10 ms in two seconds.
MAY_BE_ZERO = {"", "%"}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sites that several commands use are made once."""
    return tmp_path_factory.mktemp("sites")


@pytest.mark.parametrize("command", JUDGED)
def test_a_quick_run_measures_everything(command: str, sites: Path, tmp_path: Path) -> None:
    for program in PROGRAMS.get(command, ()):
        require_program(program)
    record = _quick_run(command, sites, tmp_path)
    assert record["failures"] == []
    measured = {promise["key"] for promise in record["promises"] if promise["figures"]}
    assert measured >= JUDGED[command]
    assert all(promise["key"] in PROMISES for promise in record["promises"])
    assert record["figures"]
    assert all(
        Figure(**figure).spread.high > 0
        for figure in record["figures"]
        if figure["unit"] not in MAY_BE_ZERO
    )
    assert record["options"]["quick"] is True
    assert "commit" in record
    assert record["tables"]
    assert list(moves(record, record)) == []
    assert (tmp_path / f"{command}.txt").read_text()
    if command == "serve":
        servers = {each["server"] for each in record["rounds"]}
        assert servers == {"bare", "gateway", "minimal", "uncached"}


def test_every_command_has_a_quick_run_here() -> None:
    assert set(JUDGED) == {command.name for command in BENCHMARKS}


@pytest.mark.parametrize("name", ["serve", "pages", "storm", "upstream"])
def test_a_missing_wrk_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (command,) = (each for each in BENCHMARKS if each.name == name)
    ended = CliRunner().invoke(command, ["--quick", "--output", str(tmp_path)])
    assert ended.exit_code == 1
    assert "wrk is not installed" in ended.stderr


def _quick_run(command: str, sites: Path, output: Path) -> dict[str, Any]:
    site_dir = (
        () if command not in ("pages", "storm", "lookup", "scale") else ("--site-dir", str(sites))
    )
    options = OPTIONS.get(command, ())
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", command, "--quick", "--output", str(output),
         *site_dir, *options],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if "npm" in PROGRAMS.get(command, ()):
        require(None if NO_REGISTRY.search(ended.stderr) else ended, "npm's registry")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record: dict[str, Any] = json.loads((output / f"{command}.json").read_text())
    return record
