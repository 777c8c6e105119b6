"""What every command leaves behind: `<command>.json`, the same shape for all of them. Pure.

`all` makes its page of these files, and `compare` holds two of them against each other; neither
knows what was measured.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.promises import Verdict
from benchmarks.ratios import Spread, spread_of


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured, once in each round."""

    name: str
    unit: str
    rounds: Sequence[float]
    more_is_better: bool = False

    @property
    def spread(self) -> Spread:
        """Raises: ValueError, of a figure without rounds."""
        spread = spread_of(self.rounds)
        if spread is None:
            raise ValueError(f"{self.name}: no rounds")
        return spread


@dataclass(frozen=True, slots=True)
class Table:
    """Cells are texts, as they are shown; numbers to compute with are figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plot:
    name: str
    """Of its file, without the suffix."""
    title: str
    svg: str


@dataclass(slots=True)
class Record:
    """A run of one command."""

    command: str
    facts: dict[str, Any]
    """Machine, versions, options, commit, load average."""
    figures: list[Figure] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What a reader must know: what was skipped, where a curve is not flat and why."""
    failures: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever else is worth keeping of this one command."""

    def remark(self, line: str) -> None:
        """Once, however often it is said."""
        if line not in self.remarks:
            self.remarks.append(line)

    def as_json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            **self.facts,
            "promises": [_promise(verdict) for verdict in self.verdicts],
            "figures": [asdict(figure) for figure in self.figures],
            "tables": [asdict(table) for table in self.tables],
            "plots": [asdict(plot) for plot in self.plots],
            "remarks": self.remarks,
            "failures": self.failures,
            **self.details,
        }

    def write(self, folder: Path) -> None:
        """The JSON, and each plot as a file of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False)
        (folder / f"{self.command}.json").write_text(text + "\n")
        for plot in self.plots:
            (folder / f"{plot.name}.svg").write_text(plot.svg)


def _promise(verdict: Verdict) -> Mapping[str, Any]:
    return {
        "promise": verdict.promise,
        "bound": str(verdict.bound),
        "outcome": verdict.outcome.value,
        "remark": verdict.remark,
        "figures": {place: asdict(spread) for place, spread in verdict.figures.items()},
    }
