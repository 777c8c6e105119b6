"""A change source confirms values, and they stay fresh."""

from collections.abc import Callable

import pytest

from tests.support.ttl_caches import (
    TTL_S,
    Setup,
    in_loop,
)

MAX_AGE_S = 30.0


def confirm_all(setup: Setup, at: float) -> None:
    setup.cache.confirm_all(at)


def confirm_one(setup: Setup, at: float) -> None:
    setup.cache.confirm("k", at)


each_confirmation = pytest.mark.parametrize("confirm", [confirm_all, confirm_one])
Confirm = Callable[[Setup, float], None]


@each_confirmation
@in_loop
async def test_the_lifetime_counts_from_the_moment_of_the_last_confirmation(
    confirm: Confirm,
) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    observed_at = setup.clock.now_s + 6.0
    setup.clock.advance(9.0)
    confirm(setup, observed_at)
    setup.clock.advance(6.9)
    assert setup.cache.at_hand("k") is not None
    setup.clock.advance(0.2)  # ttl after it was observed
    assert setup.cache.at_hand("k") is None


@each_confirmation
@pytest.mark.parametrize(("max_age_s", "until_s"), [(MAX_AGE_S, MAX_AGE_S), (0.0, TTL_S)])
@in_loop
async def test_confirmations_keep_a_value_for_max_age_and_never_less_than_ttl(
    confirm: Confirm, max_age_s: float, until_s: float
) -> None:
    setup = Setup(max_age_s=max_age_s, stale_if_error_s=0.0)
    await setup.filled()
    last = setup.clock.now_s + until_s
    while setup.clock.now_s < last - TTL_S / 4 - 1:
        assert setup.cache.at_hand("k") is not None
        setup.clock.advance(1.0)
        confirm(setup, setup.clock.now_s)
    assert setup.loads == 1
    setup.clock.now_s = last
    confirm(setup, last)
    assert setup.cache.at_hand("k") is None


@in_loop
async def test_one_key_is_confirmed_and_the_others_are_not() -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    await setup.filled(key="other")
    setup.clock.advance(6.0)
    setup.cache.confirm("k", setup.clock.now_s)
    setup.cache.confirm("unknown", setup.clock.now_s)
    setup.clock.advance(5.0)
    assert setup.cache.at_hand("k") is not None
    assert setup.cache.at_hand("other") is None


@each_confirmation
@in_loop
async def test_a_negative_value_is_confirmed_for_the_negative_ttl(confirm: Confirm) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled(None)
    setup.clock.advance(0.8)
    confirm(setup, setup.clock.now_s)
    setup.clock.advance(0.9)
    assert setup.cache.at_hand("k") is not None
    setup.clock.advance(0.2)
    assert setup.cache.at_hand("k") is None


@each_confirmation
@pytest.mark.parametrize("how", ["expire", "expire_all", "expire_landed_since"])
@in_loop
async def test_what_was_expired_is_confirmed_by_nothing(confirm: Confirm, how: str) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    confirm(setup, setup.clock.now_s + 1)
    if how == "expire_all":
        setup.cache.expire_all()
    elif how == "expire":
        setup.cache.expire("k")
    else:
        setup.cache.expire_landed_since(0.0)
    setup.clock.advance(2.0)
    confirm(setup, setup.clock.now_s)
    assert setup.cache.at_hand("k") is None
    setup.source.value = "second"
    assert await setup.get() == "second"
    setup.clock.advance(6.0)
    confirm(setup, setup.clock.now_s)
    setup.clock.advance(6.0)
    assert setup.cache.at_hand("k") is not None


@each_confirmation
@in_loop
async def test_a_confirmation_of_a_moment_before_the_load_shortens_nothing(
    confirm: Confirm,
) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    confirm(setup, setup.clock.now_s - 5.0)
    setup.clock.advance(7.4)
    assert setup.cache.at_hand("k", 7.5) is not None
    setup.clock.advance(2.5)
    assert setup.cache.at_hand("k") is not None


@each_confirmation
@in_loop
async def test_the_age_counts_from_the_confirmation(confirm: Confirm) -> None:
    setup = Setup(max_age_s=MAX_AGE_S)
    await setup.filled()
    setup.clock.advance(5.0)
    assert setup.cache.at_hand("k", 1.0) is None
    confirm(setup, setup.clock.now_s)
    setup.clock.advance(0.9)
    assert setup.cache.at_hand("k", 1.0) is not None
    assert setup.loads == 1


@in_loop
async def test_the_longest_lifetimes_are_spread_within_the_jitter() -> None:
    setup = Setup(max_age_s=MAX_AGE_S, jitter=0.5)
    keys = [str(number) for number in range(50)]
    for key in keys:
        await setup.filled(key=key)
    spans = [
        entry.reload_at - setup.clock.now_s for key in keys if (entry := setup.cache.peek(key))
    ]
    assert len({round(span, 3) for span in spans}) > 40
    assert MAX_AGE_S / 2 <= min(spans) < MAX_AGE_S * 0.6
    assert MAX_AGE_S * 0.9 < max(spans) <= MAX_AGE_S
