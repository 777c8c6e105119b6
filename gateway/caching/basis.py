"""What a decision asks the caches, and where it waits for them.

Decisions are synchronous functions: they ask a basis for what they need, in their own order, and
return. What is not at hand raises `Pending`. On the hot path that is the end: the request is
decided again, from the beginning, by a basis that waits for what was missing (`settled`). So one
sequence serves both ways, and whoever decides neither awaits nor knows how long it takes.
"""

import time
from collections.abc import Callable, Hashable
from typing import Any, Concatenate, ParamSpec, TypeVar

from gateway.caching.ttl_cache import HIT, STALE_HIT, Entry, Outcome, TTLCache
from gateway.errors import SourceUnavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")
P = ParamSpec("P")

BASIS_KEY = "gateway.basis"
"""Where the scope carries the basis of a request whose answer is to tell of it."""


class Pending(Exception):
    """Something must be waited for: a cache's answer about a key."""

    def __init__(
        self, layer: str, cache: TTLCache[Any, Any], key: Hashable, max_age_s: float | None
    ) -> None:
        super().__init__(layer)
        self.layer = layer
        self.cache = cache
        self.key = key
        self.max_age_s = max_age_s
        self.may_fail = False
        """Whether the decision goes on without an answer if its source fails."""


class AtHand:
    """Answers with what the caches hold. It has no state: one object serves all requests."""

    __slots__ = ()

    is_noted = False
    """Whether somebody listens to `note`."""

    def ask(self, layer: str, cache: TTLCache[K, V], key: K, max_age_s: float | None = None) -> V:
        """The value of `key` in the cache that is called `layer`, not older than `max_age_s`.

        Raises: Pending.
        """
        entry = cache.at_hand(key, max_age_s)
        if entry is None:
            raise Pending(layer, cache, key, max_age_s)
        return entry.value

    def ask_or(self, layer: str, cache: TTLCache[K, V], key: K, failed: R) -> V | R:
        """As `ask`; but `failed` if the source fails, and nothing else is known."""
        try:
            return self.ask(layer, cache, key)
        except Pending as pending:
            pending.may_fail = True
            raise

    def begin(self, layer: str, cache: TTLCache[K, V], key: K) -> None:
        """Loads what will be asked for next, beside what is waited for first."""

    def limit_to(self, duration_s: float) -> None:
        """The decision holds at most this much longer."""

    def mark(self, phase: str) -> None:
        """The time since the last mark was spent on `phase`; a traced basis writes it down."""

    def note(self, step: str, outcome: str, source: str) -> None:
        """Hears of each step while the decision is made; an explanation writes it down."""


AT_HAND = AtHand()


class Basis(AtHand):
    """Waits for what is not at hand. What was waited for holds for the rest of the request."""

    __slots__ = ("_failed", "_waited")

    def __init__(self) -> None:
        self._waited: dict[tuple[str, Hashable, bool], Entry[Any]] = {}
        self._failed: set[tuple[str, Hashable]] = set()

    @classmethod
    def of(cls, scope: Any) -> "Basis":
        """The one that the scope carries, or a new one."""
        basis: Basis | None = scope.get(BASIS_KEY)
        return basis if basis is not None else cls()

    async def settled(
        self, decide: "Callable[Concatenate[Basis, P], R]", *arguments: P.args, **named: P.kwargs
    ) -> R:
        """What `decide(basis, …)` returns when nothing is pending any more.

        Raises: what `decide` raises, and what a cache raises whose source failed.
        """
        while True:
            try:
                return decide(self, *arguments, **named)
            except Pending as pending:
                place = self._place(pending.layer, pending.key, pending.max_age_s)
                try:
                    self._waited[place] = await self._wait_for(pending)
                except SourceUnavailable:
                    if not pending.may_fail:
                        raise
                    self._failed.add((pending.layer, pending.key))
            self._begin_again()

    def ask(self, layer: str, cache: TTLCache[K, V], key: K, max_age_s: float | None = None) -> V:
        entry: Entry[V] | None = self._waited.get(self._place(layer, key, max_age_s))
        if entry is None:
            entry = cache.at_hand(key, max_age_s)
            if entry is None:
                raise Pending(layer, cache, key, max_age_s)
        return self._rest_on(layer, cache, entry)

    def ask_or(self, layer: str, cache: TTLCache[K, V], key: K, failed: R) -> V | R:
        if (layer, key) in self._failed:
            return failed
        return super().ask_or(layer, cache, key, failed)

    def begin(self, layer: str, cache: TTLCache[K, V], key: K) -> None:
        cache.begin(key)

    def forget_waited(self) -> None:
        """The next decision of this request rests on what the caches hold then."""
        self._waited.clear()
        self._failed.clear()

    @staticmethod
    def _place(layer: str, key: Hashable, max_age_s: float | None) -> tuple[str, Hashable, bool]:
        """A value that was too old for one question answers another."""
        return layer, key, max_age_s is not None

    def _rest_on(self, _layer: str, _cache: TTLCache[K, V], entry: Entry[V]) -> V:
        """The value of an entry, on which the decision now rests."""
        return entry.value

    async def _wait_for(self, pending: Pending) -> Entry[Any]:
        return await pending.cache.get_entry(pending.key, max_age_s=pending.max_age_s)

    def _begin_again(self) -> None:
        """The decision is made again, from its beginning."""


class TracedBasis(Basis):
    """Knows also who contributed, and how long each phase took, for the debug headers."""

    def __init__(self) -> None:
        super().__init__()
        self._started_at = self._marked_at = time.monotonic()
        self._layers: dict[str, Entry[Any]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._begun: dict[str, str] = {}
        """Layers whose load was begun ahead of the question, and why it was."""
        self._durations: dict[str, float] = {}

    def begin(self, layer: str, cache: TTLCache[K, V], key: K) -> None:
        if reason := cache.begin(key):
            self._begun[layer] = reason

    async def _wait_for(self, pending: Pending) -> Entry[Any]:
        entry, outcome = await pending.cache.trace_entry(pending.key, max_age_s=pending.max_age_s)
        self._learn(pending.layer, outcome)
        return entry

    def _rest_on(self, layer: str, cache: TTLCache[K, V], entry: Entry[V]) -> V:
        self._layers[layer] = entry
        if layer in self._begun or layer not in self._outcomes:
            self._learn(layer, HIT if cache.is_fresh(entry) else STALE_HIT)
        return entry.value

    def _learn(self, layer: str, outcome: Outcome) -> None:
        if layer in self._begun:  # it may have landed before it was asked for
            forwarded = self._begun.pop(layer)
            stored = outcome.stored or not outcome.forwarded
            outcome = outcome._replace(forwarded=forwarded, collapsed=False, stored=stored)
        # A layer may be asked twice. If its source was asked once, the answer took that long.
        if outcome.forwarded or layer not in self._outcomes:
            self._outcomes[layer] = outcome

    def mark(self, phase: str) -> None:
        if phase in self._durations:  # the decision began again: what it waits for comes later
            return
        now = time.monotonic()
        self._durations[phase] = now - self._marked_at
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
        timing = ", ".join(
            f"{phase};dur={1000 * spent:.3f}" for phase, spent in self._durations.items()
        )
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
