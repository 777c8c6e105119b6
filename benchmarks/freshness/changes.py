"""Kinds of changes, each made as another program makes it: in this process, not the server's.

The clock starts when the change is complete: the commit has returned, the file has its name.
How long a disk takes to commit is not the gateway's doing.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

from benchmarks.freshness.site import copy_to_postgres, use_journal
from benchmarks.site import SLUG, Site
from gateway.changes import Change as Told
from gateway.disk.storage import PluginStorage, write_atomically
from gateway.freshness.change_log import ChangeLog
from gateway.names import Version

Make = Callable[[Version | None], float]
"""Gives the user a version, or None of it; the moment (perf_counter) at which that was done."""

_UPDATE = "UPDATE plugin SET version = {} WHERE user_id = {} AND plugin_slug = {}"
# Then only what is told by hand is heard.
_UNWATCHED = {"GATEWAY__FRESHNESS__WATCH_USERS": "false", "GATEWAY__FRESHNESS__SQLITE_POLL": "0"}


class NotInstalled(Exception):
    """What the change needs is missing; the text says what."""


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change, and how soon it is promised to show."""

    name: str
    promise_s: float
    prepared: Callable[[Site], AbstractContextManager[tuple[Mapping[str, str], Make]]]
    """Settings of the server, and what makes the change, for as long as the block lasts."""
    takes_away: bool = False
    """Whether the plugin comes and goes, instead of changing its version."""


@contextmanager
def _committing(site: Site) -> Iterator[Make]:
    with closing(sqlite3.connect(site.database, isolation_level=None)) as connection:

        def make(version: Version | None) -> float:
            connection.execute(_UPDATE.format("?", "?", "?"), (version, site.user, SLUG))
            return time.perf_counter()

        yield make


@contextmanager
def _rollback_journal(site: Site) -> Iterator[tuple[Mapping[str, str], Make]]:
    use_journal(site, "delete")
    with _committing(site) as make:
        yield {}, make


@contextmanager
def _write_ahead_log(site: Site) -> Iterator[tuple[Mapping[str, str], Make]]:
    use_journal(site, "wal")
    with _committing(site) as make:
        yield {}, make


@contextmanager
def _json_replaced(site: Site) -> Iterator[tuple[Mapping[str, str], Make]]:
    file = PluginStorage(site.plugins).installations_file(site.user)
    with_it = json.loads(file.read_bytes())
    without_it = {slug: inner for slug, inner in with_it.items() if slug != SLUG}

    def make(version: Version | None) -> float:
        write_atomically(file, json.dumps(without_it if version is None else with_it).encode())
        return time.perf_counter()

    yield {}, make


@contextmanager
def _told_by_a_worker(site: Site) -> Iterator[tuple[Mapping[str, str], Make]]:
    log = ChangeLog(PluginStorage(site.plugins).cache)
    log.open()
    with _committing(site) as commit, closing(log):

        def make(version: Version | None) -> float:
            commit(version)
            started = time.perf_counter()
            log.append(Told(user=site.user))
            return started

        yield _UNWATCHED, make


@contextmanager
def _postgres(site: Site) -> Iterator[tuple[Mapping[str, str], Make]]:
    """Raises: NotInstalled."""
    try:
        import asyncpg  # noqa: PLC0415 (an extra)

        # The one that the tests run: a checkout has both.
        from tests.support.postgres import find_binaries, running_postgres  # noqa: PLC0415
    except ImportError:
        raise NotInstalled("asyncpg is not installed") from None
    binaries = find_binaries()
    if binaries is None:
        raise NotInstalled("PostgreSQL is not installed")
    with running_postgres(binaries) as server, asyncio.Runner() as runner:
        url = server.new_database()
        environment = copy_to_postgres(site, url)
        connection = runner.run(asyncpg.connect(url))
        statement = _UPDATE.format("$1", "$2", "$3")

        def make(version: Version | None) -> float:
            runner.run(connection.execute(statement, version, site.user, SLUG))
            return time.perf_counter()

        try:
            yield environment, make
        finally:
            runner.run(connection.close())


CHANGES = (
    Change("SQLite commit, rollback journal", 0.250, _rollback_journal),
    Change("SQLite commit, write-ahead log", 0.250, _write_ahead_log),
    Change("JSON replaced", 0.250, _json_replaced, takes_away=True),
    Change("told by another worker", 0.100, _told_by_a_worker),
    Change("PostgreSQL commit", 0.050, _postgres),
)
