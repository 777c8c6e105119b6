"""What is shown of each size, and what should not grow with it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.population import Population
from benchmarks.promises import Bound, Verdict, judge
from benchmarks.record import Figure, Table

# Beyond this the curve is called not flat; medians of rounds wander by half as much.
_FLAT = 1.5


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something measured at each size."""

    name: str
    unit: str
    flat: bool
    """Whether it should be the same at every size."""
    why_not: str = ""
    """The reason, where it is not flat, or need not be."""


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

PROMISED_START = Bound(1, "s", at_most=True)
PROMISED_MEMORY = Bound(2, "KiB", at_most=True)
PROMISED_P50 = Bound(5, "µs", at_most=True)
PROMISED_P99 = Bound(15, "µs", at_most=True)


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
                f"{quantity.name}, {people(population)}", quantity.unit, found[quantity]
            )
            for population, found in self.rounds.items()
            if quantity in found
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
            found = self.of(quantity)
            cells = [
                _number(found[each].spread.median) if each in found else "" for each in populations
            ]
            rows.append([f"{quantity.name}, {quantity.unit}", *cells])
        return Table("By number of users", columns, rows)

    def verdicts(self, judged: Sequence[Population]) -> list[Verdict]:
        """Of the promises that hold at every size in `judged`."""
        return [
            judge(
                promise,
                bound,
                {
                    people(population): figure.spread
                    for population, figure in self.of(quantity).items()
                    if population in judged
                },
            )
            for promise, quantity, bound in (
                ("warm lookup at every size, p50", WARM_P50, PROMISED_P50),
                ("warm lookup at every size, p99", WARM_P99, PROMISED_P99),
                ("start, 1,000 versions published", START, PROMISED_START),
            )
        ]

    def growth(self, compared: Sequence[Population]) -> Iterator[str]:
        """A line for each quantity that should be flat and is not, from the first to the last."""
        first, last = compared[0], compared[-1]
        for quantity in self.measured:
            found = self.of(quantity)
            if not quantity.flat or first not in found or last not in found:
                continue
            before, after = found[first].spread.median, found[last].spread.median
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
