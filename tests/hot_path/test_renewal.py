"""Entries that are due for a refresh, asked for through `gateway serve`: nobody waits for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.leaping import LEAP_S, LeapingServer, leaping
from tests.support.listeners import user_request
from tests.support.settings import QUIET
from tests.support.site import ADA, Site, bearer, populated
from tests.support.sockets import LAST, converse
from tests.support.urls import own, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

# A refresh is due after three quarters of the lifetime, less a jitter of a tenth at most. After
# one leap it is due for certain, and the entry is fresh for ten seconds more.
TTL_S = 1.3 * LEAP_S
SETTINGS = {
    **QUIET,
    "GATEWAY__CACHE__INSTALLATIONS__TTL": str(TTL_S),
    "GATEWAY__CACHE__VERSIONS__TTL": str(TTL_S),
    "GATEWAY__DATABASE__QUERY_TIMEOUT": "30",
    "GATEWAY__IDENTITY__ADMIN_USERS": ADA,
}
REQUESTS = 20


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return populated(tmp_path / "site")


@pytest.fixture
def server(site: Site) -> Iterator[LeapingServer]:
    with leaping({**site.environment, **SETTINGS}) as running:
        yield running


def counts(server: LeapingServer) -> dict[str, tuple[int, int]]:
    """Loads that each lookup began, and callers who had to wait for one."""
    counters: dict[str, Any] = server.get("/-/cache", bearer(ADA)).json["caches"]
    return {
        name: (counters[name]["loads"], counters[name]["misses"])
        for name in ("installations", "versions")
    }


@pytest.mark.parametrize("url", [own("Review"), public(f"{ADA}_Review")], ids=["own", "public"])
def test_an_entry_that_is_due_for_a_refresh_answers_at_once_and_is_loaded_once(
    site: Site, server: LeapingServer, url: str
) -> None:
    assert b"Review 1.0.0" in server.get(url, bearer(ADA)).body
    before = counts(server)
    site.execute("UPDATE plugin SET version = '1.0.1' WHERE user_id = ?", ADA)
    server.leap()
    with site.locked():  # the load cannot end, so nobody is answered who waits for it
        answers = converse(server.port, [user_request(url) * REQUESTS, LAST])
    assert answers.count(b"Review 1.0.0") == REQUESTS
    for _ in range(REQUESTS):
        eventually(lambda: server.get(url, bearer(ADA)).body, lambda it: b"Review 1.0.1" in it)
    assert counts(server) == {name: (loads + 1, misses) for name, (loads, misses) in before.items()}
