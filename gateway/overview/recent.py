"""The most refused and the slowest requests of this process, in the last 10 to 20 minutes.

Both are told of by the cold path alone. Both are bounded, whatever clients ask for: whoever sends
refused requests with ever new paths only makes rare ones forgotten.
"""

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.metrics.texts import one_line

MOST_SHOWN = 20
MAX_PATH = 200
"""Characters of a path that are kept."""
PERIOD_S = 600.0
_MOST_KEYS = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refused:
    code: str
    path: str
    count: int
    last_at: float


@dataclass(frozen=True, slots=True, order=True)
class Slow:
    duration_s: float
    at: float
    path: str
    status: int


class _Generations(Generic[T]):
    """What is counted now, and what was counted in the period before: then it is forgotten."""

    def __init__(self, make: Callable[[], T], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._began_at = clock()
        self._present, self._past = make(), make()

    def present(self) -> T:
        elapsed_s = self._clock() - self._began_at
        if elapsed_s >= PERIOD_S:
            is_next = elapsed_s < 2 * PERIOD_S
            self._past = self._present if is_next else self._make()
            self._present = self._make()
            self._began_at += elapsed_s - elapsed_s % PERIOD_S
        return self._present

    def both(self) -> tuple[T, T]:
        return self.present(), self._past


class _Frequent:
    """Counts keys, and holds the most frequent of them.

    If there is no room for another, the half with the lowest ranks is forgotten, and new keys
    begin with the mean of those: this is Space-Saving (Metwally, Agrawal, El Abbadi 2005) in
    batches. As there, the sum of all ranks is at most the number of calls, so a key with more than
    a 50th of the calls is not forgotten.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[float]] = {}
        """By key: the rank, the rank that it began with, and the last moment."""
        self._first_rank = 0.0

    def note(self, key: tuple[str, str], at: float) -> None:
        entry = self._counts.get(key)
        if entry is None:
            if len(self._counts) >= _MOST_KEYS:
                self._forget_rare()
            self._counts[key] = [self._first_rank + 1, self._first_rank, at]
            return
        entry[0] += 1
        entry[2] = at

    def _forget_rare(self) -> None:
        ranked = sorted(self._counts.items(), key=lambda item: item[1][0])
        rare = ranked[: _MOST_KEYS // 2]
        for key, _ in rare:
            del self._counts[key]
        self._first_rank = sum(entry[0] for _, entry in rare) // len(rare)

    def __iter__(self) -> Iterator[Refused]:
        """With what was counted since each key was last forgotten."""
        for (code, path), (rank, first_rank, at) in self._counts.items():
            yield Refused(code, path, int(rank - first_rank), at)

    def __len__(self) -> int:
        return len(self._counts)


class _Slowest:
    """The requests that took the longest."""

    def __init__(self) -> None:
        self._heap: list[Slow] = []

    def takes(self, duration_s: float) -> bool:
        return len(self._heap) < MOST_SHOWN or duration_s > self._heap[0].duration_s

    def note(self, request: Slow) -> None:
        if len(self._heap) < MOST_SHOWN:
            heapq.heappush(self._heap, request)
        else:
            heapq.heappushpop(self._heap, request)

    def __iter__(self) -> Iterator[Slow]:
        return iter(self._heap)


class RecentRequests:
    """What the cold path tells of its requests."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._wall_clock = wall_clock
        self._refused = _Generations(_Frequent, clock)
        self._slowest = _Generations(_Slowest, clock)

    def note_refused(self, code: str, raw_path: bytes) -> None:
        """`raw_path`: as received, without the query."""
        self._refused.present().note((code, _shown(raw_path)), self._wall_clock())

    def note_answered(self, raw_path: bytes, status: int, duration_s: float) -> None:
        slowest = self._slowest.present()
        if slowest.takes(duration_s):
            slowest.note(Slow(duration_s, self._wall_clock(), _shown(raw_path), status))

    def refused(self) -> list[Refused]:
        """The most frequent first."""
        present, past = self._refused.both()
        return most_refused([*present, *past])

    def slowest(self) -> list[Slow]:
        """The slowest first."""
        present, past = self._slowest.both()
        return heapq.nlargest(MOST_SHOWN, [*present, *past])


def most_refused(counts: list[Refused]) -> list[Refused]:
    """Sums counts of the same key. At most MOST_SHOWN, the most frequent first."""
    sums: dict[tuple[str, str], Refused] = {}
    for one in counts:
        key = one.code, one.path
        other = sums.get(key, Refused(*key, 0, 0.0))
        sums[key] = Refused(*key, one.count + other.count, max(one.last_at, other.last_at))
    return heapq.nlargest(MOST_SHOWN, sums.values(), key=lambda one: (one.count, one.last_at))


def _shown(raw_path: bytes) -> str:
    return one_line(raw_path[: 2 * MAX_PATH].decode("ascii", "backslashreplace"), MAX_PATH)
