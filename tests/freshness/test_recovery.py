"""After an outage of the database: what was committed as it came back shows at once."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gateway import Gateway
from gateway.caching import breaker
from gateway.caching import entries as cache_entries
from gateway.changes import ANYTHING, Change
from gateway.database.plugin_database import PluginDatabase
from gateway.errors import SourceUnavailable
from gateway.freshness.invalidation import Invalidation
from tests.conftest import require
from tests.support.asgi import Client, body, status, with_gateway
from tests.support.commands import run
from tests.support.postgres import Postgres, PostgresSite, find_binaries, running_postgres
from tests.support.server import Server, serving
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, bearer, populate, populated
from tests.support.sources import Queries
from tests.support.urls import ENTRY_URL, own
from tests.support.waiting import eventually

OUTAGES = 10
FOREVER_S = 3600.0


def test_the_first_request_after_an_outage_asks_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the breaker's pause nor that of the entry counts, once a source of changes has
    reached the database: both are an hour here.
    """
    monkeypatch.setattr(breaker, "PAUSE_S", FOREVER_S)
    monkeypatch.setattr(cache_entries, "_FAILED_PAUSE_S", FOREVER_S)
    site = populated(tmp_path / "site")

    async def scenario(gateway: Gateway, client: Client) -> None:
        async def version() -> str:
            return body(await client.request(ENTRY_URL)).split()[2].decode()

        core = gateway.core
        assert await version() == "1.0.0"
        queries = Queries(monkeypatch, gateway)
        queries.error = SourceUnavailable(reason="down")
        for _ in range(breaker.THRESHOLD + 1):
            core.invalidation.apply(ANYTHING)
            assert await version() == "1.0.0"
        assert status(await client.request(ENTRY_URL, BEN)) == 503
        site.execute("UPDATE plugin SET version = '1.0.1' WHERE user_id = ?", ADA)
        queries.error = None
        assert await version() == "1.0.0"
        core.lookups.database_answers()
        core.invalidation.apply(ANYTHING)
        assert await version() == "1.0.1"
        assert status(await client.request(ENTRY_URL, BEN)) == 200
        assert core.database.failing_for_s is None

    with_gateway(site, scenario, **AN_HOUR, GATEWAY__FRESHNESS__SQLITE_POLL="0")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_a_source_says_that_the_database_answers_before_it_tells_of_changes(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the other order, the requests in between would meet an open circuit, and begin a pause."""
    site = populated(tmp_path / "site")
    if dialect == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        site = populate(PostgresSite(tmp_path / "other", postgres.new_database()))
    events: list[str | Change] = []
    monkeypatch.setattr(PluginDatabase, "close_circuits", lambda _self: events.append("answers"))
    monkeypatch.setattr(Invalidation, "apply", lambda _self, change: events.append(change))

    async def scenario(_gateway: Gateway, _client: Client) -> None:
        assert events == ["answers", ANYTHING]

    with_gateway(site, scenario)


def test_a_connection_that_the_server_is_closing_is_an_outage_and_no_bug(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg raises an error of its own if a query begins at that moment."""

    async def fetch(*_arguments: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12")

    async def scenario(_gateway: Gateway, client: Client) -> None:
        monkeypatch.setattr(asyncpg.Connection, "fetch", fetch)
        assert status(await client.request(ENTRY_URL)) == 503

    site = populate(PostgresSite(tmp_path / "site", postgres.new_database()))
    with_gateway(site, scenario)


def test_the_log_says_once_that_the_storage_went_and_once_that_it_came_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site = populated(tmp_path / "site")

    async def scenario(_gateway: Gateway, client: Client) -> None:
        caplog.clear()
        for expected in (200, 503, 200):
            if expected == 503:
                away = site.plugins.rename(tmp_path / "away")
            for _ in range(3):
                assert status(await client.request("/-/ready", None)) == expected
            if expected == 503:
                away.rename(site.plugins)
        lines = [it.message for it in caplog.records if it.name == "gateway.endpoints.health"]
        assert lines == [
            "the plugin storage cannot be read",
            "the plugin storage can be read again",
        ]

    with_gateway(site, scenario)


@pytest.mark.slow
def test_ten_outages_leave_two_lines_each_in_the_log_and_no_change_is_missed(
    tmp_path: Path,
) -> None:
    """PostgreSQL is stopped and started. Somebody asks all the while, and a change is committed as
    soon as it can be.
    """
    binaries = require(find_binaries(), "PostgreSQL")
    with running_postgres(binaries) as postgres:
        site = PostgresSite(tmp_path / "site", postgres.new_database())
        populate(site)
        done = run(site.environment, "init", str(tmp_path / "init"), "--triggers")
        assert done.exit_code == 0, done.output
        with serving({**site.environment, **AN_HOUR}) as server, _running_again(postgres):
            version = "1.0.0"
            eventually(lambda: _version(server), version.__eq__)
            for outage in range(1, OUTAGES + 1):
                postgres.stop()
                eventually(lambda: _is_served(server), lambda is_served: not is_served)
                eventually(lambda: _count(server.output)[:2], ([outage] * 2).__eq__)
                version = "1.0.1" if version == "1.0.0" else "1.0.0"
                postgres.start()
                _commit(site.url, version)
                eventually(lambda: _version(server), version.__eq__)
                eventually(lambda: _is_served(server), bool)
                eventually(lambda: _count(server.output), ([outage] * 4).__eq__)
    lines = [line for line in server.output if " INFO " not in line]
    assert len(lines) == 2 * OUTAGES, "".join(lines)


@contextlib.contextmanager
def _running_again(postgres: Postgres) -> Iterator[None]:
    """A test that fails in the middle of an outage must say why: nobody can stop a server twice."""
    try:
        yield
    except AssertionError:
        with contextlib.suppress(AssertionError):
            postgres.start()
        raise


def _version(server: Server) -> str:
    return server.get(own("Review"), bearer(ADA)).body.split()[2].decode()


def _is_served(server: Server) -> bool:
    """Whether somebody is served who was never here."""
    return server.get(own("Review"), bearer(f"{time.monotonic_ns():032x}")).status != 503


def _count(output: list[str]) -> list[int]:
    """How many lines say that changes, and the database, fail and work again."""
    text = "".join(output)
    phrases = (
        "freshness: postgres fails",
        "the database fails",
        "freshness: postgres works again",
        "the database works again",
    )
    return [text.count(phrase) for phrase in phrases]


def _commit(url: str, version: str) -> None:
    async def commit() -> None:
        while True:
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                connection = await asyncpg.connect(url)
                statement = "UPDATE plugin SET version = $1 WHERE user_id = $2"
                await connection.execute(statement, version, ADA)
                await connection.close()
                return

    asyncio.run(commit())
