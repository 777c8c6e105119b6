"""wrk, which outruns every server here: one thread, figures by its own Lua interface.

Each round keeps a fixed number of connections busy (a closed loop) and ends with a report.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.report import LoadReport, parse_report

# Enough that a server never waits for a request, few enough that p99 means something.
CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("wrk_report.lua")
_GRACE_S = 30.0


class LoadFailed(Exception):
    """The round cannot be counted; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One GET, sent again and again."""

    url: str
    headers: Mapping[str, str]


def is_installed() -> bool:
    return shutil.which("wrk") is not None


def run_load(request: Request, duration_s: int) -> LoadReport:
    """Blocking. Raises: LoadFailed, also where any answer was an error."""
    fields = [f"{name}: {value}" for name, value in request.headers.items()]
    options = [part for field in fields for part in ("--header", field)]
    return run_wrk(_SCRIPT, [*options, request.url], 1, CONNECTIONS, duration_s)


def run_wrk(
    script: Path, arguments: list[str], threads: int, connections: int, duration_s: int
) -> LoadReport:
    """The report at the end of the script's output. Raises: LoadFailed, as `run_load`."""
    command = [
        *("wrk", "--threads", str(threads), "--connections", str(connections)),
        *("--duration", f"{duration_s}s", "--timeout", "60s", "--script", str(script)),
        *arguments,
    ]
    try:
        ended = subprocess.run(  # noqa: S603 (a command of our own)
            command, capture_output=True, text=True, timeout=duration_s + _GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed("wrk did not end") from None
    if ended.returncode != 0:
        raise LoadFailed(f"wrk: {ended.stderr.strip() or ended.stdout.strip()}")
    try:
        report = parse_report(ended.stdout)
    except ValueError as error:
        raise LoadFailed(f"wrk: {error}") from None
    if report.errors:
        raise LoadFailed(
            ", ".join(f"{number} {kind} errors" for kind, number in sorted(report.errors.items()))
        )
    return report
