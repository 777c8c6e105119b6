"""Which Cache-Control an answer carries: the table in docs/reference/urls.md."""

import pytest

from gateway.http.cache_policy import JSON_ANSWER, NO_STORE, Audience, asset_lifetimes

YEAR = "max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("audience", "pinned", "window_s", "dev", "expected"),
    [
        pytest.param(Audience.PUBLIC, True, 0, False, f"public, {YEAR}", id="pinned, public"),
        pytest.param(Audience.PRIVATE, True, 0, False, f"private, {YEAR}", id="pinned, private"),
        pytest.param(Audience.PUBLIC, True, 60, False, f"public, {YEAR}", id="pinned beats window"),
        pytest.param(Audience.PUBLIC, False, 0, False, "no-cache", id="unpinned, public"),
        pytest.param(Audience.PRIVATE, False, 0, False, "no-cache", id="unpinned, private"),
        pytest.param(Audience.PUBLIC, False, 60, False, "public, max-age=60", id="window, public"),
        pytest.param(
            Audience.PRIVATE, False, 60, False, "private, max-age=60", id="window, private"
        ),
    ],
)
def test_cache_control_follows_the_url_and_who_may_see_it(
    audience: Audience, pinned: bool, window_s: int, dev: bool, expected: str
) -> None:
    lifetimes = asset_lifetimes(audience, unpinned_max_age_s=window_s, dev=dev)
    assert (lifetimes.pinned if pinned else lifetimes.unpinned) == expected


@pytest.mark.parametrize("audience", Audience)
@pytest.mark.parametrize("window_s", [0, 60])
def test_development_always_asks_again_even_for_a_pinned_url(
    audience: Audience, window_s: int
) -> None:
    values = asset_lifetimes(audience, unpinned_max_age_s=window_s, dev=True)
    assert values == ("no-cache", "no-cache")


def test_json_and_errors_are_never_kept_by_a_shared_cache() -> None:
    assert JSON_ANSWER == "private, no-cache"
    assert NO_STORE == "no-store"
