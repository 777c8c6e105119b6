"""Kinds of changes, each made as another program makes it: in this process, not the server's.

The clock starts when the change is complete: the commit has returned, the file has its name. How
long a disk takes to commit is not the gateway's doing.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import anyio

from benchmarks.sites import SLUG, SmallSite
from gateway.changes import Change as NoticedChange
from gateway.database.transactions import execute_in_transaction
from gateway.disk.files import write_atomically
from gateway.disk.storage import PluginStorage
from gateway.freshness.change_log import ChangeLog
from gateway.lifecycle.releases import insert_statement, plugin_row
from gateway.names import Version
from gateway.upkeep.new_site import install_triggers, make_tables

Make = Callable[[Version | None], float]
"""Gives the user that version of SLUG, or takes it away (None). Returns when that was done
(perf_counter)."""

_UPDATE = "UPDATE plugin SET version = {} WHERE user_id = {} AND plugin_slug = {}"
# With these the gateway looks for no changes itself.
_UNWATCHED = {"GATEWAY__FRESHNESS__WATCH_USERS": "false", "GATEWAY__FRESHNESS__SQLITE_POLL": "0"}


class NotInstalled(Exception):
    """What the change needs is missing; the text says what."""


@dataclass(frozen=True, slots=True)
class Prepared:
    settings: Mapping[str, str]
    """Settings of the server that must notice the change."""
    make: Make


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change, and the promise how soon it shows."""

    name: str
    promise: str
    """The key."""
    prepare: Callable[[SmallSite], AbstractContextManager[Prepared]]
    takes_away: bool = False
    """Whether the plugin comes and goes, instead of changing its version."""


@contextmanager
def _committing(site: SmallSite) -> Iterator[Make]:
    with closing(sqlite3.connect(site.database, isolation_level=None)) as connection:

        def make(version: Version | None) -> float:
            connection.execute(_UPDATE.format("?", "?", "?"), (version, site.user, SLUG))
            return time.perf_counter()

        yield make


@contextmanager
def _sqlite(site: SmallSite, journal_mode: str) -> Iterator[Prepared]:
    with closing(sqlite3.connect(site.database)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
    with _committing(site) as make:
        yield Prepared({}, make)


@contextmanager
def _json_replaced(site: SmallSite) -> Iterator[Prepared]:
    file = PluginStorage(site.plugins).users.file(site.user)
    with_plugin = json.loads(file.read_bytes())
    without_plugin = {slug: entry for slug, entry in with_plugin.items() if slug != SLUG}

    def make(version: Version | None) -> float:
        content = without_plugin if version is None else with_plugin
        write_atomically(file, json.dumps(content).encode())
        return time.perf_counter()

    yield Prepared({}, make)


@contextmanager
def _told_by_a_worker(site: SmallSite) -> Iterator[Prepared]:
    log = ChangeLog(PluginStorage(site.plugins).cache)
    log.open()
    with _committing(site) as commit, closing(log):

        def make(version: Version | None) -> float:
            commit(version)
            started = time.perf_counter()
            log.append(NoticedChange(user=site.user))
            return started

        yield Prepared(_UNWATCHED, make)


@contextmanager
def _postgres(site: SmallSite) -> Iterator[Prepared]:
    """Raises: NotInstalled."""
    try:
        import asyncpg  # noqa: PLC0415 (an extra)

        # The server that the tests run: a checkout has both.
        from tests.support.postgres import find_binaries, running_postgres  # noqa: PLC0415
    except ImportError:
        raise NotInstalled("asyncpg is not installed") from None
    binaries = find_binaries()
    if binaries is None:
        raise NotInstalled("PostgreSQL is not installed")
    with running_postgres(binaries) as server, asyncio.Runner() as runner:
        url = server.new_database()
        settings = _copy_to_postgres(site, url)
        connection = runner.run(asyncpg.connect(url))
        statement = _UPDATE.format("$1", "$2", "$3")

        def make(version: Version | None) -> float:
            runner.run(connection.execute(statement, version, site.user, SLUG))
            return time.perf_counter()

        try:
            yield Prepared(settings, make)
        finally:
            runner.run(connection.close())


def _copy_to_postgres(site: SmallSite, url: str) -> Mapping[str, str]:
    """Writes the user's rows to PostgreSQL, with triggers; the settings that lead there.

    Raises: ConfigurationError.
    """
    changes = {"GATEWAY__DATABASE__URL": url}
    settings = site.settings(**changes)
    now = datetime.now(UTC)
    with closing(sqlite3.connect(site.database)) as connection:
        plugins = connection.execute(
            "SELECT plugin_slug, version FROM plugin WHERE user_id = ?", (site.user,)
        ).fetchall()
    rows = [plugin_row({}, site.user, slug, version, now) for slug, version in plugins]

    async def make() -> None:
        await make_tables(settings)
        await execute_in_transaction(settings, [insert_statement("plugin", row) for row in rows])
        await install_triggers(settings)

    anyio.run(make)
    return changes


CHANGES = (
    Change(
        "SQLite commit, rollback journal", "fresh_sqlite", partial(_sqlite, journal_mode="delete")
    ),
    Change("SQLite commit, write-ahead log", "fresh_sqlite", partial(_sqlite, journal_mode="wal")),
    Change("JSON replaced", "fresh_json", _json_replaced, takes_away=True),
    Change("told by another worker", "fresh_worker", _told_by_a_worker),
    Change("PostgreSQL commit", "fresh_postgres", _postgres),
)
