"""The record that every command writes: `<command>.json`, in one shape.

`all` makes its page of these files, and `compare` holds two of them against each other; neither
knows what was measured.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Spread, spread_of
from benchmarks.plotting import svg_of
from benchmarks.promises import PROMISES, Verdict, judge

Draw = Callable[[Any], None]
"""Draws into the matplotlib axes that it is given."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured, once in each round."""

    name: str
    unit: str
    rounds: Sequence[float]
    more_is_better: bool = False

    @property
    def spread(self) -> Spread:
        """Raises: ValueError, if there are no rounds."""
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
    """Name of its file, without the suffix."""
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
    """Lines for the reader: what was skipped, which curve is not flat and why."""
    failures: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """Whatever else of this one command is worth keeping."""

    def remark(self, line: str) -> None:
        """Adds the line once, however often it is said."""
        if line not in self.remarks:
            self.remarks.append(line)

    def judge(
        self, key: str, figures: Mapping[str, Spread], *, doubt: str = "", broken: str = ""
    ) -> None:
        """Adds the verdict on the promise of that key. Raises: KeyError, if there is none."""
        self.verdicts.append(judge(PROMISES[key], figures, doubt=doubt, broken=broken))

    def plot(self, name: str, title: str, *panels: Draw, height: float = 3.6) -> None:
        """Adds a picture of the panels; a remark instead if matplotlib is missing."""
        try:
            self.plots.append(Plot(name, title, svg_of(name, panels, height)))
        except ImportError:
            self.remark("no plots: matplotlib is not installed")

    def as_json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            **self.facts,
            "promises": [_verdict_json(verdict) for verdict in self.verdicts],
            "figures": [asdict(figure) for figure in self.figures],
            "tables": [asdict(table) for table in self.tables],
            "plots": [asdict(plot) for plot in self.plots],
            "remarks": self.remarks,
            "failures": self.failures,
            **self.details,
        }

    def write(self, folder: Path) -> None:
        """Writes the JSON, and each plot as a file of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False)
        (folder / f"{self.command}.json").write_text(text + "\n")
        for plot in self.plots:
            (folder / f"{plot.name}.svg").write_text(plot.svg)


def _verdict_json(verdict: Verdict) -> Mapping[str, Any]:
    return {
        "key": verdict.promise.key,
        "promise": verdict.promise.text,
        "bound": str(verdict.promise.bound),
        "outcome": verdict.outcome.value,
        "remark": verdict.remark,
        "figures": {case: asdict(spread) for case, spread in verdict.figures.items()},
    }
