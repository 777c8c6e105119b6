"""Makes the caches of what users have: all of them have the same kind of settings and entries."""

from collections.abc import Callable, Hashable
from typing import TypeVar

from gateway.caching.entries import ORDER_WITHIN_S, Capacity, Times
from gateway.caching.flights import Load, LoadMany
from gateway.caching.ttl_cache import TTLCache
from gateway.settings import LookupCacheSettings

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# Callers wait at most this long for a load when a stale value could answer instead.
_PATIENCE_S = 0.25


def build_lookup_cache(
    settings: LookupCacheSettings,
    clock: Callable[[], float],
    load: Load[K, V] | None = None,
    *,
    load_many: LoadMany[K, V] | None = None,
    is_negative: Callable[[V], bool] = lambda _value: False,
    name: str,
) -> TTLCache[K, V]:
    """Takes either `load` or `load_many`. `name`: for spans."""
    return TTLCache(
        load,
        load_many=load_many,
        times=Times(
            ttl_s=settings.ttl,
            max_age_s=settings.max_age,
            negative_ttl_s=settings.negative_ttl,
            stale_if_error_s=settings.stale_if_error,
            patience_s=_PATIENCE_S,
        ),
        capacity=Capacity(settings.max_entries, order_within_s=ORDER_WITHIN_S),
        is_negative=is_negative,
        clock=clock,
        name=name,
    )
