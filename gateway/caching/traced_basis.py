"""A basis that remembers how a decision was made, for the debug headers of its answer."""

import time
from collections.abc import Hashable
from typing import Any, TypeVar

from gateway.caching.basis import Basis
from gateway.caching.entries import Entry
from gateway.caching.ttl_cache import HIT, STALE_HIT, CacheStatus, TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TracedBasis(Basis):
    """Remembers how each cache contributed, and how long each phase took."""

    def __init__(self) -> None:
        super().__init__()
        self._started_at = self._marked_at = time.monotonic()
        self._layers: dict[str, Entry[Any]] = {}
        self._statuses: dict[str, CacheStatus] = {}
        self._begun: dict[str, str] = {}
        """Layers whose load began ahead of the question, and why (as in `CacheStatus`)."""
        self._durations: dict[str, float] = {}

    def begin(self, layer: str, cache: TTLCache[K, V], key: K) -> None:
        if reason := cache.begin(key):
            self._begun[layer] = reason

    def _rest_on(self, layer: str, cache: TTLCache[K, V], entry: Entry[V]) -> V:
        self._layers[layer] = entry
        if layer in self._begun or layer not in self._statuses:
            self._learn(layer, HIT if cache.is_fresh(entry) else STALE_HIT)
        return entry.value

    def _learn(self, layer: str, status: CacheStatus) -> None:
        if layer in self._begun:  # the load may have ended before the question
            forwarded = self._begun.pop(layer)
            stored = status.stored or not status.forwarded
            status = status._replace(forwarded=forwarded, collapsed=False, stored=stored)
        # A layer may be asked twice. The question that reached its source is shown.
        if status.forwarded or layer not in self._statuses:
            self._statuses[layer] = status

    def identified(self, user: str) -> None:
        super().identified(user)
        self.mark("identify")

    def mark(self, phase: str) -> None:
        if phase not in self._durations:  # when decided again, the wait belongs to a later phase
            now = time.monotonic()
            self._durations[phase] = now - self._marked_at
            self._marked_at = now

    def ages(self) -> dict[str, tuple[float, float]]:
        """By layer: seconds since the cache asked its source, and until the entry is stale."""
        now = time.monotonic()
        return {
            name: (now - entry.loaded_at, entry.fresh_until - now)
            for name, entry in self._layers.items()
        }

    def debug_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields Cache-Status (RFC 9211), a member for each cache, and Server-Timing (W3C)."""
        now = time.monotonic()
        caches = ", ".join(self._cache_status(name, now) for name in self._layers)
        timing = ", ".join(
            f"{phase};dur={1000 * spent:.3f}" for phase, spent in self._durations.items()
        )
        total = f"total;dur={1000 * (now - self._started_at):.3f}"
        return [
            *([(b"cache-status", caches.encode())] if caches else []),
            (b"server-timing", (f"{timing}, {total}" if timing else total).encode()),
        ]

    def _cache_status(self, name: str, now: float) -> str:
        entry, status = self._layers[name], self._statuses[name]
        parameters = [f"fwd={status.forwarded}" if status.forwarded else "hit"]
        parameters += ["collapsed"] if status.collapsed else []
        parameters += ["stored"] if status.stored else []
        ttl_s = int(entry.fresh_until - now)
        # An entry that a change made stale may have some of its lifetime left.
        parameters.append(f"ttl={min(ttl_s, -1) if status.is_stale else ttl_s}")
        if status.is_stale:
            parameters.append(f"detail={'source-failed' if status.forwarded else 'stale'}")
        elif entry.negative:
            parameters.append("detail=negative")
        return "; ".join((name, *parameters))
