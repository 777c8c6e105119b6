"""What a decision rests on: the entries it was made from, and until when they hold.

It travels with a request on the cold path. The finished decision may be repeated until the
first of its entries wants to be asked again.
"""

import time
from collections.abc import Hashable
from typing import Any, TypeVar

from gateway.ttl_cache import HIT, Entry, Outcome, TTLCache

K = TypeVar("K", bound=Hashable)
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

    def began(self, layer: str) -> None:
        """A load of the cache `layer` was begun, of what will be asked for."""

    async def ask(
        self, layer: str, cache: TTLCache[K, V], key: K, max_age_s: float | None = None
    ) -> V:
        """The value that the cache `layer` has or gets; the decision now rests on it."""
        return self.rest_on(layer, await cache.get_entry(key, max_age_s=max_age_s))

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
        self._outcomes: dict[str, Outcome] = {}
        self._begun: set[str] = set()
        self._durations: list[tuple[str, float]] = []

    def began(self, layer: str) -> None:
        self._begun.add(layer)

    async def ask(
        self, layer: str, cache: TTLCache[K, V], key: K, max_age_s: float | None = None
    ) -> V:
        entry, outcome = await cache.trace_entry(key, max_age_s=max_age_s)
        if layer in self._begun:  # it may have landed before it was asked for
            self._begun.remove(layer)
            stored = outcome.stored or not outcome.forwarded
            outcome = outcome._replace(forwarded="miss", collapsed=False, stored=stored)
        # A layer may be asked twice. If its source was asked once, the answer took that long.
        if outcome.forwarded or layer not in self._outcomes:
            self._outcomes[layer] = outcome
        return self.rest_on(layer, entry)

    def rest_on(self, layer: str, entry: Entry[V]) -> V:
        self._layers[layer] = entry
        self._outcomes.setdefault(layer, HIT)
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
        entry, outcome = self._layers[name], self._outcomes[name]
        parameters = [f"fwd={outcome.forwarded}" if outcome.forwarded else "hit"]
        parameters += ["collapsed"] if outcome.collapsed else []
        parameters += ["stored"] if outcome.stored else []
        left_s = int(entry.fresh_until - now)
        # An entry that a change made stale is so whatever was left of its lifetime.
        parameters.append(f"ttl={min(left_s, -1) if outcome.is_stale else left_s}")
        if outcome.is_stale:
            parameters.append(f"detail={'source-failed' if outcome.forwarded else 'stale'}")
        elif entry.negative:
            parameters.append("detail=negative")
        return "; ".join((name, *parameters))
