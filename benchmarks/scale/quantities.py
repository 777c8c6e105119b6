"""What is measured at each size, and what should not grow with it. Pure.

To add a quantity that should not grow: a row in QUANTITIES.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.record import Figure, Record, Table
from benchmarks.sites import Population

# A curve that grows by more than this factor is not flat. Medians of rounds differ by a quarter.
_FLAT = 1.5


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something measured at each size."""

    name: str
    unit: str
    flat: bool
    """Whether it should be the same at every size."""
    why_not: str = ""
    """Why it may grow."""


_MEMORY = "more users are warm at once, in more memory than the CPU's caches reach"
WARM_FEW = Quantity("warm lookup, 1,000 warm, p50", "µs", True)
WARM_P50 = Quantity("warm lookup, p50", "µs", True, _MEMORY)
WARM_P99 = Quantity("warm lookup, p99", "µs", True, _MEMORY)
COLD = Quantity("cold lookup, p50", "µs", True, "the table's indexes are deeper, and pages colder")
PURGE = Quantity("purge of one user, p50", "µs", True, _MEMORY)
SOFT_PURGE = Quantity("soft purge of everything, p50", "µs", True)
START = Quantity("start until ready", "s", True)
_LOOK = "up to 50,000 rows the table is looked over after a commit"
HEARD = Quantity("foreign commit: heard after", "ms", True, _LOOK)
COMMIT_CPU = Quantity("foreign commit: CPU time", "ms", True, _LOOK)
LIST_ONE = Quantity("gateway list --user", "s", True)
LIST = Quantity("gateway list", "s", False, "it shows every row, and reads every user's JSON")
CHECK = Quantity("gateway check", "s", False, "it looks at every row")
DOCTOR = Quantity("gateway doctor", "s", False, "it looks at every row and every user's JSON")
MIGRATE = Quantity("gateway migrate", "s", False, "it reads every user's JSON")
GC = Quantity("gateway gc", "s", False, "it looks at every row")

QUANTITIES = (
    WARM_FEW, WARM_P50, WARM_P99, COLD, PURGE, SOFT_PURGE, START, HEARD, COMMIT_CPU, LIST_ONE,
    LIST, CHECK, DOCTOR, MIGRATE, GC,
)  # fmt: skip

_PROMISED = (("lookup_p50", WARM_P50), ("lookup_p99", WARM_P99), ("start", START))
"""Keys of promises that hold at every size."""


@dataclass(slots=True)
class Sizes:
    """Rounds by population and quantity."""

    rounds: dict[Population, dict[Quantity, Sequence[float]]] = field(default_factory=dict)

    def add(self, population: Population, quantity: Quantity, rounds: Sequence[float]) -> None:
        if rounds:
            self.rounds.setdefault(population, {})[quantity] = rounds

    def of(self, quantity: Quantity) -> Mapping[Population, Figure]:
        return {
            population: Figure(
                f"{quantity.name}, {people(population)}", quantity.unit, measured[quantity]
            )
            for population, measured in self.rounds.items()
            if quantity in measured
        }

    @property
    def measured(self) -> list[Quantity]:
        return [quantity for quantity in QUANTITIES if self.of(quantity)]

    def figures(self) -> Iterator[Figure]:
        for quantity in self.measured:
            yield from self.of(quantity).values()

    def table(self) -> Table:
        populations = list(self.rounds)
        columns = ["median", *map(people, populations)]
        rows = []
        for quantity in self.measured:
            figures = self.of(quantity)
            cells = [
                _number(figures[population].spread.median) if population in figures else ""
                for population in populations
            ]
            rows.append([f"{quantity.name}, {quantity.unit}", *cells])
        return Table("By number of users", columns, rows)

    def judge(self, record: Record, judged: Sequence[Population]) -> None:
        """Adds the verdicts on the promises that hold at every size in `judged`."""
        for key, quantity in _PROMISED:
            figures = self.of(quantity)
            record.judge(
                key,
                {
                    f"{quantity.name}, {people(population)}": figures[population].spread
                    for population in judged
                    if population in figures
                },
            )

    def growth(self, compared: Sequence[Population]) -> Iterator[str]:
        """A line for each quantity that should be flat and is not, from the first to the last."""
        first, last = compared[0], compared[-1]
        for quantity in self.measured:
            figures = self.of(quantity)
            if not quantity.flat or first not in figures or last not in figures:
                continue
            before, after = figures[first].spread.median, figures[last].spread.median
            if before and after > _FLAT * before:
                yield (
                    f"not flat: {quantity.name}: {_number(before)} {quantity.unit} for"
                    f" {people(first)}, {_number(after)} {quantity.unit} for {people(last)}"
                    + (f": {quantity.why_not}" if quantity.why_not else "")
                )


def people(population: Population) -> str:
    text = f"{population.users:,} users"
    if population.least == population.most:
        return f"{text} of {population.least} plugins"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
