"""What a decision rests on: the entries it was made from, and until when they hold.

It travels with a request on the cold path. The finished decision may be repeated until the
first of its entries wants to be asked again.
"""

import time
from typing import Any, TypeVar

from gateway.ttl_cache import Entry

V = TypeVar("V")

BASIS_KEY = "gateway.basis"
"""Where the scope carries the basis of a request whose answer is to tell of it."""


_NEVER = float("inf")


class Basis:
    """Gathers the moment until which a decision holds."""

    __slots__ = ("last", "until")

    is_noted = False
    """Whether somebody listens to `note`."""

    def __init__(self) -> None:
        self.until = self.last = _NEVER
        """Until the first entry wants to be asked again, and until it is no longer fresh: in
        seconds of the monotonic clock, which is the caches' clock too."""

    @classmethod
    def of(cls, scope: Any) -> "Basis":
        """The one that the scope carries, or a new one."""
        basis: Basis | None = scope.get(BASIS_KEY)
        return basis if basis is not None else cls()

    def rest_on(self, layer: str, entry: Entry[V]) -> V:
        """The value of an entry of the cache `layer`, on which the decision now rests."""
        refresh_at, last = entry.refresh_at, entry.fresh_until
        if last < refresh_at:  # a stale entry has no time left at all
            last = refresh_at
        self._end_by(refresh_at, last)
        return entry.value

    def limit_to(self, duration_s: float) -> None:
        """The decision holds at most this much longer."""
        moment = time.monotonic() + duration_s
        self._end_by(moment, moment)

    def _end_by(self, until: float, last: float) -> None:
        if until < self.until:
            self.until = until
        if last < self.last:
            self.last = last

    def mark(self, phase: str) -> None:
        """The time since the last mark was spent on `phase`; a traced basis writes it down."""

    def note(self, step: str, outcome: str, source: str) -> None:
        """Hears of each step while the decision is made; an explanation writes it down."""


class TracedBasis(Basis):
    """Knows also who contributed, and how long each phase took, for the debug headers."""

    def __init__(self) -> None:
        super().__init__()
        self._started_at = self._marked_at = time.monotonic()
        self._layers: dict[str, Entry[Any]] = {}
        self._durations: list[tuple[str, float]] = []

    def rest_on(self, layer: str, entry: Entry[V]) -> V:
        self._layers[layer] = entry
        return super().rest_on(layer, entry)

    def mark(self, phase: str) -> None:
        now = time.monotonic()
        self._durations.append((phase, now - self._marked_at))
        self._marked_at = now

    def ages(self) -> dict[str, tuple[float, float]]:
        """Seconds since each cache asked its source, and until it will do so again."""
        now = time.monotonic()
        return {
            name: (now - entry.loaded_at, entry.fresh_until - now)
            for name, entry in self._layers.items()
        }

    def debug_fields(self) -> list[tuple[bytes, bytes]]:
        """Cache-Status (RFC 9211), a member for each cache, and Server-Timing (W3C)."""
        now = time.monotonic()
        caches = ", ".join(self._cache_status(name, now) for name in self._layers)
        timing = ", ".join(f"{phase};dur={1000 * spent:.3f}" for phase, spent in self._durations)
        total = f"total;dur={1000 * (now - self._started_at):.3f}"
        return [
            *([(b"cache-status", caches.encode())] if caches else []),
            (b"server-timing", (f"{timing}, {total}" if timing else total).encode()),
        ]

    def _cache_status(self, name: str, now: float) -> str:
        entry = self._layers[name]
        # Loaded since this request began: for it, or for another that waited with it.
        outcome = "fwd=miss; stored" if entry.loaded_at >= self._started_at else "hit"
        detail = "; detail=negative" if entry.negative else ""
        return f"{name}; {outcome}; ttl={int(entry.fresh_until - now)}{detail}"
