"""What caches count themselves, as numbers of this process."""

from array import array
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from gateway.caching.ttl_cache import TTLCache
from gateway.metrics.catalogue import CACHE_BYTES, CACHE_ENTRIES, CACHE_EVENT, CACHE_EVENTS
from gateway.metrics.table import Column

_counts = attrgetter(*CACHE_EVENTS)


class CacheNumbers:
    """Copies the counters and the sizes of caches."""

    def __init__(self, caches: Mapping[str, TTLCache[Any, Any]]) -> None:
        """`caches`: by their names in the catalogue. Raises: KeyError, for a name not in it."""
        self._rows = [
            (cache, CACHE_EVENT.row(name, CACHE_EVENTS[0]), CACHE_ENTRIES.row(name))
            for name, cache in caches.items()
        ]
        self._assets = caches["assets"]
        self._bytes_row = CACHE_BYTES.row("assets")

    def copy(self, column: Column) -> None:
        values = column.values
        for cache, first, entries in self._rows:
            # The events of one cache lie side by side, in the order of the catalogue.
            counts = memoryview(array("d", _counts(cache.counters)))
            values[first : first + len(CACHE_EVENTS)] = counts
            values[entries] = len(cache)
        values[self._bytes_row] = self._assets.size
