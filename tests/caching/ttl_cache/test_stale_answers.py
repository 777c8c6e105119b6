"""What answers while the source fails."""

import pytest

from tests.support.ttl_caches import (
    PAUSE_S,
    STALE_S,
    TTL_S,
    Setup,
    SourceError,
    in_loop,
    quiet,
)


@pytest.mark.parametrize(
    ("age_s", "usable"),
    [
        (TTL_S, True),
        (TTL_S + STALE_S - 0.001, True),
        (TTL_S + STALE_S, False),
        (TTL_S + STALE_S + 1, False),
    ],
)
@in_loop
async def test_while_the_source_fails_the_last_value_stands_in_within_its_bound(
    age_s: float, usable: bool
) -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(age_s)
    if usable:
        assert await setup.get() == "first"
        assert setup.counters.stale_hits == 1
    else:
        with pytest.raises(SourceError):
            await setup.get()
    assert setup.loads == 2


@in_loop
async def test_standing_in_does_not_lengthen_the_bound() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    for _ in range(int(STALE_S) - 1):
        assert await setup.get() == "first"
        setup.clock.advance(1.0)
    assert await setup.get() == "first"
    setup.clock.advance(1.0)
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_the_bound_holds_for_a_load_that_fails_after_it() -> None:
    setup = Setup()
    await setup.filled()
    setup.clock.advance(TTL_S)
    setup.source.fail()
    setup.source.close_gate()
    caller = await setup.start_get()
    setup.clock.advance(STALE_S)
    setup.source.open_gate()
    with pytest.raises(SourceError):
        await caller


@in_loop
async def test_without_a_bound_for_errors_nothing_stands_in() -> None:
    setup = Setup(stale_if_error_s=0.0)
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    with pytest.raises(SourceError):
        await setup.get()


@in_loop
async def test_a_source_that_failed_is_left_alone_for_a_moment() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    assert [await setup.get() for _ in range(50)] == ["first"] * 50
    assert setup.loads == 2
    setup.clock.advance(PAUSE_S)
    assert [await setup.get() for _ in range(50)] == ["first"] * 50
    assert setup.loads == 3
    assert setup.counters.stale_hits == 100


@in_loop
async def test_a_source_that_recovers_is_heard_after_the_pause() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S)
    await setup.get()
    setup.source.recover()
    setup.source.value = "new"
    setup.clock.advance(PAUSE_S)
    assert await setup.get() == "new"


@in_loop
async def test_a_failed_refresh_is_not_tried_again_at_every_request() -> None:
    setup = Setup()
    await setup.filled()
    setup.source.fail()
    setup.clock.advance(TTL_S * 0.76)
    for _ in range(50):
        assert await setup.get() == "first"
        await quiet()
    assert setup.loads == 2


@in_loop
async def test_a_key_that_never_loaded_is_tried_at_every_request() -> None:
    setup = Setup()
    setup.source.fail()
    for _ in range(3):
        with pytest.raises(SourceError):
            await setup.get()
    assert setup.loads == 3
