"""The entries of a cache: values, how long each may answer, and which of them are evicted.

Nothing here loads a value. Moments are seconds of the cache's clock; durations end in `_s`.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from cachetools import Cache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# A refresh begins in the last quarter of the lifetime: the caller who begins it is answered at
# once, and the others never wait.
_REFRESH_SHARE = 0.25
_FAILED_PAUSE_S = 1.0
_NO_GENERATION = -1
# More than one, so that a cache shrinks while fewer values are stored than expire.
_DROPPED_PER_STORE = 2
ORDER_WITHIN_S = 10.0
"""For caches of thousands of entries: far less than it takes to fill one."""


@dataclass(slots=True)
class Counters:
    """Events since the start. `purged`, `evicted` and `expired` are three causes of a loss."""

    hits: int = 0
    negative_hits: int = 0
    stale_hits: int = 0
    misses: int = 0
    loads: int = 0
    load_errors: int = 0
    purged: int = 0
    evicted: int = 0
    expired: int = 0

    def as_dict(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(slots=True)
class Entry(Generic[V]):
    """A value and its moments."""

    value: V
    generation: int
    """The cache's generation when the load began; an entry of another one is stale."""
    loaded_at: float
    confirmed_at: float
    """The last moment at which the value was observed to be right."""
    refresh_at: float
    fresh_until: float
    reload_at: float
    """The value is loaded again after this moment, whatever confirms it."""
    negative: bool
    retry_at: float = 0.0
    """Its source failed: it is not asked before this moment, while `retry_generation` lasts."""
    retry_generation: int = 0
    ordered_at: float = 0.0
    """When it got its place in the order of use."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long values may answer, and how long callers wait."""

    ttl_s: float
    """A value is fresh for this long after its load, less the jitter."""
    max_age_s: float = 0.0
    """Confirmations keep a value fresh for this long after its load; never less than `ttl_s`."""
    negative_ttl_s: float = 0.0
    """Takes the place of `ttl_s` for negative values."""
    stale_if_error_s: float = 0.0
    """A value that is not negative may answer for this much longer while loads fail."""
    patience_s: float | None = None
    """A caller waits this long for a load while a stale value could answer; None: for ever."""
    jitter: float = 0.1
    """The largest share of a lifetime that is cut off at random."""

    def extend(self, entry: Entry[V], at: float) -> None:
        """The value was right at the moment `at`: `ttl_s` counts from it."""
        if at <= entry.confirmed_at:
            return
        entry.confirmed_at = at
        ttl_s = self.negative_ttl_s if entry.negative else self.ttl_s
        until = min(at + ttl_s, entry.reload_at)
        if until > entry.fresh_until:
            entry.fresh_until = until
            entry.refresh_at = until if entry.negative else until - ttl_s * _REFRESH_SHARE

    def useful_until(self, entry: Entry[V]) -> float:
        """The moment until which the entry may answer if nothing but confirmations come."""
        return entry.reload_at + (0.0 if entry.negative else self.stale_if_error_s)


@dataclass(frozen=True, slots=True)
class Capacity(Generic[V]):
    """How much a cache holds. The least recently used entry is evicted first."""

    max_size: int
    """In entries, or in the unit of `size_of`."""
    size_of: Callable[[V], int] | None = None
    order_within_s: float = 0.0
    """An entry gets a new place in the order of use at most once in this time: a new place costs
    more than the rest of a hit."""


class Entries(Cache[K, Entry[V]], Generic[K, V]):
    """The entries of one cache: cachetools' bounds, with an order of use and counters of what is
    dropped. It decides whether an entry is fresh. Only `put` stores."""

    def __init__(
        self,
        times: Times,
        capacity: Capacity[V],
        is_negative: Callable[[V], bool],
        clock: Callable[[], float],
    ) -> None:
        size_of = capacity.size_of
        super().__init__(
            capacity.max_size,
            # Without it cachetools counts entries, and keeps no table of their sizes.
            getsizeof=None if size_of is None else lambda entry: size_of(entry.value),
        )
        self.clock = clock
        self.counters = Counters()
        self.generation = 0
        """A new number makes all entries stale. This costs less than a look at each entry."""
        self._times = times
        self._is_negative = is_negative
        self._confirmed_at = float("-inf")
        """The last moment at which all values of this generation were observed to be right."""
        self._orders: tuple[OrderedDict[K, Entry[V]], ...] = (OrderedDict(), OrderedDict())
        """Values and negative values, in the order of use, which is nearly that of expiry: what is
        used is loaded again. There are two, because negative values live for another time."""
        self._drop_at = float("inf")
        """Nothing is past every use before this moment."""

    def __missing__(self, _key: K) -> Any:
        """cachetools asks it for what a missing key stands for: None. An error takes 0.4 µs."""
        return None

    def find(self, key: K) -> Entry[V] | None:
        """The entry, expired or not."""
        return Cache.__getitem__(self, key)

    def build(self, value: V, started_at: float, generation: int) -> Entry[V]:
        """An entry for a value whose load began at `started_at`, in `generation`.

        Ages count from the load's start: the truth may have changed right after it was read.
        """
        times, negative = self._times, self._is_negative(value)
        ttl_s = times.negative_ttl_s if negative else times.ttl_s
        share = 1.0 - times.jitter * random.random()  # noqa: S311 (no secret)
        fresh_until = started_at + ttl_s * share
        return Entry(
            value=value,
            generation=generation,
            loaded_at=started_at,
            confirmed_at=started_at,
            refresh_at=fresh_until - (0.0 if negative else ttl_s * share * _REFRESH_SHARE),
            fresh_until=fresh_until,
            reload_at=max(fresh_until, started_at + times.max_age_s * share),
            negative=negative,
        )

    def put(self, key: K, entry: Entry[V]) -> None:
        """Stores an entry, unless it is larger than the whole cache or past every use. The key's
        old one is gone in any case.
        """
        now, until = self.clock(), self._times.useful_until(entry)
        if now >= self._drop_at:
            self._drop_expired(now, _DROPPED_PER_STORE)
        is_kept = now < until
        try:
            if is_kept:
                Cache.__setitem__(self, key, entry)
        except ValueError:  # cachetools: larger than the whole cache
            is_kept = False
        if not is_kept:
            self.pop(key, None)
            return
        order, other = self._orders[entry.negative], self._orders[not entry.negative]
        other.pop(key, None)
        order[key] = entry
        self.use(key, entry, now)
        self._drop_at = min(self._drop_at, until)

    def use(self, key: K, entry: Entry[V], now: float) -> None:
        """The entry is the most recently used one now."""
        entry.ordered_at = now
        self._orders[entry.negative].move_to_end(key)

    def is_fresh(self, entry: Entry[V], now: float) -> bool:
        """Takes into account confirmations that came since the last look at the entry."""
        if entry.generation != self.generation:
            return False
        self._times.extend(entry, self._confirmed_at)
        return now < entry.fresh_until

    def age_s(self, entry: Entry[V], now: float) -> float:
        """Seconds since the value was last known to be right."""
        if entry.generation != self.generation:
            return now - entry.confirmed_at
        return now - max(entry.confirmed_at, self._confirmed_at)

    def confirm_all(self, at: float) -> None:
        """All values of this generation were right at the moment `at`. In any thread."""
        self._confirmed_at = max(self._confirmed_at, at)

    def confirm(self, key: K, at: float) -> None:
        """The value of one key was right at the moment `at`."""
        entry = self.find(key)
        if entry is not None and entry.generation == self.generation:
            self._times.extend(entry, at)

    def make_stale(self, key: K) -> None:
        """The entry may still stand in while loads fail."""
        entry = self.find(key)
        if entry is not None:
            entry.generation = _NO_GENERATION
            entry.retry_at = 0.0

    def pause(self, key: K) -> None:
        """The key's source failed, and is left alone for a moment."""
        entry = self.find(key)
        if entry is not None:
            entry.retry_at = self.clock() + _FAILED_PAUSE_S
            entry.retry_generation = self.generation

    def may_stand_in(self, entry: Entry[V], now: float) -> bool:
        """Whether the entry may answer if the source fails."""
        return now < entry.fresh_until + (0.0 if entry.negative else self._times.stale_if_error_s)

    def stand_in(self, entry: Entry[V]) -> Entry[V]:
        """Answers with the entry although it is stale."""
        self.counters.stale_hits += 1
        entry.refresh_at = min(entry.refresh_at, self.clock())  # no answer may be valid for longer
        return entry

    def is_pausing(self, entry: Entry[V], now: float) -> bool:
        return (
            now < entry.retry_at
            and entry.retry_generation == self.generation
            and self.may_stand_in(entry, now)
        )

    # Dropping

    def drop_expired(self) -> None:
        """Drops what is past every use."""
        self._drop_expired(self.clock(), len(self))

    def _drop_expired(self, now: float, most: int) -> None:
        """O(most). What is in use may hide what is not, for no longer than an entry lives."""
        self._drop_at = float("inf")
        for order in self._orders:
            while order:
                until = self._times.useful_until(next(iter(order.values())))
                if now < until or most == 0:
                    self._drop_at = min(until, self._drop_at)
                    break
                self._drop_first(order, now)
                most -= 1

    def popitem(self) -> tuple[K, Entry[V]]:
        """Makes room, when cachetools asks: drops an entry that is past every use, or the least
        recently used one.
        """
        now = self.clock()

        def rank(order: OrderedDict[K, Entry[V]]) -> tuple[bool, float]:
            first = next(iter(order.values()))
            return now < self._times.useful_until(first), first.ordered_at

        return self._drop_first(min(filter(None, self._orders), key=rank), now)

    def _drop_first(self, order: OrderedDict[K, Entry[V]], now: float) -> tuple[K, Entry[V]]:
        key, entry = order.popitem(last=False)
        Cache.__delitem__(self, key)
        if now < self._times.useful_until(entry):
            self.counters.evicted += 1
        else:
            self.counters.expired += 1
        return key, entry

    def __delitem__(self, key: K) -> None:
        entry = Cache.__getitem__(self, key)
        Cache.__delitem__(self, key)
        del self._orders[entry.negative][key]

    def clear(self) -> None:
        super().clear()
        for order in self._orders:
            order.clear()
