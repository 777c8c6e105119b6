"""Loads of many keys at once: the keys that are missed while one load runs share the next."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

from gateway.caching.entries import Entries
from gateway.caching.flights import Flight, Flights

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
LoadMany: TypeAlias = Callable[[Sequence[K]], Awaitable[Mapping[K, V | asyncio.Future[V]]]]
"""Loads keys that all differ. The value of a key that takes longer than the others, or fails
alone, is a future."""

# SQLite takes at least 999 parameters.
_LARGEST_BATCH = 500


class BatchFlights(Flights[K, V]):
    """At most one load runs at a time, of all keys that waited for it."""

    def __init__(
        self, load_many: LoadMany[K, V], entries: Entries[K, V], on_change: Callable[[], None]
    ) -> None:
        super().__init__(entries, on_change)
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
        """Begins after all callbacks of the present turn of the loop: they share the load."""
        while self._waiting:
            flights = self._waiting[:_LARGEST_BATCH]
            del self._waiting[:_LARGEST_BATCH]
            self._take_off(*flights)
            try:
                values = await self._load_many(list({flight.key: None for flight in flights}))
            except BaseException as error:  # whatever it is: it is for those who wait
                for flight in flights:
                    self._fail(flight, error)
                if not isinstance(error, Exception):
                    raise
            else:
                self._land_batch(flights, values)

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
