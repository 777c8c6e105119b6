"""The report that a load script ends with: one line of JSON. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ERROR_KINDS = ("connect", "read", "write", "status", "timeout")


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
    """By kind, none of them 0. `status`: answers other than 2xx and 3xx."""

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.duration_us * 1e6


def parse_report(output: str) -> LoadReport:
    """The last line of wrk's output.

    Raises: ValueError, where it is no report, or nothing was answered.
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


def length_is_plausible(report: LoadReport, content_bytes: int, connections: int) -> bool:
    """Whether what came in can have been answers with that much content each.

    wrk looks at status codes only: this notices answers that changed during the run. Header
    fields are at most 2 KiB here; at the end one answer per connection may be incomplete.
    """
    least = report.requests * content_bytes
    most = (report.requests + connections) * (content_bytes + 2048)
    return least <= report.received_bytes <= most
