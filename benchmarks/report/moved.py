"""What moved between two runs, beyond what their own rounds wander. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.record import Figure

# Rounds that happen to agree say little of the next run.
_LEAST_CHANGE = 0.03


@dataclass(frozen=True, slots=True)
class Move:
    command: str
    before: Figure
    after: Figure

    @property
    def change(self) -> float:
        """Of the median, as a share of the old one."""
        before, after = self.before.spread.median, self.after.spread.median
        return after / before - 1 if before else float("inf")

    @property
    def is_better(self) -> bool:
        return (self.change > 0) == self.after.more_is_better


def moves(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Move]:
    """Of figures that both have; each a record of one command, or a report of several."""
    old = dict(_figures(before))
    for place, figure in _figures(after):
        if place in old and _has_moved(old[place], figure):
            yield Move(place[0], old[place], figure)


def missing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[str]:
    """Names of figures that only one of the two has."""
    one, other = ({place for place, _ in _figures(each)} for each in (before, after))
    return sorted(f"{command}: {name}" for command, name in one ^ other)


def _has_moved(before: Figure, after: Figure) -> bool:
    """No round of one lies among the rounds of the other, and the medians are further apart than
    either's middle half is wide.
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


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Figure]]:
    records = report["runs"].values() if "runs" in report else [report]
    for record in records:
        for each in record.get("figures", ()):
            figure = Figure(**each)
            yield (record["command"], figure.name), figure
