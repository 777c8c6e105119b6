"""Load in a closed loop by wrk, which outruns every server here: one request, or lists of them.

A fixed number of connections is kept busy, and wrk.lua ends with a report: one line of JSON.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from benchmarks.client import Request
from benchmarks.processes import HOST

# Enough that a server never waits for a request, few enough that p99 means something.
CONNECTIONS = 64
HEAD_BYTES = 2048
"""The header fields of an answer have no more."""
_SCRIPT = Path(__file__).with_name("wrk.lua")
_GRACE_S = 30.0
# Longer than any list takes: the list ends the load.
_NO_LIMIT_S = 300
_ERROR_KINDS = ("connect", "read", "write", "status", "timeout")


class LoadFailed(Exception):
    """The measurement cannot be counted; the text says why."""


class Until(Enum):
    """The event that ends a load of lists."""

    TIME = "again"
    """The time; the lists are sent again and again."""
    FIRST_LIST_SENT = "once"
    """The end of a list, or the time; no request is sent twice."""
    LAST_ANSWER = "all"
    """The last answer to one list. The duration counts from the first request."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What one run of wrk saw."""

    requests: int
    """Complete answers."""
    duration_us: int
    received_bytes: int
    """Header fields and content, including answers that were not complete at the end."""
    p50_us: float
    p99_us: float
    errors: Mapping[str, int]
    """Numbers by kind, none of them 0. `status`: answers other than 2xx and 3xx."""

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.duration_us * 1e6


def run_load(port: int, request: Request, duration_s: int) -> LoadReport:
    """Sends one request again and again. Blocking.

    Raises: LoadFailed, also if any answer was an error.
    """
    fields = [f"{name}: {value}" for name, value in request.headers.items()]
    options = [part for field in fields for part in ("--header", field)]
    url = f"http://{HOST}:{port}{request.path}"
    return _run_wrk([*options, url], 1, CONNECTIONS, duration_s)


class RequestLists:
    """Lists of requests in files, for load that is no repetition.

    Each list has a thread of its own. With as many connections as lists, each connection sends one
    list in its order and waits for each answer; one list over many connections is sent nearly in
    its order, by whichever connection is free.
    """

    def __init__(self, folder: Path, lists: Sequence[Iterable[bytes]]) -> None:
        """Makes the folder and writes the lists."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._threads = len(lists)
        for number, requests in enumerate(lists):
            (folder / str(number)).write_bytes(b"".join(requests))

    def send(
        self, port: int, until: Until, connections: int, duration_s: int = _NO_LIMIT_S
    ) -> LoadReport:
        """Blocking. Raises: LoadFailed, also if any answer was an error."""
        arguments = [f"http://{HOST}:{port}/", "--", str(self._folder), until.value]
        return _run_wrk(arguments, self._threads, connections, duration_s)


def parse_report(output: str) -> LoadReport:
    """Reads the last line of wrk's output.

    Raises: ValueError, if it is no report, or nothing was answered.
    """
    lines = output.strip().splitlines()
    try:
        fields: dict[str, Any] = json.loads(lines[-1])
        report = LoadReport(
            requests=int(fields["requests"]),
            duration_us=int(fields["duration_us"]),
            received_bytes=int(fields["received_bytes"]),
            p50_us=float(fields["p50_us"]),
            p99_us=float(fields["p99_us"]),
            errors={kind: number for kind in _ERROR_KINDS if (number := int(fields[kind]))},
        )
    except (IndexError, KeyError, TypeError, ValueError):
        raise ValueError(f"no report at the end of {output!r}") from None
    if not report.requests and not report.errors:
        raise ValueError("no request was answered")
    return report


def check_length(
    report: LoadReport, content_bytes: float, *, unfinished: int = 0, tolerance: float = 0.0
) -> None:
    """Whether the answers had that much content each, on average. Raises: LoadFailed.

    wrk looks at errors alone: this notices answers that changed during the run, and 304 for 200.
    unfinished: answers that may have been incomplete at the end. tolerance: a share of the content.
    """
    least = report.requests * content_bytes * (1 - tolerance)
    most = (report.requests + unfinished) * (content_bytes * (1 + tolerance) + HEAD_BYTES)
    if not least <= report.received_bytes <= most:
        mean = report.received_bytes / report.requests
        raise LoadFailed(
            f"{mean:.0f} bytes for each answer, expected {content_bytes:.0f} and a head"
        )


def _run_wrk(
    arguments: Sequence[str], threads: int, connections: int, duration_s: int
) -> LoadReport:
    command = [
        *("wrk", "--threads", str(threads), "--connections", str(connections)),
        *("--duration", f"{duration_s}s", "--timeout", "60s", "--script", str(_SCRIPT)),
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
