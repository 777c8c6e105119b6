"""What a cache drops, held against a plain list in the order of use."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.caching.entries import Capacity, Entries, Times
from tests.conftest import QUICK
from tests.support.ttl_caches import Clock

TTL_S, NEGATIVE_TTL_S, STALE_S = 10.0, 1.0, 5.0
MAX_BYTES = 10
KEYS = st.sampled_from("abcdef")


class EntriesModel(RuleBasedStateMachine):
    """Values are their sizes; those below zero are negative answers."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.entries: Entries[str, int] = Entries(
            Times(TTL_S, negative_ttl_s=NEGATIVE_TTL_S, stale_if_error_s=STALE_S, jitter=0.0),
            Capacity(MAX_BYTES, size_of=abs),
            is_negative=lambda value: value < 0,
            clock=self.clock,
        )
        self.counters = self.entries.counters
        self.held: dict[str, tuple[int, float]] = {}
        """By key, in the order of use: its size, and until when it is useful."""

    @rule(key=KEYS, value=st.integers(-4, MAX_BYTES + 1))
    def store(self, key: str, value: int) -> None:
        self.clock.advance(0.01)  # no two uses at one moment
        now, evicted, expired = self.clock(), self.counters.evicted, self.counters.expired
        self.entries.put(key, self.entries.build(value, now, generation=0))
        was_held = self.held.pop(key, None) is not None
        live = [each for each, (_, until) in self.held.items() if now < until]
        gone = [each for each in self.held if each not in self.entries]
        gone_live = [each for each in live if each in gone]
        assert gone_live == live[: len(gone_live)], "not the least recently used ones"
        if gone_live:
            size_of_last, _ = self.held[gone_live[-1]]
            assert self.entries.currsize + size_of_last > MAX_BYTES, "evicted needlessly"
        evicted, expired = self.counters.evicted - evicted, self.counters.expired - expired
        # The key's own value makes room for the new one, or is replaced by it.
        assert len(gone_live) <= evicted <= len(gone_live) + was_held
        assert len(gone) <= evicted + expired <= len(gone) + was_held
        self.held = {each: at for each, at in self.held.items() if each not in gone}
        assert (key in self.entries) == (abs(value) <= MAX_BYTES)
        if key in self.entries:
            life_s = NEGATIVE_TTL_S if value < 0 else TTL_S + STALE_S
            self.held[key] = abs(value), now + life_s

    @rule(key=KEYS)
    def use(self, key: str) -> None:
        self.clock.advance(0.01)
        entry = self.entries.find(key)
        assert (entry is not None) == (key in self.held)
        if entry is not None:
            self.entries.use(key, entry, self.clock())
            self.held[key] = self.held.pop(key)

    @rule(key=KEYS)
    def purge(self, key: str) -> None:
        assert (self.entries.pop(key, None) is not None) == (key in self.held)
        self.held.pop(key, None)

    @rule(seconds=st.sampled_from([0.5, NEGATIVE_TTL_S, TTL_S, TTL_S + STALE_S]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def drop_expired(self) -> None:
        expired = self.counters.expired
        self.entries.drop_expired()
        gone = [key for key in self.held if key not in self.entries]
        assert self.counters.expired == expired + len(gone)
        assert all(self.held.pop(key)[1] <= self.clock() for key in gone)

    @rule()
    def everything_ends(self) -> None:
        self.clock.advance(TTL_S + STALE_S)
        self.drop_expired()
        assert not self.held

    @rule()
    def clear(self) -> None:
        self.entries.clear()
        self.held.clear()

    @invariant()
    def holds_what_it_should(self) -> None:
        assert {*self.entries} == self.held.keys()
        assert self.entries.currsize == sum(size for size, _ in self.held.values()) <= MAX_BYTES


TestEntries = EntriesModel.TestCase
TestEntries.settings = settings(
    max_examples=30 if QUICK else 300, stateful_step_count=30, deadline=None
)
