"""The table of numbers: a column for each process, a row for each series of the catalogue."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from math import inf
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple

from gateway.metrics.catalogue import (
    BOUNDS_S,
    MAXIMUM_ROWS,
    PASSING_ROWS,
    ROW_COUNT,
    Family,
    Kind,
    Shown,
)

OWN = 0
"""The column of the process that makes the table."""

# The table's own numbers, before the columns.
_SERIAL, _VOID, _USED, _HEADER = 0, 1, 2, 8
_NO_NUMBERS = array("d", bytes(8 * ROW_COUNT))


class Counter:
    """A number that rises. For one thread, as is every handle: `+=` is not atomic."""

    __slots__ = ("_row", "_values")

    def __init__(self, values: "memoryview[float]", row: int) -> None:
        self._values, self._row = values, row

    def add(self, amount: float = 1.0) -> None:
        self._values[self._row] += amount


class Gauge:
    """A number that rises and falls."""

    __slots__ = ("_row", "_values")

    def __init__(self, values: "memoryview[float]", row: int) -> None:
        self._values, self._row = values, row

    def set(self, value: float) -> None:
        self._values[self._row] = value


class Histogram:
    """Counts durations by size."""

    __slots__ = ("_row", "_values")

    def __init__(self, values: "memoryview[float]", row: int) -> None:
        self._values, self._row = values, row

    def observe(self, duration_s: float, count: float = 1.0) -> None:
        """`count`: how many took this long each."""
        values, row = self._values, self._row
        values[row + bisect_left(BOUNDS_S, duration_s)] += count
        values[row + len(BOUNDS_S) + 1] += duration_s * count

    def observe_all(self, durations_s: list[float]) -> None:
        """Sorts the list. Much cheaper for each than `observe`, if there are many."""
        durations_s.sort()
        values, row, below = self._values, self._row, 0
        for bucket, bound in enumerate((*BOUNDS_S, inf)):
            end = bisect_right(durations_s, bound)
            values[row + bucket] += end - below
            below = end
        values[row + len(BOUNDS_S) + 1] += sum(durations_s)


class Column:
    """The numbers of one process, which alone writes to it."""

    def __init__(self, values: "memoryview[float]") -> None:
        self.values = values
        """A number for each row. Adding to one takes 50 ns."""

    def counter(self, family: Family, *labels: str) -> Counter:
        _require(family, Kind.COUNTER)
        return Counter(self.values, family.row(*labels))

    def gauge(self, family: Family, *labels: str) -> Gauge:
        """A series that is shown if it is known is known from now on."""
        _require(family, Kind.GAUGE, Kind.MAXIMUM)
        row = family.row(*labels)
        if family.shown is Shown.KNOWN:
            self.values[row + 1] = 1.0
        return Gauge(self.values, row)

    def histogram(self, family: Family, *labels: str) -> Histogram:
        _require(family, Kind.HISTOGRAM)
        return Histogram(self.values, family.row(*labels))

    def total(self, family: Family) -> float:
        """Of all series of a family of counters. 3 µs for 400."""
        _require(family, Kind.COUNTER)
        first, *_ = family.rows.values()
        return sum(self.values[first : first + len(family.rows)])


def _require(family: Family, *kinds: Kind) -> None:
    if family.kind not in kinds:
        raise TypeError(f"{family.name} is a {family.kind.value}")


class Distribution(NamedTuple):
    """The numbers of a histogram."""

    counts: Sequence[float]
    """By bucket, not cumulated; the last bucket has no bound."""
    sum_s: float


class Totals:
    """The numbers of all processes at one moment, those that have ended included."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values
        """By row."""

    def value(self, family: Family, *labels: str) -> float:
        return self.values[family.row(*labels)]

    def distribution(self, family: Family, *labels: str) -> Distribution:
        first = family.row(*labels)
        last = first + len(BOUNDS_S) + 1
        return Distribution(self.values[first:last], self.values[last])

    def shown(self, family: Family) -> Iterator[tuple[str, ...]]:
        """The values of labels of each series that says something."""
        for labels, row in family.rows.items():
            if family.shown is Shown.ALWAYS or any(self.values[row : row + family.rows_of_series]):
                yield labels


class Table:
    """Numbers of several processes, in memory that they share.

    Only the process that made the table retires columns, one after the other. There are two blocks
    of retired numbers. Whether the serial number is odd, and half of it, say which block counts,
    and whether a column is void:

        1. the block that does not count becomes the other one and the column's counters
        2. the serial number becomes odd: that block counts now, and the column is void
        3. the column is cleared
        4. the serial number becomes even: the column may be used again

    A reader copies everything, and reads again if the serial number has changed meanwhile. A maker
    that is killed at any step leaves a table that can be read.
    """

    def __init__(self, memory: Any) -> None:
        """`memory`: a buffer of doubles, as `shared` and `alone` make it."""
        self._memory = memory
        self._values: memoryview[float] = memoryview(memory).cast("B").cast("d")

    @classmethod
    def shared(cls, context: BaseContext, columns: int) -> "Table":
        """For the processes of the context; `columns` beside the maker's own."""
        return cls(context.RawArray("d", _HEADER + (columns + 3) * ROW_COUNT))

    @classmethod
    def alone(cls) -> "Table":
        """For one process."""
        return cls(array("d", bytes(8 * (_HEADER + 3 * ROW_COUNT))))

    def __reduce__(self) -> tuple[type["Table"], tuple[Any]]:
        """For a worker that is spawned. It shares the memory."""
        return Table, (self._memory,)

    def __len__(self) -> int:
        """How many columns there are."""
        return _columns_in(self._values)

    def column(self, index: int) -> Column:
        return Column(self._values[_place(index)])

    def totals(self) -> Totals:
        """Takes about 1 µs for each row."""
        serial, values = self._consistent_copy()
        void = values[_VOID] if serial % 2 else None
        places = [_block(_active(serial))]
        places += [_place(index) for index in range(_columns_in(values)) if index != void]
        columns = [values[place].tolist() for place in places]
        totals = [sum(row) for row in zip(*columns, strict=True)]
        for row in MAXIMUM_ROWS:
            totals[row] = max(column[row] for column in columns)
        return Totals(totals)

    def _consistent_copy(self) -> tuple[int, "memoryview[float]"]:
        """The serial number, and all numbers up to the last column that was ever used."""
        while True:
            serial = self._values[_SERIAL]
            end = _place(int(self._values[_USED])).stop
            copy = bytes(self._values[:end])
            if self._values[_SERIAL] == serial:
                return int(serial), memoryview(copy).cast("d")

    def use(self, index: int) -> None:
        """From now on readers look at the columns up to this one."""
        self._values[_USED] = max(self._values[_USED], index)

    def retire(self, index: int) -> None:
        """Keeps the counters of a process that has ended, and clears its column."""
        values, place = self._values, _place(index)
        serial = int(values[_SERIAL])
        active = _active(serial)
        kept = array("d", map(sum, zip(values[_block(active)], values[place], strict=True)))
        for row in PASSING_ROWS:
            kept[row] = 0.0
        values[_block(1 - active)] = memoryview(kept)
        values[_VOID] = index
        values[_SERIAL] = serial + 1
        values[place] = memoryview(_NO_NUMBERS)
        values[_SERIAL] = serial + 2


def _active(serial: int) -> int:
    """Which of the two blocks of retired numbers counts."""
    return (serial + 1) // 2 % 2


def _block(number: int) -> slice:
    start = _HEADER + number * ROW_COUNT
    return slice(start, start + ROW_COUNT)


def _place(index: int) -> slice:
    """Of a column. The columns follow the two retired blocks."""
    return _block(index + 2)


def _columns_in(values: "memoryview[float]") -> int:
    return (len(values) - _HEADER) // ROW_COUNT - 2


class ColumnPool:
    """Lends the columns of a table to workers. For the process that made the table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lent: set[int] = set()

    def lend(self) -> int | None:
        """The lowest free column; None: all are lent."""
        for index in range(OWN + 1, len(self._table)):
            if index not in self._lent:
                self._lent.add(index)
                self._table.use(index)
                return index
        return None

    def take_back(self, index: int) -> None:
        """The process of the column has ended."""
        self._table.retire(index)
        self._lent.discard(index)
