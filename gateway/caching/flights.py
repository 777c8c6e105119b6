"""Single flight: callers who miss one key at the same time share one load.

A load is a task of its own, so a caller who is cancelled cancels nobody else. Keys are loaded one
by one, or many at once: then the keys that are missed while one load runs share the next, and while
the loop is busy a load waits for them for up to 2 ms.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeAlias, TypeVar

from gateway.caching.entries import Entries, Entry
from gateway.caching.landings import Landings
from gateway.tracing import Span, current, span_below

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Load: TypeAlias = Callable[[K], Awaitable[V]]
LoadMany: TypeAlias = Callable[[Sequence[K]], Awaitable[Mapping[K, V | asyncio.Future[V]]]]
"""Loads keys that all differ. The value of a key that takes longer than the others, or fails
alone, is a future."""

# SQLite takes at least 999 parameters.
_LARGEST_BATCH = 500
# While the loop is busy, keys gather for this long. A manifest that is loaded alone takes twice as
# much of a core as one of eight: each load makes a query, and each hop to a thread and back costs
# more than the work there.
_GATHERING_S = 0.002
# A turn of the loop takes 5 to 10 µs if nothing is done in it, and 50 and more with an answer.
_IDLE_TURN_S = 0.00005


class Flight(Generic[K, V]):
    """The load of one key, and the callers who wait for it."""

    __slots__ = (
        "asker",
        "generation",
        "has_caller",
        "is_over",
        "key",
        "load",
        "started_at",
        "waiters",
    )

    def __init__(self, key: K) -> None:
        self.key = key
        self.asker = current()
        """The span of the request that caused the load; None: nobody traces it."""
        self.load: Span | None = None
        """The span of the load, from its beginning, if it is traced."""
        self.has_caller = False
        """Whether a caller has joined. The first one counts as the caller who began the load."""
        self.is_over = False
        self.started_at = 0.0
        self.generation = 0
        self.waiters: list[asyncio.Future[Entry[V]]] = []
        """One for each caller, because a caller who is cancelled cancels their future."""

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
                waiter.exception()  # marks it as seen: the caller may have lost patience


class Flights(ABC, Generic[K, V]):
    """The loads that are under way. Their values land in `entries`."""

    def __init__(
        self, entries: Entries[K, V], on_change: Callable[[], None], name: str = ""
    ) -> None:
        """`on_change` is called when a load brings another value than the entry had. `name`: of the
        cache, for spans.
        """
        self._span_name = f"load {name}"
        self.current: dict[K, Flight[K, V]] = {}
        """At most one for each key. If a flight is taken out, it still answers its waiters, but its
        value is not stored."""
        self.landings = Landings(entries)
        self._entries = entries
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        """All loads that run, also those of flights that were taken out of `current`."""

    def join(self, key: K) -> tuple[Flight[K, V], bool]:
        """Returns the load of a key for one more caller, and whether it has another caller."""
        flight = self.current.get(key)
        if flight is None:
            self._entries.counters.loads += 1
            flight = self.current[key] = Flight(key)
            self._begin(flight)
        collapsed, flight.has_caller = flight.has_caller, True
        return flight, collapsed

    @contextmanager
    def bringing(self, keys: Iterable[K]) -> Iterator[Callable[[K, V], None]]:
        """Takes the loads of keys that nobody loads now. See `TTLCache.bringing`."""
        flights = {key: Flight[K, V](key) for key in keys if key not in self.current}
        self.current.update(flights)
        self._take_off(*flights.values())

        def bring(key: K, value: V) -> None:
            flight = flights.pop(key, None)
            if flight is not None:
                self._entries.counters.loads += 1
                self._land(flight, value)

        try:
            yield bring
        except BaseException as error:  # whatever it is, the waiters get it
            self._give_up(flights.values(), error)
            raise
        self._give_up(flights.values(), None)

    def _give_up(self, flights: Iterable[Flight[K, V]], error: BaseException | None) -> None:
        """Ends loads that bring nothing. Who waits for them gets the error, or a load begins."""
        for flight in flights:
            if not flight.waiters:
                if self.current.get(flight.key) is flight:
                    del self.current[flight.key]
            elif error is None:
                self._begin(flight)
            else:
                self._fail(flight, error)

    async def close(self) -> None:
        """Ends the loads that still run."""
        self.current.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @abstractmethod
    def _begin(self, flight: Flight[K, V]) -> None:
        """Starts a load with which the flight takes off, and then lands or fails."""

    def _start(
        self, load: Coroutine[Any, Any, None], when_over: Callable[[asyncio.Task[None]], None]
    ) -> None:
        task = asyncio.create_task(load)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(when_over)

    def _take_off(self, *flights: Flight[K, V]) -> None:
        """The source is read after this moment."""
        started_at, generation = self._entries.clock(), self._entries.generation
        for flight in flights:
            flight.started_at, flight.generation = started_at, generation

    def _land(self, flight: Flight[K, V], value: V) -> None:
        key, entries = flight.key, self._entries
        entry = entries.build(value, flight.started_at, flight.generation)
        if self.current.get(key) is flight:
            del self.current[key]
            before = entries.find(key)
            entries.put(key, entry)
            self.landings.note(key)
            if before is not None and before.value != value:
                self._on_change()
        flight.land(entry)

    def _fail(self, flight: Flight[K, V], error: BaseException) -> None:
        if self.current.get(flight.key) is flight:
            del self.current[flight.key]
            self._entries.pause(flight.key)
        if not flight.is_over:
            self._entries.counters.load_errors += 1
            flight.fail(error)


class KeyFlights(Flights[K, V]):
    """Each key is loaded by itself."""

    def __init__(
        self,
        load: Load[K, V],
        entries: Entries[K, V],
        on_change: Callable[[], None],
        name: str = "",
    ) -> None:
        super().__init__(entries, on_change, name)
        self._load = load

    def _begin(self, flight: Flight[K, V]) -> None:
        self._start(self._fly(flight), partial(self._end, flight))

    async def _fly(self, flight: Flight[K, V]) -> None:
        self._take_off(flight)
        try:
            with span_below(flight.asker, self._span_name) as flight.load:
                value = await self._load(flight.key)
        except Exception as error:  # whatever it is, the waiters get it
            self._fail(flight, error)
        else:
            self._land(flight, value)

    def _end(self, flight: Flight[K, V], task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before it began
            self._fail(flight, asyncio.CancelledError())


class BatchFlights(Flights[K, V]):
    """One load runs at a time, for all keys that waited for it."""

    def __init__(
        self,
        load_many: LoadMany[K, V],
        entries: Entries[K, V],
        on_change: Callable[[], None],
        name: str = "",
    ) -> None:
        super().__init__(entries, on_change, name)
        self._load_many = load_many
        self._waiting: list[Flight[K, V]] = []
        """Flights that wait for the next load."""
        self._is_loading = False

    async def close(self) -> None:
        for flight in self._waiting:
            self._fail(flight, asyncio.CancelledError())
        self._waiting.clear()
        await super().close()

    def _begin(self, flight: Flight[K, V]) -> None:
        self._waiting.append(flight)
        self._load_waiting()

    def _load_waiting(self) -> None:
        if self._waiting and not self._is_loading:
            self._is_loading = True
            self._start(self._fly(), self._end)

    def _end(self, _task: asyncio.Task[None]) -> None:
        self._is_loading = False
        self._load_waiting()

    async def _fly(self) -> None:
        """Begins when the loop has nothing else to do. What is missed until then is loaded too."""
        while self._waiting:
            await self._gathered()
            flights = self._waiting[:_LARGEST_BATCH]
            del self._waiting[:_LARGEST_BATCH]
            self._take_off(*flights)
            try:
                values = await self._load_batch(flights)
            except BaseException as error:  # whatever it is, the waiters get it
                for flight in flights:
                    self._fail(flight, error)
                if not isinstance(error, Exception):
                    raise
            else:
                self._land_batch(flights, values)

    async def _gathered(self) -> None:
        """Returns after a turn in which nothing else was done, or after `_GATHERING_S`."""
        now = perf_counter()
        until = now + _GATHERING_S
        while now < until and len(self._waiting) < _LARGEST_BATCH:
            began_at = now
            await asyncio.sleep(0)
            now = perf_counter()
            if now - began_at < _IDLE_TURN_S:
                return

    async def _load_batch(
        self, flights: Sequence[Flight[K, V]]
    ) -> "Mapping[K, V | asyncio.Future[V]]":
        """The span of the load belongs to the first of the requests that are traced."""
        keys = list({flight.key: None for flight in flights})
        asker = next((flight.asker for flight in flights if flight.asker is not None), None)
        with span_below(asker, self._span_name, keys=len(keys)) as span:
            for flight in flights:
                flight.load = span
            return await self._load_many(keys)

    def _land_batch(
        self, flights: Sequence[Flight[K, V]], values: "Mapping[K, V | asyncio.Future[V]]"
    ) -> None:
        for flight in flights:
            value = values[flight.key]
            if not isinstance(value, asyncio.Future):
                self._land(flight, value)
            elif value.done():
                self._land_late(flight, value)
            else:
                value.add_done_callback(partial(self._land_late, flight))

    def _land_late(self, flight: Flight[K, V], value: "asyncio.Future[V]") -> None:
        if value.cancelled():
            self._fail(flight, asyncio.CancelledError())
        elif error := value.exception():
            self._fail(flight, error)
        else:
            self._land(flight, value.result())
