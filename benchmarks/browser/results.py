"""What was measured of all visits: figures, tables, the plot, and the verdicts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.browser.contestants import ABOUT, APPLICATION, NGINX, PINNED
from benchmarks.browser.lines import Speed
from benchmarks.browser.visits import FIRST, SECOND, UPGRADE, VISITS, Loaded
from benchmarks.figures import Spread, ratio_of_rounds, spread_of
from benchmarks.record import Draw, Figure, Record, Table


@dataclass(frozen=True, slots=True)
class Visit:
    speed: Speed
    contestant: str
    visit: str
    number: int
    """Of its round."""
    loaded: Loaded
    line_bytes: int
    """In both directions, with everything."""
    share_of_br: float
    """Bytes of the answers with files of plugins, of those of the files in br."""


_QUANTITIES: Mapping[str, tuple[str, Callable[[Visit], float]]] = {
    "until plugins run": ("ms", lambda visit: visit.loaded.running_ms),
    "from the manifest until the files are there": ("ms", lambda visit: visit.loaded.files_ms),
    "over the line": ("kB", lambda visit: visit.line_bytes / 1000),
    "requests": ("", lambda visit: visit.loaded.requests),
    "requests for files": ("", lambda visit: visit.loaded.file_requests),
    "files, of their size in br": ("", lambda visit: visit.share_of_br),
}


@dataclass(slots=True)
class Results:
    visits: list[Visit] = field(default_factory=list)

    def add(self, visit: Visit) -> None:
        self.visits.append(visit)

    @property
    def contestants(self) -> Sequence[str]:
        return list(dict.fromkeys(visit.contestant for visit in self.visits))

    def of(self, speed: Speed, contestant: str, name: str, quantity: str) -> dict[int, float]:
        """Values by the number of the round."""
        _, value = _QUANTITIES[quantity]
        return {
            visit.number: value(visit)
            for visit in self.visits
            if (visit.speed, visit.contestant, visit.visit) == (speed, contestant, name)
        }

    def spread(self, speed: Speed, contestant: str, name: str, quantity: str) -> Spread | None:
        return spread_of(self.of(speed, contestant, name, quantity).values())

    def codings(self, speed: Speed, contestant: str, name: str) -> str:
        """Content codings of the answers with files in the last round."""
        for visit in reversed(self.visits):
            if (visit.speed, visit.contestant, visit.visit) == (speed, contestant, name):
                counted = visit.loaded.codings.most_common()
                return ", ".join(f"{number} {coding}" for coding, number in counted) or "-"
        return "-"


def note(
    record: Record, results: Results, speeds: Sequence[Speed], slow: Speed, doubt: str
) -> None:
    """doubt: why nothing is judged, if so."""
    record.figures += _figures(results, speeds)
    record.tables += [_table(results, speed) for speed in speeds]
    for name in results.contestants:
        record.remark(f"{name}: {ABOUT[name]}")
    _judge(record, results, speeds, slow, doubt)
    panels = [_panel(results, speed) for speed in speeds]
    record.plot("browser", "Milliseconds until all plugins run, by line", *panels, height=4.0)


def _figures(results: Results, speeds: Sequence[Speed]) -> Iterator[Figure]:
    for speed in speeds:
        for contestant in results.contestants:
            for name in VISITS:
                for quantity, (unit, _) in _QUANTITIES.items():
                    rounds = list(results.of(speed, contestant, name, quantity).values())
                    if rounds:
                        yield Figure(f"{speed}, {contestant}, {name}: {quantity}", unit, rounds)


def _table(results: Results, speed: Speed) -> Table:
    rows = [
        [
            f"{name}, {contestant}",
            *(_text(results.spread(speed, contestant, name, quantity)) for quantity in _QUANTITIES),
            results.codings(speed, contestant, name),
        ]
        for name in VISITS
        for contestant in results.contestants
    ]
    columns = ("", "ms", "files, ms", "kB", "requests", "of files", "of br", "files sent as")
    return Table(f"Until all plugins run: {speed}, medians", columns, rows)


def _text(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:,.0f}" if spread.median >= 10 else f"{spread.median:.3g}"


def _judge(
    record: Record, results: Results, speeds: Sequence[Speed], slow: Speed, doubt: str
) -> None:
    def all_cases(visit: str, quantity: str) -> dict[str, Spread]:
        return {
            f"{contestant}, {speed}": spread
            for speed in speeds
            for contestant in PINNED
            if (spread := results.spread(speed, contestant, visit, quantity))
        }

    def against_application(visit: str) -> dict[str, Spread]:
        ours, theirs = (
            results.of(slow, contestant, visit, "until plugins run")
            for contestant in (NGINX, APPLICATION)
        )
        ratio = ratio_of_rounds(ours, theirs)
        return {f"nginx, {slow}": ratio} if ratio else {}

    record.judge("browser_second", all_cases(SECOND, "requests for files"), doubt=doubt)
    shares = all_cases(UPGRADE, "files, of their size in br")
    record.judge("browser_upgrade_bytes", shares, doubt=doubt)
    record.judge("browser_first", against_application(FIRST), doubt=doubt)
    record.judge("browser_upgrade", against_application(UPGRADE), doubt=doubt)


def _panel(results: Results, speed: Speed) -> Draw:
    """Bars for each visit, one for each contestant; their lines go from least to greatest."""

    def draw(axes: Any) -> None:
        names = results.contestants
        width = 0.8 / len(names)
        for place, contestant in enumerate(names):
            spreads = [
                results.spread(speed, contestant, name, "until plugins run") or Spread(0, 0, 0)
                for name in VISITS
            ]
            axes.bar(
                [number + place * width for number in range(len(VISITS))],
                [spread.median for spread in spreads],
                width,
                yerr=[
                    [spread.median - spread.low for spread in spreads],
                    [spread.high - spread.median for spread in spreads],
                ],
                label=contestant,
                capsize=2,
            )
        axes.set_xticks([number + 0.4 - width / 2 for number in range(len(VISITS))], VISITS)
        axes.set(title=str(speed), ylabel="ms until all plugins run")
        axes.legend(fontsize=7)

    return draw
