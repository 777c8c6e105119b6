"""`python -m benchmarks compare`: what moved from one run to another, beyond noise."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.benchmark import WIDTH
from benchmarks.record import Figure

REPORT_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# Rounds that happen to agree say little of the next run.
_LEAST_CHANGE = 0.03

JsonRecord = Mapping[str, Any]


@click.command()
@click.argument("old", type=REPORT_FILE)
@click.argument("new", type=REPORT_FILE)
def compare(old: Path, new: Path) -> None:
    """What moved from OLD to NEW, beyond noise: JSON files of one benchmark, or of a report.

    A figure has moved where no round of one run lies among the rounds of the other.
    """
    before, after = read_report(old), read_report(new)
    moved = sorted(moves(before, after), key=lambda move: -abs(move.change))
    console = Console(width=WIDTH, highlight=False)
    table = Table("benchmark", "figure", title=f"{len(moved)} figures moved")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right")
    for move in moved:
        color = "green" if move.is_better else "red"
        table.add_row(
            move.command,
            escape(move.after.name),
            *(f"{side.spread.median:,.4g} {side.unit}" for side in (move.before, move.after)),
            f"[{color}]{move.change:+.1%}[/]",
        )
    console.print(table)
    for name in missing_figures(before, after):
        console.print(f"in one of the two only: {name}", style="dim", markup=False)


def read_report(path: Path) -> JsonRecord:
    """A record or a report. Raises: click.BadParameter."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        raise click.BadParameter(f"{path}: expected a JSON file of a benchmark") from None
    if not isinstance(content, dict) or not content.keys() & {"runs", "figures"}:
        raise click.BadParameter(f"{path}: expected a JSON file of a benchmark")
    return content


@dataclass(frozen=True, slots=True)
class Move:
    """A figure that moved between two runs by more than its own rounds differ."""

    command: str
    before: Figure
    after: Figure

    @property
    def change(self) -> float:
        """Change of the median, as a share of the old one."""
        before, after = self.before.spread.median, self.after.spread.median
        return after / before - 1 if before else float("inf")

    @property
    def is_better(self) -> bool:
        return (self.change > 0) == self.after.more_is_better


def moves(before: JsonRecord, after: JsonRecord) -> Iterator[Move]:
    """Figures that both have. Each is a record of one command, or a report of several."""
    old = _figures(before)
    for place, figure in _figures(after).items():
        if place in old and _has_moved(old[place], figure):
            yield Move(place[0], old[place], figure)


def missing_figures(before: JsonRecord, after: JsonRecord) -> Sequence[str]:
    """Names of figures that only one of the two has."""
    names = _figures(before).keys() ^ _figures(after).keys()
    return sorted(f"{command}: {name}" for command, name in names)


def _has_moved(before: Figure, after: Figure) -> bool:
    """Whether no round of one lies among the rounds of the other, and the medians are further
    apart than the middle half of either's rounds is wide.
    """
    old, new = before.spread, after.spread
    apart = new.low > old.high or new.high < old.low
    distance = abs(new.median - old.median)
    noise = max(_middle_half(before.rounds), _middle_half(after.rounds))
    return apart and distance > max(noise, _LEAST_CHANGE * abs(old.median))


def _middle_half(rounds: Sequence[float]) -> float:
    ordered = sorted(rounds)
    quarter = len(ordered) // 4
    return ordered[-1 - quarter] - ordered[quarter]


def _figures(report: JsonRecord) -> dict[tuple[str, str], Figure]:
    """Figures by command and name."""
    records = report["runs"].values() if "runs" in report else [report]
    figures = {}
    for record in records:
        for fields in record.get("figures", ()):
            figure = Figure(**fields)
            figures[record["command"], figure.name] = figure
    return figures
