"""The run as JSON: every round's figures, so that anyone can compute anew."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.promises import Verdict
from benchmarks.serve.cells import Cell
from benchmarks.serve.figures import Figures


def write_record(
    path: Path,
    *,
    facts: Mapping[str, object],
    skipped: Iterable[str],
    figures: Figures,
    verdicts: Iterable[Verdict],
) -> None:
    """`facts`: machine, versions and options."""
    record = {
        **facts,
        "skipped": list(skipped),
        "rounds": [
            {
                **_place(each.server, each.cell, each.round_number),
                **asdict(each.report),
                "requests_per_s": round(each.report.requests_per_s, 1),
                "server_cpu_s": round(each.cpu_s, 3),
                "others_cpu_s": round(each.others_s, 3),
                "disturbed": each.disturbed,
            }
            for each in figures.counted
        ],
        "failures": [
            {**_place(each.server, each.cell, each.round_number), "reason": each.reason}
            for each in figures.failures
        ],
        "promises": [
            {
                "promise": verdict.promise,
                "at_least": verdict.at_least,
                "outcome": verdict.outcome.value,
                "remark": verdict.remark,
                "ratios": {place: asdict(spread) for place, spread in verdict.figures.items()},
            }
            for verdict in verdicts
        ],
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


def _place(server: str, cell: Cell, number: int) -> dict[str, Any]:
    return {
        "server": server,
        "size_bytes": cell.size_bytes,
        "case": cell.case.name,
        "round": number,
    }
