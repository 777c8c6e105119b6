"""What a decision asks for and is not at hand."""

import asyncio
import gc

import pytest

from gateway.caching.basis import AT_HAND, AtHand, Basis, Pending, PendingCall
from gateway.caching.entries import Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from gateway.errors import SourceUnavailable


class Disk:
    """Answers with the key, or fails."""

    def __init__(self) -> None:
        self.failing = {"broken"}
        self.cache: TTLCache[str, str] = TTLCache(
            self._load, times=Times(10.0), capacity=Capacity(10)
        )

    async def _load(self, key: str) -> str:
        await asyncio.sleep(0)
        if key in self.failing:
            raise SourceUnavailable(reason=key)
        return key.upper()


def both(basis: AtHand, disk: Disk) -> tuple[str | None, str]:
    first = basis.ask_or("disk", disk.cache, "broken", None)
    return first, basis.ask("disk", disk.cache, "well")


def test_a_decision_goes_on_without_what_it_can_spare() -> None:
    async def scenario() -> None:
        disk = Disk()
        assert await Basis().settled(both, disk) == (None, "WELL")
        with pytest.raises(Pending):  # a failure is not remembered
            both(AT_HAND, disk)
        disk.failing.clear()
        assert await Basis().settled(both, disk) == ("BROKEN", "WELL")
        assert both(AT_HAND, disk) == ("BROKEN", "WELL")

    asyncio.run(scenario())


def test_a_failure_that_a_decision_cannot_spare_ends_it() -> None:
    async def scenario() -> None:
        disk = Disk()
        disk.failing.add("well")
        with pytest.raises(SourceUnavailable, match="well"):
            await Basis().settled(both, disk)

    asyncio.run(scenario())


def test_a_call_that_is_pending_is_waited_for() -> None:
    results: list[str] = []

    async def call() -> None:
        await asyncio.sleep(0)
        results.append("done")

    def decide(_basis: AtHand) -> str:
        if not results:
            raise PendingCall(call)
        return results[0]

    assert asyncio.run(Basis().settled(decide)) == "done"


def test_a_wait_leaves_nothing_for_the_garbage_collector() -> None:
    """Workers collect seldom: an exception in a cycle would hold the request for long."""

    def decide(basis: AtHand, disk: Disk) -> str:
        return basis.ask("disk", disk.cache, "well")

    async def scenario() -> None:
        disk = Disk()
        await Basis().settled(decide, disk)
        disk.cache.purge_all()
        gc.collect()
        gc.disable()
        try:
            assert await Basis().settled(decide, disk) == "WELL"
            assert gc.collect() == 0
        finally:
            gc.enable()

    asyncio.run(scenario())
