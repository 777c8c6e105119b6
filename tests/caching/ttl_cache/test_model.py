"""Any sequence of events, held against the bounds that a cache promises."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.caching.ttl_cache import TTLCache
from tests.conftest import QUICK
from tests.support.ttl_caches import (
    NEGATIVE_TTL_S,
    PAUSE_S,
    STALE_S,
    TTL_S,
    Clock,
    SourceError,
    build_cache,
    quiet,
)


class _Call:
    """A caller that waits, and what it may be told."""

    def __init__(self, key: str, task: "asyncio.Task[Any]", floor: int, failures: int) -> None:
        self.key = key
        self.task = task
        self.floor = floor
        self.failures = failures


class CacheModel(RuleBasedStateMachine):
    """Any sequence of events against the bounds that the cache promises.

    Each key of the source holds a version number that only grows, and is missing at every
    third version. The bounds follow from when a version was replaced.
    """

    KEYS = ("a", "b", "c")
    MAX_SIZE = 2

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.version = dict.fromkeys(self.KEYS, 1)
        self.replaced_at = {key: {0: self.clock()} for key in self.KEYS}
        self.floor = dict.fromkeys(self.KEYS, 0)
        self.expiry_floor = dict.fromkeys(self.KEYS, 0)
        self.failures_at_expiry = dict.fromkeys(self.KEYS, 0)
        self.failing = False
        self.failures = 0
        self.failed_at = float("-inf")
        self.gate: asyncio.Event | None = None
        self.asked = 0
        self.calls: list[_Call] = []
        self.cache = self.build_cache(load=self.load)

    def build_cache(self, **source: Any) -> TTLCache[str, Any]:
        return build_cache(
            max_size=self.MAX_SIZE,
            negative_ttl_s=NEGATIVE_TTL_S,
            is_negative=missing,
            jitter=0.1,
            clock=self.clock,
            **source,
        )

    async def load(self, key: str) -> int:
        self.asked += 1
        value, failing, gate = self.version[key], self.failing, self.gate
        if gate is not None:
            await gate.wait()
        if failing:
            self.failures += 1
            self.failed_at = self.clock()
            raise SourceError("down")
        return value

    @rule(seconds=st.sampled_from([0.1, 0.5, 0.99, 1.0, 2.6, 7.5, 9.0, 10.0, 30.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(key=st.sampled_from(KEYS))
    def source_changes(self, key: str) -> None:
        self.replaced_at[key][self.version[key]] = self.clock()
        self.version[key] += 1

    @rule(failing=st.booleans())
    def source_fails_or_recovers(self, failing: bool) -> None:
        self.failing = failing

    @rule()
    def source_becomes_slow_or_fast(self) -> None:
        if self.gate is None:
            self.gate = asyncio.Event()
            return
        self.gate.set()
        self.gate = None
        self.settle()
        for call in self.calls:
            assert call.task.done()
            self.check_waited(call)
        self.calls.clear()

    @rule(key=st.sampled_from(KEYS))
    def purge(self, key: str) -> None:
        self.cache.purge(key)
        self.floor[key] = self.version[key]

    @rule()
    def purge_all(self) -> None:
        self.cache.purge_all()
        self.floor.update(self.version)

    @rule(key=st.sampled_from(KEYS))
    def expire(self, key: str) -> None:
        self.cache.expire(key)
        self.expiry_floor[key] = self.version[key]
        self.failures_at_expiry[key] = self.failures

    @rule()
    def expire_all(self) -> None:
        self.cache.expire_all()
        self.expiry_floor.update(self.version)
        self.failures_at_expiry = dict.fromkeys(self.KEYS, self.failures)

    @rule(key=st.sampled_from(KEYS))
    def get(self, key: str) -> None:
        call = _Call(
            key, self.loop.create_task(self.cache.get(key)), self.floor[key], self.failures
        )
        self.settle()
        if not call.task.done():
            assert self.gate is not None, "only a slow source makes anybody wait"
            self.calls.append(call)
        elif self.check_waited(call):
            self.check_age(call)

    def settle(self) -> None:
        self.loop.run_until_complete(quiet())

    def check_waited(self, call: _Call) -> bool:
        """What holds however long the caller waited. Whether there is a value."""
        if call.task.exception() is not None:
            assert isinstance(call.task.exception(), SourceError)
            assert self.failures > call.failures, "an error that no load met"
            return False
        value = call.task.result()
        assert call.floor <= value <= self.version[call.key], "older than a purge"
        return True

    def check_age(self, call: _Call) -> None:
        """What holds for an answer that came at once."""
        value = call.task.result()
        failed_now = self.failures > call.failures
        paused = self.clock() - self.failed_at < PAUSE_S
        if value < self.expiry_floor[call.key]:
            assert self.failures > self.failures_at_expiry[call.key], "older than an expiry"
            assert failed_now or paused, "older than an expiry"
        if value == self.version[call.key]:
            return
        age_s = self.clock() - self.replaced_at[call.key][value]
        ttl_s = NEGATIVE_TTL_S if missing(value) else TTL_S
        stands_in = (failed_now or paused) and not missing(value)
        assert age_s <= ttl_s + (STALE_S if stands_in else 0.0) + 1e-6, "older than its bound"

    @invariant()
    def bounded_and_counted(self) -> None:
        assert len(self.cache) <= self.MAX_SIZE
        assert self.cache.counters.loads == self.asked
        assert all(count >= 0 for count in self.cache.counters.as_dict().values())

    def teardown(self) -> None:
        for call in self.calls:
            call.task.cancel()
        if self.gate is not None:
            self.gate.set()
        self.settle()
        self.loop.run_until_complete(self.cache.close())
        self.loop.close()


class TogetherCacheModel(CacheModel):
    """The same events for keys that share a load, one of which may take longer or fail alone."""

    ALONE = "c"

    def __init__(self) -> None:
        super().__init__()
        self.is_slow_alone = False
        self.cache = self.build_cache(load_many=self.load_many)

    async def load_many(self, keys: Sequence[str]) -> dict[str, Any]:
        assert len(set(keys)) == len(keys)
        if self.is_slow_alone and self.ALONE in keys:
            alone = asyncio.ensure_future(self.load(self.ALONE))
            self.asked += len(keys) - 1
            values = {key: self.version[key] for key in keys if key != self.ALONE}
            return {**values, self.ALONE: alone}
        values = {key: self.version[key] for key in keys}
        self.asked += len(keys) - 1
        await self.load(keys[0])
        return values

    @rule(alone=st.booleans())
    def one_key_is_like_the_others_or_not(self, alone: bool) -> None:
        self.is_slow_alone = alone

    @invariant()
    def bounded_and_counted(self) -> None:
        assert len(self.cache) <= self.MAX_SIZE
        # A key that is purged while it waits for its load is loaded once for two callers.
        assert self.cache.counters.loads >= self.asked
        assert all(count >= 0 for count in self.cache.counters.as_dict().values())


class RoomyCacheModel(CacheModel):
    """With room for every key: a value that may still be used is used."""

    MAX_SIZE = 10

    @rule(key=st.sampled_from(CacheModel.KEYS))
    def get_what_may_stand_in(self, key: str) -> None:
        entry = self.cache.peek(key)
        if self.gate is None and entry is not None and not missing(entry.value):
            within_s = entry.loaded_at + TTL_S * 0.9 + STALE_S - self.clock()
            try:
                self.loop.run_until_complete(self.cache.get(key))
            except SourceError:
                assert within_s <= 0, "a usable value was withheld"
            self.settle()

    @invariant()
    def nothing_is_evicted(self) -> None:
        assert self.cache.counters.evicted == 0


def missing(value: int) -> bool:
    return value % 3 == 0


_SETTINGS = settings(max_examples=15 if QUICK else 150, stateful_step_count=50, deadline=None)

TestModel = CacheModel.TestCase
TestModel.settings = _SETTINGS
TestRoomyModel = RoomyCacheModel.TestCase
TestRoomyModel.settings = _SETTINGS
TestTogetherModel = TogetherCacheModel.TestCase
TestTogetherModel.settings = _SETTINGS
