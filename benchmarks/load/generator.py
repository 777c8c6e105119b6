"""What a load generator is asked, and the one function that runs it."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.load.report import LoadReport, parse_report

# As in docs: enough that a server never waits for a request, few enough that p99 means something.
CONNECTIONS = 32
_GRACE_S = 30.0


class LoadFailed(Exception):
    """The round cannot be counted; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One GET, sent again and again."""

    url: str
    headers: Mapping[str, str]


class Generator(Protocol):
    """A program that makes load."""

    name: str
    can_outrun: bool
    """Whether it is faster than the servers; otherwise a ratio near 1 says nothing."""

    def arguments(self, request: Request, duration_s: int) -> list[str]:
        """The command; its last line of output is a report."""


def run_load(generator: Generator, request: Request, duration_s: int) -> LoadReport:
    """Blocking. Raises: LoadFailed, also where any answer was an error."""
    return run_command(generator.name, generator.arguments(request, duration_s), duration_s)


def run_command(name: str, arguments: Sequence[str], duration_s: int) -> LoadReport:
    """The report at the end of a load generator's output. Raises: LoadFailed, as `run_load`."""
    try:
        ended = subprocess.run(  # noqa: S603 (commands of our own)
            arguments, capture_output=True, text=True, timeout=duration_s + _GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"{name} did not end") from None
    if ended.returncode != 0:
        raise LoadFailed(f"{name}: {ended.stderr.strip() or ended.stdout.strip()}")
    try:
        report = parse_report(ended.stdout)
    except ValueError as error:
        raise LoadFailed(f"{name}: {error}") from None
    if report.errors:
        raise LoadFailed(
            ", ".join(f"{number} {kind} errors" for kind, number in sorted(report.errors.items()))
        )
    return report
