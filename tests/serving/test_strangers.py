"""What anybody can make the gateway ask, on the public route, never delays a user."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway import Gateway
from gateway.caching.breaker import THRESHOLD
from gateway.errors import SourceBusy, SourceUnavailable
from tests.support.asgi import Client, status, with_gateway
from tests.support.commands import run
from tests.support.site import ADA, BEN, NOBODY, Site, populated
from tests.support.sources import Queries
from tests.support.urls import ENTRY_URL, public
from tests.support.waiting import until_answer

pytestmark = pytest.mark.slow

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
QUIET = {
    "GATEWAY__FRESHNESS__WATCH_USERS": "false",
    "GATEWAY__FRESHNESS__SQLITE_POLL": "0",
    "GATEWAY__DATABASE__QUERY_TIMEOUT": "3.0",
    "GATEWAY__DATABASE__MAX_SIZE": "1",
}


class Statements:
    """Statements that reach the database, for users and for strangers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
        database = gateway.core.database
        assert database.strangers.connection is not database.tables.connection
        self.for_users = Queries(monkeypatch, gateway).statements
        self.for_strangers = Queries(monkeypatch, gateway, database.strangers.connection).statements


Scenario = Callable[[Gateway, Client, Statements], Awaitable[None]]


def listening(site: Site, monkeypatch: pytest.MonkeyPatch, scenario: Scenario) -> None:
    async def main(gateway: Gateway, client: Client) -> None:
        await scenario(gateway, client, Statements(monkeypatch, gateway))

    with_gateway(site, main, **QUIET)


def test_a_slug_that_is_not_published_is_looked_for_in_no_table(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client, statements: Statements) -> None:
        for number in range(20):
            assert status(await client.request(public(f"Unknown{number}"), None)) == 404
        assert statements.for_users == []
        # Each might be the id of a row: one look into the primary key.
        assert statements.for_strangers == ["SELECT user_id FROM plugin WHERE id = $1"] * 20
        assert gateway.core.lookups.published.counters.loads == 1

    listening(site, monkeypatch, scenario)


def test_a_slug_that_is_published_shows_within_the_lifetime_of_a_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = populated(tmp_path / "site")

    async def scenario(_gateway: Gateway, client: Client, _statements: Statements) -> None:
        assert status(await client.request(public("New"), None)) == 404
        site.publish("New", "1.0.0")
        site.add_row(BEN, "New", "1.0.0")
        await until_answer(
            lambda: client.request(public("New"), None), lambda answer: status(answer) == 200
        )

    listening(site, monkeypatch, scenario)


def test_a_slug_that_is_published_in_another_case_is_looked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some disks make no difference."""

    async def scenario(_gateway: Gateway, client: Client, statements: Statements) -> None:
        await client.request(public("EYES"), None)
        assert [text for text in statements.for_strangers if "plugin_slug = $1" in text]

    listening(site, monkeypatch, scenario)


def test_an_id_that_nobody_has_loads_the_rows_of_no_user(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client, statements: Statements) -> None:
        for user in (NOBODY, "made-up"):
            assert status(await client.request(public(f"{user}_Review"), None)) == 404
        assert statements.for_users == []
        assert len(gateway.core.lookups.records) == 0

    listening(site, monkeypatch, scenario)


def test_the_ids_of_a_user_who_is_known_are_asked_of_nobody(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(_gateway: Gateway, client: Client, statements: Statements) -> None:
        assert status(await client.request(ENTRY_URL)) == 200
        for slug in ("Review", "Eyes"):
            assert status(await client.request(public(f"{ADA}_{slug}"), None)) == 200
        assert (len(statements.for_users), statements.for_strangers) == (1, [])

    listening(site, monkeypatch, scenario)


def test_questions_of_strangers_that_take_too_long_delay_no_user(
    either_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One such question runs, others wait behind it; users are not in that line."""

    async def scenario(gateway: Gateway, client: Client, _statements: Statements) -> None:
        database = gateway.core.database
        slow = [asyncio.create_task(database.strangers.fetch(ENDLESS)) for _ in range(THRESHOLD)]
        await asyncio.sleep(0)
        for user in (ADA, BEN):
            assert status(await client.request(ENTRY_URL, user)) == 200
        assert not any(task.done() for task in slow)
        ended = await asyncio.gather(*slow, return_exceptions=True)
        assert {type(error) for error in ended} == {SourceBusy}
        # Their circuit is open now, and that of users is not.
        with pytest.raises(SourceUnavailable, match="a moment ago"):
            await database.strangers.fetch("SELECT 1")
        assert status(await client.request(public("Eyes"), None)) == 503
        assert database.failing_for_s is None
        gateway.core.lookups.purge_all()
        assert status(await client.request(ENTRY_URL)) == 200

    listening(either_site, monkeypatch, scenario)


# What gateway check says of the index


def test_check_recommends_the_index_where_a_large_table_has_none(
    either_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "has 4 rows and no index on plugin_slug"
    assert said not in run(either_site.environment, "check").output.replace("\n", " ")
    monkeypatch.setattr("gateway.upkeep.checks._MANY_ROWS", 4)
    # Neither is of use: one begins with another column, one does not hold all rows.
    either_site.execute("CREATE INDEX useless ON plugin (plugin_slug) WHERE version = '0'")
    checked = run(either_site.environment, "check").output
    assert said in " ".join(checked.split())
    assert "CREATE INDEX ix_plugin_plugin_slug ON plugin (plugin_slug)" in " ".join(checked.split())
    closed = {**either_site.environment, "GATEWAY__ACCESS__PUBLIC": "false"}
    assert "no index" not in run(closed, "check").output
    either_site.execute("CREATE INDEX ix_plugin_plugin_slug ON plugin (plugin_slug)")
    assert "no index" not in run(either_site.environment, "check").output
