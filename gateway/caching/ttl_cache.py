"""A TTL cache for one expensive asynchronous load. It knows nothing of plugins or HTTP.

What it promises:

- single flight (flights.py): concurrent misses of one key share one load; a caller who is
  cancelled cancels nobody else. With `load_many`, one load serves many keys;
- refresh ahead: shortly before a value's lifetime ends, a caller starts a refresh and is answered
  at once with the old value;
- confirmations (entries.py): a change source can confirm values. `ttl_s` then counts from the
  last confirmation, up to `max_age_s` after the load;
- stale answers: while loads fail, the last value is used for `stale_if_error_s` more
  (RFC 5861 §4);
- negative answers: "known to be missing" is a value like any other, kept for `negative_ttl_s`;
- no resurrection: a load that began before a purge or an expiry of its key is never stored as
  fresh after it;
- landings (landings.py): values loaded since a moment can be expired, except those that are
  confirmed. This serves a source whose values may have changed, and changed back.

For one event loop; not for threads.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Generic, NamedTuple, TypeVar

from cachetools import Cache

from gateway.caching.entries import Capacity, Counters, Entries, Entry, Times
from gateway.caching.flights import BatchFlights, Flights, KeyFlights, Load, LoadMany
from gateway.caching.landings import Landings
from gateway.tracing import wait

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CacheStatus(NamedTuple):
    """How a caller got an entry, in the words of RFC 9211 §2."""

    forwarded: str = ""
    """Why the source was asked: "miss", "stale", or "request" for an entry that is fresh, but too
    old for this caller. Empty: it was not asked."""
    collapsed: bool = False
    """The caller took part in a load that another had begun."""
    stored: bool = False
    is_stale: bool = False
    """The entry is not fresh: the source did not answer, now or a moment ago."""


HIT = CacheStatus()
STALE_HIT = CacheStatus(is_stale=True)


class TTLCache(Generic[K, V]):
    """Remembers the values of `load(key)`, or of `load_many(keys)`."""

    def __init__(
        self,
        load: Load[K, V] | None = None,
        *,
        load_many: LoadMany[K, V] | None = None,
        times: Times,
        capacity: Capacity[V],
        is_negative: Callable[[V], bool] = lambda _value: False,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
        name: str = "",
    ) -> None:
        """Takes either `load` or `load_many`. `on_change` is called when answers may no longer be
        right: at a purge, at an expiry, and when a load brings another value than the one before.
        `name`: for spans.
        """
        self._entries: Entries[K, V] = Entries(times, capacity, is_negative, clock)
        if load is not None:
            self._flights: Flights[K, V] = KeyFlights(load, self._entries, on_change, name)
        elif load_many is not None:
            self._flights = BatchFlights(load_many, self._entries, on_change, name)
        else:
            raise TypeError("a cache needs something that loads its values")
        self.counters: Counters = self._entries.counters
        self.landings: Landings[K, V] = self._flights.landings
        self._wait_name = f"wait for {name}"
        self._patience_s = times.patience_s
        self._order_within_s = capacity.order_within_s
        self._clock = clock
        self._on_change = on_change
        self._used: dict[K, None] | None = None
        """Keys that answered since `take_used`; None until its first call."""

    def __len__(self) -> int:
        self._entries.drop_expired()
        return len(self._entries)

    @property
    def size(self) -> float:
        """The number of entries, or what `size_of` measures of them."""
        self._entries.drop_expired()
        return self._entries.currsize

    def __iter__(self) -> Iterator[K]:
        """The present keys, copied: the cache may change during the iteration."""
        return iter(list(self._entries))

    def peek(self, key: K) -> Entry[V] | None:
        """The entry, fresh or stale, without loading or counting."""
        return self._entries.find(key)

    def is_fresh(self, entry: Entry[V]) -> bool:
        return self._entries.is_fresh(entry, self._clock())

    # Asking

    def at_hand(self, key: K, max_age_s: float | None = None) -> Entry[V] | None:
        """The entry that answers without waiting; None: `trace_entry` may have to wait.

        That is a fresh one, not older than `max_age_s`, or a stale one whose source failed a
        moment ago. An entry that is due for a refresh answers, and its refresh begins.
        """
        entries = self._entries
        # Without the call of `find`, which takes as long as this.
        entry: Entry[V] | None = Cache.__getitem__(entries, key)
        if entry is None:
            return None
        now = self._clock()
        if now >= entry.refresh_at or entry.generation != entries.generation:
            if not entries.is_fresh(entry, now):
                return entries.stand_in(entry) if entries.is_pausing(entry, now) else None
            if now >= entry.refresh_at and not entries.is_pausing(entry, now):
                self._flights.join(key)
        if max_age_s is not None and entries.age_s(entry, now) > max_age_s:
            return None
        if now >= entry.ordered_at + self._order_within_s:
            entries.use(key, entry, now)
        if self._used is not None:
            self._used[key] = None
        if entry.negative:
            entries.counters.negative_hits += 1
        else:
            entries.counters.hits += 1
        return entry

    async def get(self, key: K, *, max_age_s: float | None = None) -> V:
        """The value; loaded if it is not fresh, or older than `max_age_s`.

        Raises: what the load raises, when no usable value is left.
        """
        entry, _ = await self.trace_entry(key, max_age_s=max_age_s)
        return entry.value

    async def trace_entry(
        self, key: K, *, max_age_s: float | None = None
    ) -> tuple[Entry[V], CacheStatus]:
        """As `get`; the entry, and how the caller got it."""
        entry = self.at_hand(key, max_age_s)
        if entry is not None:
            return entry, HIT if self.is_fresh(entry) else STALE_HIT
        self.counters.misses += 1
        entry, now = self._entries.find(key), self._clock()
        if entry is None or not self._entries.may_stand_in(entry, now):
            flight, collapsed = self._flights.join(key)
            with wait(self._wait_name, flight):
                loaded = await flight.wait()
            return loaded, self._forwarded("miss", collapsed, key, loaded)
        return await self._load_or_stand_in(key, entry)

    async def _load_or_stand_in(self, key: K, entry: Entry[V]) -> tuple[Entry[V], CacheStatus]:
        """The last value stands in if the load fails, or takes longer than the patience."""
        reason = "request" if self.is_fresh(entry) else "stale"
        flight, collapsed = self._flights.join(key)
        waiter = flight.wait()
        with wait(self._wait_name, flight):
            await asyncio.wait({waiter}, timeout=self._patience_s)
        if not waiter.done():
            self._entries.pause(key)
            last = self._entries.find(key) or entry
            return self._entries.stand_in(last), CacheStatus(reason, is_stale=True)
        try:
            loaded = await waiter
        except Exception:  # whatever the source raised
            usable = self._entries.find(key)
            if usable is None or not self._entries.may_stand_in(usable, self._clock()):
                raise
            return self._entries.stand_in(usable), CacheStatus(reason, collapsed, is_stale=True)
        return loaded, self._forwarded(reason, collapsed, key, loaded)

    def _forwarded(self, reason: str, collapsed: bool, key: K, loaded: Entry[V]) -> CacheStatus:
        return CacheStatus(reason, collapsed, stored=self._entries.find(key) is loaded)

    def begin(self, key: K) -> str:
        """Begins to load a key that `at_hand` does not answer, for a caller who will ask for it
        soon. Returns why, as in a CacheStatus: "miss" or "stale".

        Empty: `at_hand` would answer, or the key is being loaded.
        """
        if key in self._flights.current:
            return ""
        entries, now = self._entries, self._clock()
        entry = entries.find(key)
        if entry is not None and (entries.is_fresh(entry, now) or entries.is_pausing(entry, now)):
            return ""
        self._flights.join(key)
        return "miss" if entry is None or not entries.may_stand_in(entry, now) else "stale"

    def bringing(self, keys: Iterable[K]) -> AbstractContextManager[Callable[[K, V], None]]:
        """For a caller who reads the source of these keys for another purpose, in the block. They
        hand over values as if loads had begun with the block: those who miss a key meanwhile wait
        for it, and a key that is purged meanwhile keeps no value.

        A value may be missing: then who waits for the key loads it. If the block raises, they get
        the error.
        """
        entries, now = self._entries, self._clock()
        return self._flights.bringing(
            key
            for key in keys
            if (entry := entries.find(key)) is None or not entries.is_fresh(entry, now)
        )

    def take_used(self) -> list[K]:
        """Keys that answered since the last call. The first call begins to note them."""
        used, self._used = self._used, {}
        return list(used or ())

    # Confirming and changing

    def confirm_all(self, at: float) -> None:
        """All values were right at the moment `at` of the clock, except those that were purged or
        expired by now: their source was observed, and every change of it has been told. O(1).

        May be called in another thread, if one source alone does so: it sets one number.
        """
        self._entries.confirm_all(at)

    def confirm(self, key: K, at: float) -> None:
        """The value of one key was right at the moment `at` of the clock."""
        self._entries.confirm(key, at)

    def replace(self, key: K, expected: V, value: V) -> None:
        """Puts `value`, with the same moments, in the place of `expected`, if it is still there."""
        entry = self._entries.find(key)
        if entry is None or entry.value is not expected:
            return
        self._entries.put(key, replace(entry, value=value))
        self._on_change()

    def purge(self, key: K) -> None:
        """Forgets the key: the next caller waits for a load that starts after this call."""
        self._flights.current.pop(key, None)
        if self._entries.pop(key, None) is not None:
            self.counters.purged += 1
        self._on_change()

    def purge_where(self, matches: Callable[[K], bool]) -> None:
        """Forgets the keys that match, including those that are being loaded."""
        for key in {*self._entries, *self._flights.current}:
            if matches(key):
                self.purge(key)

    def purge_all(self) -> None:
        self._flights.current.clear()
        self.counters.purged += len(self)
        self._entries.clear()
        self._on_change()

    def expire(self, key: K) -> None:
        """Soft: the key is loaded again at its next use, and its value stands in on errors."""
        self._flights.current.pop(key, None)
        self._entries.make_stale(key)
        self._on_change()

    def expire_landed_since(self, moment: float) -> None:
        """Soft: for what came at or after `moment`, and for what is being loaded now."""
        landed = self.landings.since(moment)
        if landed or self._flights.current:
            self._flights.current.clear()
            for key in landed:
                self._entries.make_stale(key)
            self._on_change()

    def expire_all(self) -> None:
        """Soft, for all values at once. O(1)."""
        self._flights.current.clear()
        self._entries.generation += 1
        self._on_change()

    async def close(self) -> None:
        """Ends the loads that still run."""
        await self._flights.close()
