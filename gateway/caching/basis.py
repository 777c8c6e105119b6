"""What a decision asks the caches, and where it waits for them.

A decision is a synchronous function: it asks a basis for what it needs, in its own order, and
returns. A question that no cache can answer at once raises `Pending`. On the hot path that ends the
decision. The request is then decided again, from the beginning, by a basis that waits for what is
pending (`settled`). So one sequence of questions serves the hot path and the cold one, and
a decision neither awaits nor knows how long it takes.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from gateway.caching.entries import Entry
from gateway.caching.ttl_cache import CacheStatus, TTLCache
from gateway.errors import SourceUnavailable
from gateway.tracing.current_request import CurrentRequest, note_user

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
R = TypeVar("R")
P = ParamSpec("P")

BASIS_KEY = "gateway.basis"
"""The key in an ASGI scope for the basis of a request whose answer shows its caches."""


class Pending(Exception):
    """Something must be waited for. The decision is then made again."""


class PendingCall(Pending):
    """A call must be waited for that no cache makes."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        """`wait` keeps its result where the decision finds it."""
        super().__init__()
        self.wait = wait


class PendingValue(Pending):
    """The value of a key must be waited for."""

    def __init__(
        self, layer: str, cache: TTLCache[Any, Any], key: Hashable, max_age_s: float | None
    ) -> None:
        super().__init__(layer)
        self.layer = layer
        self.cache = cache
        self.key = key
        self.max_age_s = max_age_s
        self.may_fail = False
        """Whether the decision goes on without the value if its source fails."""


class AtHand:
    """Answers from what the caches hold. It has no state: one object serves all requests."""

    __slots__ = ()

    is_noted = False
    """Whether `note` writes steps down. If not, a caller need not call it."""

    def ask(self, layer: str, cache: TTLCache[K, V], key: K, max_age_s: float | None = None) -> V:
        """The value of `key` in `cache`, not older than `max_age_s`. `layer` is the cache's name.

        Raises: Pending.
        """
        entry = cache.at_hand(key, max_age_s)
        if entry is None:
            raise PendingValue(layer, cache, key, max_age_s)
        return entry.value

    def ask_or(self, layer: str, cache: TTLCache[K, V], key: K, failed: R) -> V | R:
        """As `ask`; returns `failed` if the source fails and no older value can stand in."""
        try:
            return self.ask(layer, cache, key)
        except PendingValue as pending:
            pending.may_fail = True
            raise

    def begin(self, layer: str, cache: TTLCache[K, V], key: K) -> None:
        """Begins to load a key that will be asked for next, while another load is pending."""

    def limit_to(self, duration_s: float) -> None:
        """The decision is valid for at most this long."""

    def identified(self, user: str) -> None:
        """Hears who asks, or on the public route whose plugin is asked for."""

    def mark(self, phase: str) -> None:
        """Says that the time since the last mark was spent on `phase`."""

    def note(self, step: str, outcome: str, source: str) -> None:
        """Hears of each step of the decision while it is made."""


AT_HAND = AtHand()


class LoggedAtHand(AtHand):
    """As `AtHand`, for one request of the hot path that is logged."""

    __slots__ = ("_request",)

    def __init__(self, request: CurrentRequest) -> None:
        self._request = request

    def identified(self, user: str) -> None:
        self._request.user = user


class Basis(AtHand):
    """Waits for pending answers. What was waited for holds for the rest of the request."""

    __slots__ = ("_failed", "_waited")

    def __init__(self) -> None:
        self._waited: dict[tuple[str, Hashable, bool], Entry[Any]] = {}
        self._failed: set[tuple[str, Hashable]] = set()

    @classmethod
    def of(cls, scope: Any) -> "Basis":
        """The basis in the ASGI scope, or a new one."""
        basis: Basis | None = scope.get(BASIS_KEY)
        return basis if basis is not None else cls()

    async def settled(
        self, decide: Callable[Concatenate[Self, P], R], *arguments: P.args, **named: P.kwargs
    ) -> R:
        """What `decide(basis, …)` returns when nothing is pending any more.

        Raises: what `decide` raises; what a cache raises when its source fails.
        """
        while True:
            try:
                return decide(self, *arguments, **named)
            except (PendingCall, PendingValue) as raised:
                pending = raised.with_traceback(None)  # which would hold this frame in a cycle
            # Not above: an error in here would have `pending` in its traceback.
            if isinstance(pending, PendingCall):
                await pending.wait()
            else:
                await self._wait_for(pending)
            self._begin_again()

    async def _wait_for(self, pending: PendingValue) -> None:
        """Raises: what the cache raises when its source fails."""
        layer, key, max_age_s = pending.layer, pending.key, pending.max_age_s
        try:
            entry, status = await pending.cache.trace_entry(key, max_age_s=max_age_s)
        except SourceUnavailable:
            if not pending.may_fail:
                raise
            self._failed.add((layer, key))
        else:
            self._waited[self._place(layer, key, max_age_s)] = entry
            self._learn(layer, status)

    def ask(self, layer: str, cache: TTLCache[K, V], key: K, max_age_s: float | None = None) -> V:
        entry: Entry[V] | None = self._waited.get(self._place(layer, key, max_age_s))
        if entry is None:
            entry = cache.at_hand(key, max_age_s)
            if entry is None:
                raise PendingValue(layer, cache, key, max_age_s)
        return self._rest_on(layer, cache, entry)

    def ask_or(self, layer: str, cache: TTLCache[K, V], key: K, failed: R) -> V | R:
        if (layer, key) in self._failed:
            return failed
        return super().ask_or(layer, cache, key, failed)

    def begin(self, layer: str, cache: TTLCache[K, V], key: K) -> None:
        cache.begin(key)

    def identified(self, user: str) -> None:
        note_user(user)

    def forget_waited(self) -> None:
        """Makes the next decision of this request ask the caches again."""
        self._waited.clear()
        self._failed.clear()

    @staticmethod
    def _place(layer: str, key: Hashable, max_age_s: float | None) -> tuple[str, Hashable, bool]:
        """Two places for one key: a value that is too old for one question answers the other."""
        return layer, key, max_age_s is not None

    def _rest_on(self, _layer: str, _cache: TTLCache[K, V], entry: Entry[V]) -> V:
        """Returns the value of an entry on which the decision rests."""
        return entry.value

    def _learn(self, layer: str, status: CacheStatus) -> None:
        """Hears how the entry was got that the decision waited for."""

    def _begin_again(self) -> None:
        """Called before the decision is made again, from its beginning."""
