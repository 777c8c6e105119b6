"""Every round's figures as JSON, so that anyone can compute anew."""

from dataclasses import asdict
from typing import Any

from benchmarks.serve.figures import Figures


def recorded(figures: Figures) -> list[dict[str, Any]]:
    return [
        {
            "server": each.server,
            "cell": str(each.cell),
            "round": each.round_number,
            **asdict(each.report),
            "requests_per_s": round(each.report.requests_per_s, 1),
            "server_cpu_s": round(each.cpu_s, 3),
            "others_cpu_s": round(each.others_s, 3),
            "disturbed": each.disturbed,
        }
        for each in figures.counted
    ]
