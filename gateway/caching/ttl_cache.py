"""A TTL cache for one expensive asynchronous load, over cachetools.

It knows nothing of plugins or HTTP. What it promises:

- single flight: concurrent misses of one key share one load, which is a task of its own;
  a caller that is cancelled cancels nobody else;
- together: where the source can be asked for many keys at once (`load_many`), the keys that are
  missed while one load runs wait for the next load, and share it;
- a value is used for `ttl_s`, less a jitter; shortly before that, a caller starts a refresh
  and is answered at once with the old value;
- a change source can confirm values. `ttl_s` then counts from the last confirmation, up to
  `max_age_s` after the load. A confirmation is an observation that came back;
- while loads fail, the last value is used for `stale_if_error_s` more (RFC 5861 §4);
- "known to be missing" is a value like any other, kept for `negative_ttl_s`;
- no resurrection: a load that began before a purge or an expiry of its key is never stored
  as fresh after it;
- what came since a moment can be expired, unless it is confirmed: for a source that held
  something else for a while.

For one event loop; not for threads.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from dataclasses import replace as dataclass_replace
from functools import partial
from itertools import takewhile
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from cachetools import Cache, TLRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
LoadMany: TypeAlias = Callable[[Sequence[K]], Awaitable[Mapping[K, V | asyncio.Future[V]]]]
"""Loads keys that all differ. Where one key takes longer than the others, or fails alone, its
value is a future."""

# A refresh begins in the last quarter of the lifetime: the caller who begins it is answered at
# once, and the others never wait.
_REFRESH_SHARE = 0.25
ORDER_WITHIN_S = 10.0
"""For caches of thousands of entries: far less than it takes to fill one."""
# SQLite takes 999 parameters at least.
_MOST_TOGETHER = 500
_FAILED_PAUSE_S = 1.0
_NO_GENERATION = -1
# More than land between two looks of a change source; with a key that is kept anyway each takes
# 100 bytes.
_MOST_LANDINGS = 2_048


@dataclass(slots=True)
class Counters:
    """What happened, since the start. `purged`, `evicted`, `expired`: three causes."""

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
    """A value and its moments, in seconds of the cache's clock."""

    value: V
    generation: int
    loaded_at: float
    confirmed_at: float
    """The last moment at which the value was observed to be right."""
    refresh_at: float
    fresh_until: float
    last_until: float
    """The value is loaded again after this moment, whatever confirms it."""
    negative: bool
    retry_at: float = 0.0
    """Its source failed; not asked again before this moment, while `retry_generation` lasts."""
    retry_generation: int = 0
    ordered_at: float = 0.0
    """When it got its place in the order of use."""


class Outcome(NamedTuple):
    """How a caller got an entry, in the words of RFC 9211 §2."""

    forwarded: str = ""
    """Why the source was asked: "miss", "stale", or "request" for an entry that is fresh, but too
    old for this caller. Empty: it was not asked."""
    collapsed: bool = False
    """The caller took part in a load that another had begun."""
    stored: bool = False
    is_stale: bool = False
    """The entry is not fresh: the source did not answer, now or a moment ago."""


HIT = Outcome()
STALE_HIT = Outcome(is_stale=True)


class _Flight(Generic[K, V]):
    """A load that is under way, in which all who want the key take part."""

    __slots__ = ("generation", "has_caller", "is_over", "key", "started_at", "waiters")

    def __init__(self, key: K) -> None:
        self.key = key
        self.has_caller = False
        """Whether somebody counts as the one for whom it was begun."""
        self.is_over = False
        self.started_at = 0.0
        self.generation = 0
        self.waiters: list[asyncio.Future[Entry[V]]] = []
        """One for each caller: whoever is cancelled cancels nobody else."""

    def wait(self) -> "asyncio.Future[Entry[V]]":
        waiter: asyncio.Future[Entry[V]] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        return waiter

    def land(self, entry: Entry[V]) -> None:
        self.is_over = True
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(entry)

    def fail(self, error: BaseException) -> None:
        self.is_over = True
        for waiter in self.waiters:
            if isinstance(error, asyncio.CancelledError):
                waiter.cancel()
            elif not waiter.done():
                waiter.set_exception(error)
                waiter.exception()  # marked as seen: the caller may have lost patience


class _Store(TLRUCache[K, Entry[V]], Generic[K, V]):
    """cachetools' time-aware LRU, telling what it drops and why."""

    def __init__(
        self,
        max_size: float,
        size_of: Callable[[V], int] | None,
        useful_until: Callable[[Entry[V]], float],
        clock: Callable[[], float],
        counters: Counters,
    ) -> None:
        super().__init__(
            max_size,
            ttu=lambda _key, entry, _now: useful_until(entry),
            timer=clock,
            # Without it cachetools counts entries, and keeps no table of their sizes.
            getsizeof=None if size_of is None else lambda entry: size_of(entry.value),
        )
        self._counters = counters

    def find(self, key: K) -> Entry[V] | None:
        """Looks at neither time nor order, as `get` does for four times the price: the entry may
        be past every use."""
        try:
            return Cache.__getitem__(self, key)
        except KeyError:
            return None

    def expire(self, time: float | None = None) -> list[tuple[K, Entry[V]]]:
        dropped = super().expire(time)
        self._counters.expired += len(dropped)
        return dropped

    def popitem(self) -> tuple[K, Entry[V]]:
        self._counters.evicted += 1
        return super().popitem()


class TTLCache(Generic[K, V]):
    """Values of `load(key)`, or of `load_many(keys)`, remembered."""

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]] | None = None,
        *,
        load_many: LoadMany[K, V] | None = None,
        ttl_s: float,
        max_size: int,
        max_age_s: float = 0.0,
        size_of: Callable[[V], int] | None = None,
        negative_ttl_s: float = 0.0,
        stale_if_error_s: float = 0.0,
        is_negative: Callable[[V], bool] = lambda _value: False,
        jitter: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] = lambda: None,
        patience_s: float | None = None,
        order_within_s: float = 0.0,
    ) -> None:
        """One of `load` and `load_many` is given.

        `max_age_s`: how long confirmations can keep a value fresh, counted from its load; never
        less than `ttl_s`.

        `patience_s`: how long a caller waits for a load while an older value could stand in.

        `max_size` counts entries, or whatever `size_of` measures. The least recently used goes
        first, as far as that is known: to within `order_within_s`. Keeping the order costs more
        than all else of a hit.

        `on_change` is called when what callers were told may no longer hold: at a purge, an
        expiry, and a load that brought another value than the one before."""
        self._load = load
        self._load_many = load_many
        self._ttl_s = ttl_s
        self._max_age_s = max_age_s
        self._negative_ttl_s = negative_ttl_s
        self._stale_if_error_s = stale_if_error_s
        self._is_negative = is_negative
        self._jitter = jitter
        self._clock = clock
        self._on_change = on_change
        self._patience_s = patience_s
        self._order_within_s = order_within_s
        self._used: dict[K, None] | None = None
        """Keys that answered since they were taken last; None while nobody takes them."""
        self.counters = Counters()
        self._entries: _Store[K, V] = _Store(
            max_size, size_of, self._useful_until, clock, self.counters
        )
        self._flights: dict[K, _Flight[K, V]] = {}
        self._waiting: list[_Flight[K, V]] = []
        """Flights that wait for the next load of many keys."""
        self._is_loading_many = False
        self._tasks: set[asyncio.Task[None]] = set()
        """All loads that run, those included whose result is not wanted any more."""
        self._generation = 0
        self._confirmed_at = float("-inf")
        """The last moment at which all values of this generation were observed to be right."""
        self._landings: deque[tuple[float, K]] = deque()
        """When the last loads landed, and their keys."""
        self._landings_are_known_after = float("-inf")

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> float:
        """Entries held, or what `size_of` measures of them."""
        return self._entries.currsize

    def held_keys(self) -> list[K]:
        return list(self._entries)

    def peek(self, key: K) -> Entry[V] | None:
        """The entry, fresh or stale, without loading or counting."""
        return self._entries.find(key)

    async def get(self, key: K, *, max_age_s: float | None = None) -> V:
        """The value; loaded if it is not fresh, or older than `max_age_s`.

        Raises: what `load` raises, when no usable value is left.
        """
        return (await self.get_entry(key, max_age_s=max_age_s)).value

    def begin(self, key: K) -> str:
        """Begins to load a key that `at_hand` does not answer, for a caller who will ask for it
        soon. Returns why, as in an Outcome: "miss" or "stale".

        Empty: it would answer, or another began a load.
        """
        if key in self._flights:
            return ""
        entry, now = self._entries.find(key), self._clock()
        if entry is not None and (self._renew(entry, now) or self._is_pausing(entry, now)):
            return ""
        self._join(key)
        return "miss" if entry is None or now >= self._stale_until(entry) else "stale"

    def at_hand(self, key: K, max_age_s: float | None = None) -> Entry[V] | None:
        """The entry that answers without waiting; None: `get_entry` may have to wait.

        That is a fresh one, not older than `max_age_s`, or a stale one whose source failed a
        moment ago. An entry that is due for a refresh answers, and its refresh begins.
        """
        try:
            # Looks at neither time nor order: a quarter of the cost of `[]`, a tenth of `.get`.
            entry = Cache.__getitem__(self._entries, key)
        except KeyError:
            return None
        now = self._clock()
        if now >= entry.refresh_at or entry.generation != self._generation:
            if not self._renew(entry, now):
                return self._stale(entry) if self._is_pausing(entry, now) else None
            if now >= entry.refresh_at and not self._is_pausing(entry, now):
                self._join(key)
        if max_age_s is not None and self._age_s(entry, now) > max_age_s:
            return None
        if now >= entry.ordered_at + self._order_within_s:
            entry.ordered_at = now
            self._entries[key]  # the most recently used now
        if self._used is not None:
            self._used[key] = None
        if entry.negative:
            self.counters.negative_hits += 1
        else:
            self.counters.hits += 1
        return entry

    def take_used(self) -> list[K]:
        """Keys that answered since the last call. The first call begins to note them."""
        used, self._used = self._used, {}
        return list(used or ())

    async def get_entry(self, key: K, *, max_age_s: float | None = None) -> Entry[V]:
        return (await self.trace_entry(key, max_age_s=max_age_s))[0]

    async def trace_entry(
        self, key: K, *, max_age_s: float | None = None
    ) -> tuple[Entry[V], Outcome]:
        """As `get_entry`; also how the caller got the entry."""
        entry = self.at_hand(key, max_age_s)
        if entry is not None:
            return entry, HIT if self.is_fresh(entry) else STALE_HIT
        entry, now = self._entries.find(key), self._clock()
        self.counters.misses += 1
        if entry is None or now >= self._stale_until(entry):
            flight, collapsed = self._join(key)
            loaded = await flight.wait()
            return loaded, self._forwarded("miss", loaded, key, collapsed)
        reason = "request" if self.is_fresh(entry) else "stale"
        flight, collapsed = self._join(key)
        waiter = flight.wait()
        await asyncio.wait({waiter}, timeout=self._patience_s)
        if not waiter.done():
            self._pause_after_failure(key)
            return self._stale(self._entries.get(key, entry)), Outcome(reason, is_stale=True)
        try:
            loaded = await waiter
        except Exception:  # whatever the source raised: the last value stands in
            last = self._entries.get(key)
            if last is None or self._clock() >= self._stale_until(last):
                raise
            return self._stale(last), Outcome(reason, collapsed, is_stale=True)
        return loaded, self._forwarded(reason, loaded, key, collapsed)

    def _forwarded(self, reason: str, loaded: Entry[V], key: K, collapsed: bool) -> Outcome:
        return Outcome(reason, collapsed, stored=self._entries.find(key) is loaded)

    def is_fresh(self, entry: Entry[V]) -> bool:
        return self._renew(entry, self._clock())

    def _renew(self, entry: Entry[V], now: float) -> bool:
        """Whether the entry is fresh, also by what was confirmed since it was looked at."""
        if entry.generation != self._generation:
            return False
        self._extend(entry, self._confirmed_at)
        return now < entry.fresh_until

    def _extend(self, entry: Entry[V], at: float) -> None:
        """The value was right at the moment `at`."""
        if at <= entry.confirmed_at:
            return
        entry.confirmed_at = at
        ttl_s = self._negative_ttl_s if entry.negative else self._ttl_s
        until = min(at + ttl_s, entry.last_until)
        if until > entry.fresh_until:
            entry.fresh_until = until
            entry.refresh_at = until if entry.negative else until - ttl_s * _REFRESH_SHARE

    def _age_s(self, entry: Entry[V], now: float) -> float:
        """Since the value was last known to be right."""
        if entry.generation != self._generation:
            return now - entry.confirmed_at
        return now - max(entry.confirmed_at, self._confirmed_at)

    def _stale_until(self, entry: Entry[V]) -> float:
        return entry.fresh_until + (0.0 if entry.negative else self._stale_if_error_s)

    def _useful_until(self, entry: Entry[V]) -> float:
        """The last moment at which the entry may answer, if it is confirmed as long as can be."""
        return entry.last_until + (0.0 if entry.negative else self._stale_if_error_s)

    def confirm_all(self, at: float) -> None:
        """All values were right at the moment `at` of the clock, but for those that were purged or
        expired by now: their source was observed, and no change of it is left untold. O(1).

        It may be called in another thread, of one source at a time: it sets one number.
        """
        self._confirmed_at = max(self._confirmed_at, at)

    def confirm(self, key: K, at: float) -> None:
        """The value of one key was right at the moment `at` of the clock."""
        entry = self._entries.find(key)
        if entry is not None and entry.generation == self._generation:
            self._extend(entry, at)

    def replace(self, key: K, expected: V, value: V) -> None:
        """Puts `value` in the place of `expected`, with its moments; nothing, if that is gone."""
        entry = self._entries.get(key)
        if entry is None or entry.value is not expected:
            return
        self._store(key, dataclass_replace(entry, value=value))
        self._on_change()

    def _is_pausing(self, entry: Entry[V], now: float) -> bool:
        return (
            now < entry.retry_at
            and entry.retry_generation == self._generation
            and now < self._stale_until(entry)
        )

    def _stale(self, entry: Entry[V]) -> Entry[V]:
        self.counters.stale_hits += 1
        entry.refresh_at = min(entry.refresh_at, self._clock())  # nothing may rest on it longer
        return entry

    def purge(self, key: K) -> None:
        """Forgets the key: the next caller waits for a load that starts after this call."""
        self._flights.pop(key, None)
        if self._entries.pop(key, None) is not None:
            self.counters.purged += 1
        self._on_change()

    def purge_where(self, matches: Callable[[K], bool]) -> None:
        """Forgets the keys that match, those too that are being loaded."""
        for key in {*self._entries, *self._flights}:
            if matches(key):
                self.purge(key)

    def expire(self, key: K) -> None:
        """Soft: asked for again at its next use, and stands in on errors."""
        self._flights.pop(key, None)
        self._end_freshness(key)
        self._on_change()

    def _end_freshness(self, key: K) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.generation = _NO_GENERATION
            entry.retry_at = 0.0

    def landed_since(self, moment: float) -> set[K]:
        """Keys whose load ended at or after `moment`; all, if that is too long ago to know.

        The end of a load counts, not its start: a load that began before `moment` may have read
        its source after it.
        """
        if self._landings_are_known_after >= moment:
            return set(self._entries)
        since = takewhile(lambda landing: landing[0] >= moment, reversed(self._landings))
        return {key for _, key in since}

    def confirm_landed(self, values: Mapping[K, V]) -> None:
        """The source holds these values: entries that agree count as landed long ago."""
        agreeing = {
            key
            for key, value in values.items()
            if (entry := self._entries.get(key)) is not None and entry.value == value
        }
        if agreeing:
            kept = (landing for landing in self._landings if landing[1] not in agreeing)
            self._landings = deque(kept)

    def expire_landed_since(self, moment: float) -> None:
        """Soft: for what came at or after `moment`, and for what is being loaded now."""
        landed = self.landed_since(moment)
        if landed or self._flights:
            self._flights.clear()
            for key in landed:
                self._end_freshness(key)
            self._on_change()

    def purge_all(self) -> None:
        self._flights.clear()
        self.counters.purged += len(self._entries)
        self._entries.clear()
        self._on_change()

    def expire_all(self) -> None:
        """Soft, for all values at once. O(1)."""
        self._flights.clear()
        self._generation += 1
        self._on_change()

    async def close(self) -> None:
        """Ends the loads that still run."""
        self._flights.clear()
        for flight in self._waiting:
            self._failed(flight, asyncio.CancelledError())
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _join(self, key: K) -> tuple[_Flight[K, V], bool]:
        """The load of a key, for a caller; whether it was begun for another."""
        flight = self._flight(key)
        collapsed, flight.has_caller = flight.has_caller, True
        return flight, collapsed

    def _flight(self, key: K) -> _Flight[K, V]:
        flight = self._flights.get(key)
        if flight is None:
            self.counters.loads += 1
            flight = self._flights[key] = _Flight(key)
            if self._load is not None:
                self._start(self._fly(self._load, flight), partial(self._over, flight))
            elif self._load_many is not None:
                self._waiting.append(flight)
                self._load_waiting(self._load_many)
        return flight

    def _start(
        self, load: Coroutine[Any, Any, None], over: Callable[[asyncio.Task[None]], None]
    ) -> None:
        task = asyncio.create_task(load)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(over)

    async def _fly(self, load: Callable[[K], Awaitable[V]], flight: _Flight[K, V]) -> None:
        self._take_off(flight)
        try:
            value = await load(flight.key)
        except Exception as error:  # whatever it is: it is for those who wait
            self._failed(flight, error)
        else:
            self._landed(flight, value)

    def _over(self, flight: _Flight[K, V], task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before it began
            self._failed(flight, asyncio.CancelledError())

    def _take_off(self, *flights: _Flight[K, V]) -> None:
        """What is read from now on is of this generation."""
        started_at = self._clock()
        for flight in flights:
            flight.started_at, flight.generation = started_at, self._generation

    def _load_waiting(self, load_many: LoadMany[K, V]) -> None:
        """Begins to load many keys at once, unless that is under way."""
        if self._waiting and not self._is_loading_many:
            self._is_loading_many = True
            self._start(self._fly_together(load_many), partial(self._over_together, load_many))

    def _over_together(self, load_many: LoadMany[K, V], _task: asyncio.Task[None]) -> None:
        self._is_loading_many = False
        self._load_waiting(load_many)

    async def _fly_together(self, load_many: LoadMany[K, V]) -> None:
        """Begins after all callbacks of the present turn of the loop: they share the load."""
        while self._waiting:
            flights = self._waiting[:_MOST_TOGETHER]
            del self._waiting[:_MOST_TOGETHER]
            self._take_off(*flights)
            try:
                values = await load_many(list({flight.key: None for flight in flights}))
            except BaseException as error:  # whatever it is: it is for those who wait
                for flight in flights:
                    self._failed(flight, error)
                if not isinstance(error, Exception):
                    raise
            else:
                self._landed_together(flights, values)

    def _landed_together(
        self, flights: Sequence[_Flight[K, V]], values: "Mapping[K, V | asyncio.Future[V]]"
    ) -> None:
        for flight in flights:
            value = values[flight.key]
            if not isinstance(value, asyncio.Future):
                self._landed(flight, value)
            elif value.done():
                self._landed_late(flight, value)
            else:  # only this key's source is slow
                value.add_done_callback(partial(self._landed_late, flight))

    def _landed_late(self, flight: _Flight[K, V], value: "asyncio.Future[V]") -> None:
        if value.cancelled():
            self._failed(flight, asyncio.CancelledError())
        elif error := value.exception():
            self._failed(flight, error)
        else:
            self._landed(flight, value.result())

    def _landed(self, flight: _Flight[K, V], value: V) -> None:
        key, entry = flight.key, self._build_entry(value, flight.started_at, flight.generation)
        # A purge or expiry in the meantime has taken the flight off the list: the value
        # answers those who waited for it, and is not stored.
        if self._flights.get(key) is flight:
            del self._flights[key]
            before = self._entries.find(key)
            self._store(key, entry)
            self._note_landing(key)
            if before is not None and before.value != value:
                self._on_change()
        flight.land(entry)

    def _note_landing(self, key: K) -> None:
        if len(self._landings) == _MOST_LANDINGS:
            self._landings_are_known_after, _ = self._landings.popleft()
        self._landings.append((self._clock(), key))

    def _failed(self, flight: _Flight[K, V], error: BaseException) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
            self._pause_after_failure(flight.key)
        if not flight.is_over:
            self.counters.load_errors += 1
            flight.fail(error)

    def _store(self, key: K, entry: Entry[V]) -> None:
        try:
            self._entries[key] = entry
        except ValueError:  # cachetools: larger than the whole cache
            self._entries.pop(key, None)

    def _pause_after_failure(self, key: K) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.retry_at = self._clock() + _FAILED_PAUSE_S
            entry.retry_generation = self._generation

    def _build_entry(self, value: V, started_at: float, generation: int) -> Entry[V]:
        """Ages count from the load's start: the truth may have changed right after it read."""
        negative = self._is_negative(value)
        ttl_s = self._negative_ttl_s if negative else self._ttl_s
        kept = 1.0 - self._jitter * random.random()  # noqa: S311 (no secret)
        fresh_until = started_at + ttl_s * kept
        return Entry(
            value=value,
            generation=generation,
            loaded_at=started_at,
            confirmed_at=started_at,
            refresh_at=fresh_until - (0.0 if negative else ttl_s * kept * _REFRESH_SHARE),
            fresh_until=fresh_until,
            last_until=max(fresh_until, started_at + self._max_age_s * kept),
            negative=negative,
        )
