"""What changes while the server runs shows after the lifetimes of what is cached."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoints.assets.asking import ask
from tests.support.server import Server, serving
from tests.support.settings import AN_HOUR, UNWATCHED
from tests.support.site import ADA, BEN, Site, bearer
from tests.support.urls import ENTRY, SIGNED_ENVIRONMENT, WAYS, own, public
from tests.support.waiting import eventually, for_a_while

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trusting(site: Site) -> Iterator[Server]:
    """Hears of no change, believes "yes" for an hour and "there is none" for a moment."""
    settings = {
        **AN_HOUR,
        **UNWATCHED,
        "GATEWAY__CACHE__VERSIONS__NEGATIVE_TTL": "0.2",
        "GATEWAY__CACHE__INSTALLATIONS__NEGATIVE_TTL": "0.2",
    }
    with serving({**site.environment, **SIGNED_ENVIRONMENT, **settings}) as running:
        yield running


# Changes while the server runs


def test_an_upgrade_in_the_database_shows_after_the_ttl(moving_site: Site, quick: Server) -> None:
    for version in ("1.0.0", "1.0.1"):
        moving_site.publish("Upgraded", version)
    row_id = moving_site.give(ADA, "Upgraded", "1.0.0")
    eventually(lambda: quick.get(own("Upgraded"), bearer(ADA)), lambda got: b"1.0.0" in got.body)
    moving_site.execute("UPDATE plugin SET version = '1.0.1' WHERE id = ?", row_id)
    for url, headers in ((own("Upgraded"), bearer(ADA)), (public(row_id), {})):
        eventually(lambda: quick.get(url, headers), lambda got: b"Upgraded 1.0.1" in got.body)  # noqa: B023


def test_a_disabled_plugin_stops_after_the_ttl(moving_site: Site, quick: Server) -> None:
    moving_site.publish("Stopped", "1.0.0")
    row_id = moving_site.give(ADA, "Stopped", "1.0.0")
    _eventually_every_way(quick, ADA, "Stopped", 200)
    moving_site.execute("UPDATE plugin SET enabled = 0 WHERE id = ?", row_id)
    _eventually_every_way(quick, ADA, "Stopped", 404)


def test_a_plugin_taken_out_of_the_json_stops_after_the_ttl(
    moving_site: Site, quick: Server
) -> None:
    moving_site.publish("Withdrawn", "1.0.0")
    moving_site.give(BEN, "Withdrawn", "1.0.0")
    _eventually_every_way(quick, BEN, "Withdrawn", 200)
    moving_site.install(BEN, "Review")
    _eventually_every_way(quick, BEN, "Withdrawn", 404)


def test_an_install_shows_after_the_negative_ttl(site: Site, trusting: Server) -> None:
    """Also to Ada, whose other plugins are known for an hour."""
    slug, newcomer = f"Fresh{_unique()}", _unique() * 4
    site.publish(slug, "1.0.0")
    users = (ADA, newcomer)
    ask(trusting, "own by slug", user=ADA)  # what she has is known from here on
    for user in users:
        for way in WAYS:
            assert ask(trusting, way, user=user, slug=slug).status in (401, 404)
    for user in users:
        site.give(user, slug, "1.0.0")
    for user in users:
        _eventually_every_way(trusting, user, slug, 200)


def test_an_enabled_plugin_shows_after_the_negative_ttl(site: Site, trusting: Server) -> None:
    slug = f"Woken{_unique()}"
    site.publish(slug, "1.0.0")
    row_id = site.give(BEN, slug, "1.0.0", enabled=0)
    refused = eventually(
        lambda: ask(trusting, "own by slug", user=BEN, slug=slug),
        lambda answer: answer.code == "plugin_disabled",
    )
    assert refused.status == 404
    site.execute("UPDATE plugin SET enabled = 1 WHERE id = ?", row_id)
    _eventually_every_way(trusting, BEN, slug, 200)


def _unique() -> str:
    return os.urandom(4).hex()


def _eventually_every_way(server: Server, user: str, slug: str, status: int) -> None:
    for way in WAYS:
        eventually(
            lambda: ask(server, way, user=user, slug=slug),  # noqa: B023
            lambda answer: answer.status == status,
        )


def test_a_file_added_later_is_found(moving_site: Site, quick: Server) -> None:
    folder = moving_site.publish("Grown", "1.0.0")
    moving_site.give(ADA, "Grown", "1.0.0")
    late = own("Grown", "dist/late.js")
    eventually(lambda: quick.get(late, bearer(ADA)), lambda got: got.code == "asset_not_found")
    (folder / "dist/late.js").write_text("late")
    eventually(lambda: quick.get(late, bearer(ADA)), lambda answer: answer.body == b"late")


# 503


def test_while_the_database_fails_the_known_are_served_and_the_unknown_get_503(
    moving_site: Site, quick: Server
) -> None:
    assert ask(quick, "own by slug", user=ADA).status == 200
    with moving_site.locked():
        refused = quick.get(own("Review"), bearer("2" * 32))
        assert (refused.status, refused.code) == (503, "source_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["cache-control"] == "no-store"
        for _ in for_a_while(1.0):  # three times the ttl: from here on the answer is stale
            assert ask(quick, "own by slug", user=ADA).status == 200
    eventually(
        lambda: quick.get(own("Review"), bearer("2" * 32)), lambda answer: answer.status == 404
    )


def test_a_file_that_shrinks_or_vanishes_is_no_server_error(
    moving_site: Site, quick: Server
) -> None:
    entry: Path = moving_site.publish("Shrinking", "1.0.0") / ENTRY
    moving_site.give(ADA, "Shrinking", "1.0.0")
    eventually(lambda: ask(quick, "own by slug", slug="Shrinking"), lambda got: got.status == 200)
    for content in (b"", b"x" * 100_000, b"short"):
        entry.write_bytes(content)
        eventually(
            lambda: ask(quick, "own by slug", slug="Shrinking"),
            lambda answer: (answer.status, answer.body) == (200, content),  # noqa: B023
        )
    entry.unlink()
    gone = eventually(
        lambda: ask(quick, "own by slug", slug="Shrinking"), lambda answer: answer.status != 200
    )
    assert (gone.status, gone.code) == (404, "asset_not_found")
