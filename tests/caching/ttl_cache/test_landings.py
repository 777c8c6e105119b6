"""What came since a moment can be expired, unless it is confirmed."""

import pytest

from tests.support.ttl_caches import (
    Setup,
    in_loop,
)


@in_loop
async def test_what_landed_since_a_moment_is_asked_for_again_and_nothing_else() -> None:
    setup = Setup()
    await setup.filled("old", "early")
    setup.clock.advance(1.0)
    moment = setup.clock()
    await setup.filled("old", "late")  # at that very moment
    setup.source.value = "new"
    changes = setup.changes
    setup.cache.expire_landed_since(moment)
    assert setup.changes == changes + 1
    assert (await setup.get("early"), await setup.get("late")) == ("old", "new")
    setup.source.fail()
    setup.cache.expire_landed_since(moment)
    assert await setup.get("late") == "new"  # soft: it stands in


@in_loop
async def test_a_load_that_began_before_the_moment_and_landed_after_it_is_asked_for_again() -> None:
    setup = Setup()
    setup.source.value = "old"
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.clock.advance(1.0)
    moment = setup.clock()
    setup.source.open_gate()
    assert await caller == "old"
    setup.source.value = "new"
    setup.cache.expire_landed_since(moment)
    assert await setup.get() == "new"


@in_loop
async def test_a_load_that_is_under_way_is_not_kept() -> None:
    setup = Setup()
    setup.source.value = "old"
    setup.source.close_gate()
    caller = await setup.start_get()
    changes = setup.changes
    setup.cache.expire_landed_since(setup.clock() + 1.0)
    assert setup.changes == changes + 1  # whoever waits must not remember what they get
    setup.source.open_gate()
    assert await caller == "old"
    setup.source.value = "new"
    assert await setup.get() == "new"


@in_loop
async def test_where_nothing_landed_nothing_is_told() -> None:
    setup = Setup()
    await setup.filled()
    changes = setup.changes
    setup.cache.expire_landed_since(setup.clock() + 1.0)
    assert setup.changes == changes
    assert await setup.get() == "first"
    assert setup.counters.hits == 1


@in_loop
async def test_what_is_confirmed_stays() -> None:
    setup = Setup()
    for key in ("agrees", "unasked"):
        await setup.filled("old", key)
    setup.cache.landings.confirm({"agrees", "absent"})
    setup.source.value = "new"
    setup.cache.expire_landed_since(setup.clock())
    seen = [await setup.get(key) for key in ("agrees", "unasked")]
    assert seen == ["old", "new"]
    # What was loaded since is not confirmed.
    setup.cache.purge("agrees")
    assert await setup.get("agrees") == "new"
    setup.source.value = "newer"
    setup.cache.expire_landed_since(setup.clock())
    assert await setup.get("agrees") == "newer"


@in_loop
async def test_more_than_are_remembered_are_all_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.caching.landings._MOST_LANDINGS", 3)
    setup = Setup()
    for number in range(5):
        await setup.filled("old", str(number))
        setup.clock.advance(0.1)
    setup.source.value = "new"
    remembered = setup.clock() - 0.35  # before the third
    setup.cache.expire_landed_since(remembered)
    assert [await setup.get(str(number)) for number in range(5)] == ["old"] * 2 + ["new"] * 3
    setup.source.value = "newer"
    setup.cache.expire_landed_since(0.0)
    assert {await setup.get(str(number)) for number in range(5)} == {"newer"}
