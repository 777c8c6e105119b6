"""What was measured, and what follows from it. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from benchmarks.load.report import LoadReport
from benchmarks.ratios import Spread, ratio_of_rounds, spread_of

# Below this share of the time the server waited, and the load generator was the limit.
BUSY = 0.9
# Others may have this share of a core before a round counts as disturbed.
QUIET = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """One server in one cell in one round."""

    server: str
    cell: object
    round_number: int
    report: LoadReport
    cpu_s: float
    """CPU time of the server during the round, in user mode and in the kernel."""
    others_s: float
    """CPU time of processes that are no part of the benchmark, on its two cores."""
    hot_share: float | None = None
    """Of the gateway's answers, those given at once; None of other servers."""

    @property
    def busy(self) -> float:
        """Share of the round in which the server had the core."""
        return self.cpu_s / (self.report.duration_us / 1e6)

    @property
    def disturbed(self) -> bool:
        return self.others_s > QUIET * self.report.duration_us / 1e6

    @property
    def cpu_us_per_request(self) -> float:
        return self.cpu_s / self.report.requests * 1e6


@dataclass(frozen=True, slots=True)
class Failure:
    """A round that is not counted."""

    server: str
    cell: object
    round_number: int
    reason: str


@dataclass(slots=True)
class Figures:
    """All figures of a run."""

    counted: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def servers(self) -> list[str]:
        """Those with any figure, in the order of their first."""
        return list(dict.fromkeys(each.server for each in self.counted))

    def of(self, server: str, cell: object) -> list[Figure]:
        """Those that nothing disturbed; all, where that would leave none."""
        found = [each for each in self.counted if each.server == server and each.cell == cell]
        return [each for each in found if not each.disturbed] or found

    def ratio(self, ours: str, theirs: str, cell: object) -> Spread | None:
        """Requests/s of one by those of the other, in rounds that nothing disturbed.

        Doubtful, where there is no such round.
        """
        return self._ratio(ours, theirs, cell, lambda each: each.report.requests_per_s)

    def cpu_ratio(self, ours: str, theirs: str, cell: object) -> Spread | None:
        """The same of requests for each second of the server's CPU time."""
        return self._ratio(ours, theirs, cell, lambda each: each.report.requests / each.cpu_s)

    def _ratio(
        self, ours: str, theirs: str, cell: object, value: Callable[[Figure], float]
    ) -> Spread | None:
        def by_round(server: str, *, quiet: bool) -> dict[int, float]:
            return {
                each.round_number: value(each)
                for each in self.counted
                if each.server == server and each.cell == cell
                if not (quiet and each.disturbed)
            }

        quiet = ratio_of_rounds(by_round(ours, quiet=True), by_round(theirs, quiet=True))
        if quiet is not None:
            return quiet
        found = ratio_of_rounds(by_round(ours, quiet=False), by_round(theirs, quiet=False))
        return None if found is None else replace(found, doubtful=True)

    def summaries(self, cell: object, reference: str) -> "Iterator[Summary]":
        """Of every server that has figures for the cell, in the order of their first."""
        for server in dict.fromkeys(each.server for each in self.counted if each.cell == cell):
            figures = self.of(server, cell)
            yield Summary(
                server,
                requests_per_s=_median(each.report.requests_per_s for each in figures),
                p50_us=_median(each.report.p50_us for each in figures),
                p99_us=_median(each.report.p99_us for each in figures),
                cpu_us_per_request=_median(each.cpu_us_per_request for each in figures),
                busy=_median(each.busy for each in figures),
                ratio=self.ratio(server, reference, cell),
                cpu_ratio=self.cpu_ratio(server, reference, cell),
                hot_share=spread_of(
                    each.hot_share for each in figures if each.hot_share is not None
                ),
            )


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the undisturbed rounds of a server in a cell."""

    server: str
    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us_per_request: float
    busy: float
    ratio: Spread | None
    """Against the reference, round by round; None where that was not measured."""
    cpu_ratio: Spread | None
    """The same by CPU time: other processes disturb it less."""
    hot_share: Spread | None

    @property
    def short_of_core(self) -> bool:
        return self.busy < BUSY


def _median(values: Iterator[float]) -> float:
    spread = spread_of(values)
    if spread is None:
        raise ValueError("no figures")
    return spread.median
