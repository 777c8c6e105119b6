"""Values that a caller brings who reads their source for another purpose."""

import asyncio
from contextlib import suppress

import pytest

from tests.caching.ttl_cache.test_batches import ManySetup
from tests.support.ttl_caches import TTL_S, SourceError, in_loop, invalidate, quiet


@in_loop
async def test_a_value_that_was_brought_answers_as_if_it_had_been_loaded() -> None:
    setup = ManySetup()
    with setup.cache.bringing(["a"]) as bring:
        waiting = setup.ask("a")
        await quiet()
        setup.clock.advance(1.0)
        bring("a", "brought")
    assert await asyncio.gather(*waiting, *setup.ask("a")) == ["brought"] * 2
    assert setup.source.asked == []
    entry = setup.cache.peek("a")
    assert entry is not None
    assert entry.loaded_at == setup.clock() - 1.0  # its source was read after the block began


@in_loop
async def test_whoever_waits_for_what_was_not_brought_gets_it_from_a_load() -> None:
    setup = ManySetup()
    with setup.cache.bringing(["a", "b"]):
        waiting = setup.ask("a")
        await quiet()
    assert await asyncio.gather(*waiting) == ["first"]
    assert setup.source.asked == [["a"]]
    assert setup.cache.peek("b") is None
    assert await asyncio.gather(*setup.ask("b")) == ["first"]


@in_loop
async def test_an_error_reaches_those_who_wait_and_nobody_else() -> None:
    setup = ManySetup()
    waiting = []
    with suppress(SourceError), setup.cache.bringing(["a", "b"]):
        waiting = setup.ask("a")
        await quiet()
        raise SourceError
    with pytest.raises(SourceError):
        await waiting[0]
    assert await asyncio.gather(*setup.ask("b")) == ["first"]


@in_loop
@pytest.mark.parametrize("how", ["purge", "expire", "purge_all", "expire_all"])
async def test_what_was_read_before_a_change_is_brought_to_those_who_wait_alone(how: str) -> None:
    setup = ManySetup()
    with setup.cache.bringing(["k"]) as bring:
        waiting = setup.ask("k")
        await quiet()
        invalidate(setup.cache, how)
        bring("k", "brought")
    assert await asyncio.gather(*waiting) == ["brought"]
    assert await asyncio.gather(*setup.ask("k")) == ["first"]


@in_loop
async def test_what_is_fresh_or_being_loaded_is_not_brought() -> None:
    setup = ManySetup()
    await asyncio.gather(*setup.ask("fresh", "stale"))
    setup.source.value = "second"
    setup.cache.expire("stale")
    setup.source.gate.clear()
    loading = setup.ask("loading")
    await quiet()
    with setup.cache.bringing(["fresh", "stale", "loading"]) as bring:
        for key in ("fresh", "stale", "loading"):
            bring(key, "brought")
    setup.source.gate.set()
    assert await asyncio.gather(*loading) == ["second"]
    answers = await asyncio.gather(*setup.ask("fresh", "stale", "loading"))
    assert answers == ["first", "brought", "second"]
    setup.clock.advance(TTL_S)
    assert await asyncio.gather(*setup.ask("stale")) == ["second"]
