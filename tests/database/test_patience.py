"""A start waits for a database that is busy, and says so."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import anyio
import pytest

from benchmarks.processes import free_port
from gateway.database.connections import connect
from gateway.database.tables import Tables
from gateway.errors import ConfigurationError
from gateway.settings import load_settings
from tests.support.background import in_background
from tests.support.server import START_DEADLINE_S
from tests.support.site import Site
from tests.support.terminal import terminal

SHORT = {"GATEWAY__DATABASE__QUERY_TIMEOUT": "0.1"}


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """As by a program that migrates the database."""
    with closing(sqlite3.connect(site.database)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


async def open_and_close(site: Site) -> None:
    tables = Tables(connect(load_settings(environ={**site.environment, **SHORT})))
    await tables.open()
    await tables.close()


@pytest.mark.slow
def test_a_server_starts_when_the_database_is_no_longer_locked(empty_site: Site) -> None:
    site = empty_site
    port = {"GATEWAY__SERVER__PORT": str(free_port())}
    environment = {**terminal(site.folder), **site.environment, **SHORT, **port}
    with ExitStack() as stack:
        with locked(site):
            starting = in_background(["gateway", "serve"], site.folder, environment)
            server = stack.enter_context(starting)
            said = r"WARNING .*(timed out|locked); waiting for up to 20 s"
            server.wait_for(said, START_DEADLINE_S)
        server.wait_for("gateway running on", START_DEADLINE_S)


def test_a_database_that_stays_locked_stops_the_start(
    empty_site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.database.patience._PATIENCE_S", 0.5)
    with locked(empty_site), pytest.raises(ConfigurationError, match=r"no answer within 0\.5 s"):
        anyio.run(open_and_close, empty_site)
    assert len(caplog.records) == 1
    anyio.run(open_and_close, empty_site)


def test_what_is_no_database_stops_the_start_at_once(
    empty_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    empty_site.database.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigurationError, match="cannot be read as a SQLite database"):
        anyio.run(open_and_close, empty_site)
    assert caplog.records == []
