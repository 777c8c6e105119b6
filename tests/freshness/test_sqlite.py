"""Commits of other programs to the SQLite file: they show at once, and what is not ours costs
nothing. The lifetimes of all cached answers are an hour here, so only the news can end them.
"""

import asyncio
import itertools
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway import Gateway, create_app
from gateway.changes import ANYTHING, Change
from gateway.database.connections import SqliteConnection, connect
from gateway.database.plugin_database import PluginDatabase
from gateway.disk.storage import PluginStorage
from gateway.freshness import FreshnessSource, following
from gateway.freshness.sqlite import SqliteSource, _Counter
from gateway.names import UserId
from gateway.serving.lookups import Lookups
from gateway.serving.manifest_cache import ManifestCache
from gateway.settings import load_settings
from tests.support.asgi import Client, body, status, with_gateway
from tests.support.following import follow
from tests.support.processes import children
from tests.support.scrapes import hot_answers
from tests.support.server import Server, server_of, serving
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, CLEO, Site, bearer, populated
from tests.support.sources import Queries
from tests.support.urls import ENTRY_URL, MANIFEST, public, version_for
from tests.support.waiting import DEADLINE_S, eventually, until, until_answer

pytestmark = pytest.mark.slow

DESIGNER = f"{MANIFEST}/designer"
POLLS_S = 0.01
LOCKED_S = 1.2
"""Longer than a query may take, and than the first pauses after a failure."""


@pytest.fixture(scope="module", params=["delete", "wal"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    site.install(CLEO, "Eyes", "Review")
    site.execute(f"PRAGMA journal_mode={request.param}")
    return site


@pytest.fixture
def own_site(tmp_path: Path) -> Site:
    return populated(tmp_path / "site")


server = server_of(AN_HOUR)


# What is committed shows


@pytest.mark.usefixtures("rows_restored")
@pytest.mark.parametrize(
    ("statement", "user", "before", "after"),
    [
        ("UPDATE plugin SET version = '1.0.1'", ADA, "1.0.0", "1.0.1"),
        ("UPDATE plugin SET enabled = 0", ADA, "1.0.0", "plugin_disabled"),
        ("UPDATE plugin SET enabled = NULL", ADA, "1.0.0", "plugin_disabled"),
        ("UPDATE plugin SET plugin_slug = 'Other'", ADA, "1.0.0", "unknown_plugin"),
        ("UPDATE plugin SET user_id = 'x'", ADA, "1.0.0", "unknown_plugin"),
        ("DELETE FROM plugin", ADA, "1.0.0", "unknown_plugin"),
        (
            f"UPDATE plugin SET user_id = '{CLEO}', id = 'moved'",
            CLEO,
            "unknown_plugin",
            "1.0.0",
        ),
    ],
)
def test_a_commit_by_another_process_shows(
    site: Site, server: Server, statement: str, user: str, before: str, after: str
) -> None:
    ask = version_for(server, user)
    eventually(ask, lambda seen: seen == before)
    assert ask() == before
    site.execute(f"{statement} WHERE user_id = ? AND plugin_slug = 'Review'", ADA)
    eventually(ask, lambda seen: seen == after)


@pytest.mark.usefixtures("rows_restored")
def test_a_row_that_is_inserted_shows_though_it_was_just_denied(site: Site, server: Server) -> None:
    ask = version_for(server, CLEO)
    eventually(ask, lambda seen: seen == "unknown_plugin")
    site.add_row(CLEO, "Review", "1.0.1")
    eventually(ask, lambda seen: seen == "1.0.1")


@pytest.mark.usefixtures("rows_restored")
def test_many_commits_in_a_row_all_show(site: Site, server: Server) -> None:
    ask = version_for(server, ADA)
    for version in ("1.0.1", "1.0.0") * 4:
        site.execute("UPDATE plugin SET version = ? WHERE user_id = ?", version, ADA)
        eventually(ask, lambda seen: seen == version)  # noqa: B023


@pytest.mark.usefixtures("rows_restored")
def test_only_the_commit_shows_and_not_what_is_rolled_back(site: Site, server: Server) -> None:
    ask = version_for(server, ADA)
    eventually(ask, lambda seen: seen == "1.0.0")
    with closing(sqlite3.connect(site.database)) as connection:
        connection.execute("UPDATE plugin SET version = '1.0.1' WHERE user_id = ?", (ADA,))
        assert ask() == "1.0.0"
        connection.rollback()
        assert ask() == "1.0.0"


@pytest.mark.usefixtures("rows_restored")
def test_the_public_route_and_the_manifest_hear_of_it_too(site: Site, server: Server) -> None:
    def versions() -> object:
        by_id = server.get(public(f"{ADA}_Review")).body.split()[2].decode()
        manifest = server.get(MANIFEST, bearer(ADA)).json
        return by_id, manifest["Review"]["version"], manifest["Review"]["name"]

    eventually(versions, lambda seen: seen == ("1.0.0", "1.0.0", "Review"))
    site.execute("UPDATE plugin SET version = '1.0.1', name = 'New' WHERE user_id = ?", ADA)
    eventually(versions, lambda seen: seen == ("1.0.1", "1.0.1", "New"))


@pytest.mark.usefixtures("rows_restored")
def test_a_name_that_decides_nothing_shows_in_the_manifest(site: Site, server: Server) -> None:
    def name() -> object:
        return server.get(MANIFEST, bearer(ADA)).json["Review"]["name"]

    eventually(name, lambda seen: seen == "Review")
    site.execute("UPDATE plugin SET name = 'New' WHERE user_id = ?", ADA)
    eventually(name, lambda seen: seen == "New")


@pytest.mark.usefixtures("rows_restored")
def test_a_row_that_holds_no_text_stops_no_news_of_the_others(site: Site, server: Server) -> None:
    ask = version_for(server, ADA)
    site.execute("UPDATE plugin SET version = CAST(x'ff' AS TEXT) WHERE user_id = ?", BEN)
    for version in ("1.0.1", "1.0.0"):
        site.execute("UPDATE plugin SET version = ? WHERE user_id = ?", version, ADA)
        eventually(ask, lambda seen: seen == version)  # noqa: B023


# What happens to the file


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[tuple[Site, Server]]:
    """A site to disturb; rollback journal."""
    site = populated(tmp_path / "site")
    settings = {**AN_HOUR, "GATEWAY__DATABASE__QUERY_TIMEOUT": "0.3"}
    with serving({**site.environment, **settings}) as running:
        yield site, running


def replace(site: Site, version: str) -> None:
    """Another file in the database's place, as a restored backup is."""
    other = site.folder / "other.db"
    shutil.copyfile(site.database, other)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute(
            "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = 'Review'",
            (version, ADA),
        )
    other.replace(site.database)


def commit(site: Site, version: str) -> None:
    site.execute(
        "UPDATE plugin SET version = ? WHERE user_id = ? AND plugin_slug = 'Review'", version, ADA
    )


def test_a_file_that_was_replaced_shows_every_time_and_so_does_the_commit_after_it(
    own_server: tuple[Site, Server],
) -> None:
    """The commit comes while the source that noticed the replacement begins anew."""
    site, server = own_server
    ask = version_for(server, ADA)
    assert ask() == "1.0.0"
    for _ in range(5):
        replace(site, "1.0.1")
        eventually(ask, lambda seen: seen == "1.0.1")
        commit(site, "1.0.0")
        eventually(ask, lambda seen: seen == "1.0.0")


def test_a_commit_right_after_a_lock_shows(own_server: tuple[Site, Server]) -> None:
    """A lock for longer than a query may take is an outage to the source of news, too."""
    site, server = own_server
    ask = version_for(server, ADA)
    assert ask() == "1.0.0"
    with site.locked():
        time.sleep(LOCKED_S)  # not for luck: this is how long the lock is held
        assert ask() == "1.0.0"
    for version in ("1.0.1", "1.0.0", "1.0.1"):
        commit(site, version)
        eventually(ask, lambda seen: seen == version)  # noqa: B023


def test_a_commit_right_after_the_file_was_away_shows(own_server: tuple[Site, Server]) -> None:
    site, server = own_server
    ask = version_for(server, ADA)
    assert ask() == "1.0.0"
    away = site.database.rename(site.folder / "away.db")
    eventually(lambda: server.get("/-/ready").json["status"], lambda it: it == "degraded")
    assert ask() == "1.0.0"
    away.rename(site.database)
    for version in ("1.0.1", "1.0.0"):
        commit(site, version)
        eventually(ask, lambda seen: seen == version)  # noqa: B023


# What is not ours costs nothing


class Looks:
    """Counts the source's looks at the file, to wait for one that began after a commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.versions = self.contents = 0
        fetch = SqliteConnection.fetch

        async def counted(connection: SqliteConnection, statement: str, *values: Any) -> Any:
            rows = await fetch(connection, statement, *values)
            self.contents += "group_concat" in statement
            return rows

        read = _Counter._read

        def counted_read(counter: _Counter) -> int:
            version = read(counter)
            self.versions += 1
            return version

        monkeypatch.setattr(SqliteConnection, "fetch", counted)
        monkeypatch.setattr(_Counter, "_read", counted_read)

    async def told(self) -> None:
        """Every commit before this call has been told: the first look that ends may have begun
        before it, the second finds the commit, and the third comes when that was told."""
        after = self.versions + 3
        await until(lambda: self.versions >= after)


def loads_of(gateway: Gateway) -> list[int]:
    """How often each cache has loaded, of those that hold what the database says."""
    lookups, manifests = gateway.core.lookups, gateway.core.manifests
    caches = (lookups.records, lookups.owners, lookups.held_versions, manifests.cache)
    return [cache.counters.loads for cache in caches]


def in_process(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    scenario: Callable[[Gateway, Client, Looks], Awaitable[None]],
) -> None:
    looks = Looks(monkeypatch)

    async def prepared(gateway: Gateway, client: Client) -> None:
        await looks.told()
        for path in (ENTRY_URL, MANIFEST, DESIGNER) * 2:
            assert status(await client.request(path)) == 200
        await scenario(gateway, client, looks)

    settings = {**AN_HOUR, "GATEWAY__FRESHNESS__SQLITE_POLL": str(POLLS_S)}
    with_gateway(site, prepared, **settings)


def login(site: Site) -> None:
    """What the application commits all the time, and we have no part in.

    Each time another text: otherwise SQLite commits nothing.
    """
    site.execute("UPDATE users SET email = hex(randomblob(8))")


def test_a_busy_table_that_is_not_ours_makes_nothing_be_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(gateway: Gateway, client: Client, looks: Looks) -> None:
        loads, before = loads_of(gateway), hot_answers(gateway)[200]
        for _ in range(5):
            await asyncio.to_thread(login, site)
            await looks.told()
            for url in (ENTRY_URL, MANIFEST, DESIGNER):
                assert status(await client.request(url)) == 200
        assert looks.contents >= 5  # it did look
        assert loads_of(gateway) == loads
        assert hot_answers(gateway)[200] == before + 15

    in_process(site, monkeypatch, scenario)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE module SET display_name = 'New'",
        "UPDATE module SET rowid = 1 + (SELECT max(rowid) FROM module) WHERE name = 'Panel'",
        "UPDATE plugin SET description = description || '.'",
    ],
)
def test_what_only_manifests_show_ends_manifests_and_no_lookup(
    own_site: Site, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    for name in ("Panel", "Side"):
        own_site.add_module(f"{ADA}_Review", name, ADA)

    async def scenario(gateway: Gateway, client: Client, looks: Looks) -> None:
        await looks.told()  # what was read before is not compared by itself
        shown, loads = body(await client.request(DESIGNER)), loads_of(gateway)
        await asyncio.to_thread(own_site.execute, statement)
        await looks.told()
        assert body(await client.request(DESIGNER)) != shown
        await client.request(ENTRY_URL)
        assert loads_of(gateway) == [*loads[:-1], loads[-1] + 1]

    in_process(own_site, monkeypatch, scenario)


@pytest.mark.parametrize("limit", ["_MOST_BYTES", "_MOST_ROWS"])
def test_where_there_is_too_much_to_look_at_any_commit_ends_manifests(
    site: Site, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(f"gateway.freshness.sqlite_tables.{limit}", 1)

    async def scenario(gateway: Gateway, client: Client, looks: Looks) -> None:
        for _ in range(2):
            await looks.told()  # what was read since the last look ends as well
            *lookups, manifests = loads_of(gateway)
            await asyncio.to_thread(login, site)
            await looks.told()
            for url in (MANIFEST, ENTRY_URL):
                assert status(await client.request(url)) == 200
            *lookups_now, manifests_now = loads_of(gateway)
            assert manifests_now == manifests + 1
            assert (lookups_now == lookups) == (limit == "_MOST_BYTES")

    in_process(site, monkeypatch, scenario)


def test_where_the_table_is_too_large_to_look_at_any_commit_is_asked_about(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.freshness.sqlite_tables._MOST_ROWS", 1)

    async def scenario(gateway: Gateway, client: Client, looks: Looks) -> None:
        loads = gateway.core.lookups.records.counters.loads
        await asyncio.to_thread(commit, site, "1.0.1")
        await looks.told()
        assert b"1.0.1" in body(await client.request(ENTRY_URL))
        await asyncio.to_thread(commit, site, "1.0.0")
        await looks.told()
        assert b"1.0.0" in body(await client.request(ENTRY_URL))
        assert gateway.core.lookups.records.counters.loads == loads + 2

    in_process(site, monkeypatch, scenario)


def test_polling_may_be_turned_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(monkeypatch)

    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL)) == 200

    with_gateway(site, scenario, GATEWAY__FRESHNESS__SQLITE_POLL="0")
    assert looks.versions == 0


# What is taken back before the next look


class Gates:
    """The source's looks at the counter, and the users' queries: each goes on when it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gateway: Gateway) -> None:
        self.looks_go_on = threading.Event()
        self.counters_go_on = threading.Event()
        self.looks_go_on.set()
        self.counters_go_on.set()
        self.looking = self.looked = 0
        self.queries = Queries(monkeypatch, gateway)
        read = _Counter._read

        def held_read(counter: _Counter) -> int:
            self.looking += 1
            self.looks_go_on.wait(DEADLINE_S)
            version = read(counter)
            self.looked += 1
            self.counters_go_on.wait(DEADLINE_S)
            return version

        monkeypatch.setattr(_Counter, "_read", held_read)

    async def until(self, what: str, times: int = 1) -> None:
        """That many more of what is counted."""
        after = getattr(self, what) + times
        await until(lambda: getattr(self, what) >= after)

    async def two_looks(self) -> None:
        """The second of them began after this call, and what the first found was told."""
        self.looks_go_on.set()
        await self.until("looking", 2)

    async def no_look(self) -> None:
        """The next look waits; the one before it was told."""
        self.looks_go_on.clear()
        await self.until("looking")


GatesScenario = Callable[[Gateway, Client, Gates], Awaitable[None]]


answers = pytest.mark.parametrize("url", [ENTRY_URL, MANIFEST, DESIGNER])


def taking_back(
    monkeypatch: pytest.MonkeyPatch, site: Site, url: str, scenario: GatesScenario
) -> None:
    async def prepared(gateway: Gateway, client: Client) -> None:
        gates = Gates(monkeypatch, gateway)
        await gates.two_looks()
        try:
            await scenario(gateway, client, gates)
            await gates.two_looks()
            for _ in range(2):
                answer = body(await client.request(url))
                assert b"1.0.0" in answer
                assert b"1.0.1" not in answer
        finally:
            commit(site, "1.0.0")

    settings = {**AN_HOUR, "GATEWAY__FRESHNESS__SQLITE_POLL": str(POLLS_S)}
    with_gateway(site, prepared, **settings)


@answers
def test_what_was_read_and_landed_before_it_was_taken_back_is_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    async def scenario(_gateway: Gateway, client: Client, gates: Gates) -> None:
        await gates.no_look()
        commit(site, "1.0.1")
        assert b"1.0.1" in body(await client.request(url))
        commit(site, "1.0.0")

    taking_back(monkeypatch, site, url, scenario)


@answers
def test_what_began_before_a_look_and_was_read_after_it_is_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Its load is older than the last look at which nothing had changed."""

    async def scenario(_gateway: Gateway, client: Client, gates: Gates) -> None:
        gates.queries.may_run.clear()
        asking = asyncio.create_task(client.request(url))
        await until(lambda: gates.queries.count)
        await gates.two_looks()
        await gates.no_look()
        commit(site, "1.0.1")
        gates.queries.may_run.set()
        assert b"1.0.1" in body(await asking)
        commit(site, "1.0.0")

    taking_back(monkeypatch, site, url, scenario)


@answers
def test_what_was_read_before_it_was_taken_back_and_landed_after_the_look_is_not_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    async def scenario(_gateway: Gateway, client: Client, gates: Gates) -> None:
        await gates.no_look()
        commit(site, "1.0.1")
        gates.queries.may_return.clear()
        asking = asyncio.create_task(client.request(url))
        await gates.queries.until_answered(1)
        commit(site, "1.0.0")
        await gates.two_looks()
        gates.queries.may_return.set()
        assert b"1.0.1" in body(await asking)  # asked while that was the truth

    taking_back(monkeypatch, site, url, scenario)


@answers
def test_what_was_read_while_a_look_found_nothing_is_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """The look read the counter before the commit, and hears of it afterwards."""

    async def scenario(_gateway: Gateway, client: Client, gates: Gates) -> None:
        gates.counters_go_on.clear()
        await gates.until("looked")
        commit(site, "1.0.1")
        assert b"1.0.1" in body(await client.request(url))
        gates.looks_go_on.clear()
        gates.counters_go_on.set()
        await gates.until("looking")
        commit(site, "1.0.0")

    taking_back(monkeypatch, site, url, scenario)


@answers
def test_what_was_read_between_two_looks_and_is_right_is_not_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    async def scenario(gateway: Gateway, client: Client, gates: Gates) -> None:
        await gates.no_look()
        login(site)
        assert b"1.0.0" in body(await client.request(url))
        loads = loads_of(gateway)
        await gates.two_looks()
        assert b"1.0.0" in body(await client.request(url))
        assert loads_of(gateway) == loads

    taking_back(monkeypatch, site, url, scenario)


@answers
def test_what_was_read_before_the_last_look_is_not_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    async def scenario(gateway: Gateway, client: Client, gates: Gates) -> None:
        assert b"1.0.0" in body(await client.request(url))
        await gates.two_looks()
        await gates.no_look()
        commit(site, "1.0.1")
        commit(site, "1.0.0")
        await gates.two_looks()
        loads = loads_of(gateway)
        assert b"1.0.0" in body(await client.request(url))
        assert loads_of(gateway) == loads

    taking_back(monkeypatch, site, url, scenario)


def test_a_module_that_is_taken_back_is_read_again(
    own_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_site.add_module(f"{ADA}_Review", "Panel", ADA)

    async def scenario(_gateway: Gateway, client: Client, gates: Gates) -> None:
        await gates.no_look()
        own_site.execute("UPDATE module SET display_name = '1.0.1'")
        assert b"1.0.1" in body(await client.request(DESIGNER))
        own_site.execute("UPDATE module SET display_name = 'Panel'")

    taking_back(monkeypatch, own_site, DESIGNER, scenario)


def test_a_change_that_is_taken_back_at_once_leaves_nobody_with_it(tmp_path: Path) -> None:
    """On a real server, whose looks come when they come."""
    site = populated(tmp_path / "site")
    users = [f"{number:032x}" for number in range(20)]
    for user in users:
        site.give(user, "Review", "1.0.0")
    seen = set()
    with serving({**site.environment, **AN_HOUR}) as server:
        for user in users:
            ask = version_for(server, user)
            commit_for(site, user, "1.0.1")
            seen.add(ask())
            commit_for(site, user, "1.0.0")
            eventually(ask, lambda now: now == "1.0.0")
    assert "1.0.1" in seen  # it was there to be seen


def commit_for(site: Site, user: str, version: str) -> None:
    site.execute("UPDATE plugin SET version = ? WHERE user_id = ?", version, user)


def source_of(site: Site) -> SqliteSource:
    core = create_app(load_settings(environ=site.environment)).core
    return SqliteSource(site.database, POLLS_S, 1.0, core.lookups, core.manifests)


# The source alone


def test_what_was_committed_before_the_source_began_to_look_is_told(tmp_path: Path) -> None:
    """Nobody knows what was read from the file before the first look at its counter."""
    site = populated(tmp_path / "site")
    told: list[Change] = []

    async def main() -> None:
        async with following([source_of(site)], told.append):
            assert told == [ANYTHING]

    asyncio.run(main())


# What looks confirm


class Ticking:
    """A clock each of whose moments is another one."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


class Confirming:
    """A counter, and what it confirmed; `during` is called while it reads the file."""

    def __init__(self, site: Site) -> None:
        self.confirmed: list[float] = []
        self.clock = Ticking()
        self.during: Callable[[], object] = lambda: None
        self.counter = _Counter(site.database, 0.001, 1.0, self._confirm, self.clock)
        read = self.counter._read

        def disturbed() -> int:
            version = read()
            self.during()
            return version

        self.counter._read = disturbed  # type: ignore[method-assign]

    def _confirm(self, at: float) -> None:
        self.confirmed.append(at)
        if len(self.confirmed) == 3:
            self.counter.stop()


def test_each_look_that_finds_nothing_confirms_as_of_the_moment_before_it(own_site: Site) -> None:
    looks = Confirming(own_site)
    looks.during = looks.clock
    assert looks.counter.wait_for_commit() is None
    assert looks.confirmed == [1.0, 3.0, 5.0]
    assert looks.counter.unmoved_at == 5.0
    looks.counter.close()


def test_a_look_that_finds_a_commit_confirms_nothing(own_site: Site) -> None:
    looks = Confirming(own_site)
    commit(own_site, "1.0.1")
    assert looks.counter.wait_for_commit() == 1.0
    assert looks.confirmed == []
    assert looks.counter.wait_for_commit() is None
    assert looks.confirmed == [2.0, 3.0, 4.0]
    looks.counter.close()


def test_the_counter_of_a_file_that_was_replaced_meanwhile_confirms_nothing(own_site: Site) -> None:
    looks = Confirming(own_site)
    looks.during = lambda: replace(own_site, "1.0.1")
    assert looks.counter.wait_for_commit() is None
    assert looks.confirmed == []
    looks.counter.close()


def test_a_file_that_is_away_confirms_nothing(own_site: Site) -> None:
    """What was opened can still be read."""
    looks = Confirming(own_site)
    own_site.database.rename(own_site.folder / "away.db")
    with pytest.raises(FileNotFoundError):
        looks.counter.wait_for_commit()
    assert looks.confirmed == []
    looks.counter.close()


def test_a_file_that_is_replaced_while_it_is_opened_is_noticed(
    own_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connected(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = sqlite3.Connection(*arguments, **named)
        monkeypatch.undo()
        replace(own_site, "1.0.1")
        return connection

    monkeypatch.setattr("gateway.freshness.sqlite.sqlite3.connect", connected)
    looks = Confirming(own_site)
    assert looks.counter.wait_for_commit() is None
    assert looks.confirmed == []
    looks.counter.close()


class Watched:
    """The source, over the lookups of a gateway, with a clock of the test's own."""

    def __init__(self, site: Site) -> None:
        settings = load_settings(environ=site.environment)
        self.now_s = 1000.0
        self.database = PluginDatabase(connect(settings))
        self.lookups = Lookups(
            PluginStorage(settings.plugins_dir),
            self.database,
            settings.cache,
            settings.access,
            lambda: self.now_s,
        )
        self.records = self.lookups.records
        shared_versions = create_app(settings).core.shared_versions
        manifests = ManifestCache(self.lookups, self.database, shared_versions, settings)
        self.source: FreshnessSource = SqliteSource(
            site.database, POLLS_S, 1.0, self.lookups, manifests
        )
        self.told: list[Change] = []

    def tell(self, change: Change) -> None:
        self.told.append(change)
        if change.read_since is not None:
            self.lookups.expire_read_since(change.read_since)
        else:
            self.lookups.expire_all()

    def at_hand(self, max_age_s: float | None = None) -> bool:
        return self.records.at_hand(UserId(ADA), max_age_s) is not None

    async def looked(self) -> None:
        """A look that began after this call has confirmed what is known of Ada."""
        self.now_s += 0.01
        await until(lambda: self.at_hand(0.0))

    async def version(self) -> str:
        record = (await self.records.get(UserId(ADA))).find("Review")
        assert record is not None
        return str(record.version)


def watching(site: Site, scenario: Callable[[Watched], Awaitable[None]]) -> None:
    watched = Watched(site)
    follow(watched, lambda: scenario(watched))


@pytest.mark.parametrize("is_busy", [False, True])
def test_nothing_is_asked_while_nothing_changes_and_after_max_age_once(
    own_site: Site, is_busy: bool
) -> None:
    """Also where the application commits to its other tables before every look."""

    async def scenario(watched: Watched) -> None:
        await watched.version()
        for _ in range(44):
            watched.now_s += 6.0
            if is_busy:
                await asyncio.to_thread(login, own_site)
            await watched.looked()
        assert watched.database.queries == 1
        watched.now_s += 36.0  # 300 since the load
        assert not watched.at_hand()
        assert await watched.version() == "1.0.0"
        assert watched.database.queries == 2
        assert len(watched.told) > 20 if is_busy else watched.told == [ANYTHING]

    watching(own_site, scenario)


def test_where_every_look_finds_a_commit_that_is_not_ours_it_confirms_all_the_same(
    own_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = itertools.count()
    monkeypatch.setattr(_Counter, "_read", lambda _counter: next(versions))

    async def scenario(watched: Watched) -> None:
        async def outlives_a_look() -> bool:  # what is loaded during a look does not
            await watched.version()
            watched.now_s += 0.1
            await until(lambda: watched.at_hand(0.0) or not watched.at_hand())
            return watched.at_hand(0.0)

        await until_answer(outlives_a_look, bool)
        queries = watched.database.queries
        watched.now_s += 6.0
        await watched.looked()
        assert watched.database.queries == queries

    watching(own_site, scenario)


def test_a_change_that_is_seen_ends_what_was_confirmed_before(own_site: Site) -> None:
    async def scenario(watched: Watched) -> None:
        assert await watched.version() == "1.0.0"
        await watched.looked()
        await asyncio.to_thread(commit, own_site, "1.0.1")
        await until(lambda: watched.told != [ANYTHING])
        assert not watched.at_hand()
        assert await watched.version() == "1.0.1"

    watching(own_site, scenario)


def test_a_source_that_fails_confirms_nothing(own_site: Site) -> None:
    async def scenario(watched: Watched) -> None:
        await watched.version()
        await watched.looked()
        away = own_site.database.rename(own_site.folder / "away.db")
        watched.now_s += 6.0
        assert watched.at_hand()
        watched.now_s += 4.0
        await asyncio.sleep(5 * POLLS_S)  # not for luck: many looks would have confirmed
        assert not watched.at_hand()
        away.rename(own_site.database)
        await until(lambda: watched.told == [ANYTHING, ANYTHING])
        assert not watched.at_hand()
        await watched.version()
        await watched.looked()

    watching(own_site, scenario)


def test_a_process_that_was_paused_for_longer_than_ttl_begins_with_no_old_answer(
    tmp_path: Path,
) -> None:
    site = populated(tmp_path / "site")
    settings = {
        "GATEWAY__CACHE__VERSIONS__TTL": "0.5",
        "GATEWAY__CACHE__VERSIONS__STALE_IF_ERROR": "0",
    }
    with serving({**site.environment, **settings}) as server:
        ask = version_for(server, ADA)
        (worker,) = children(server.process.pid)
        for version in ("1.0.1", "1.0.0") * 3:
            assert ask() != version
            while not committed_in_a_pause(worker, site, version):
                pass
            assert ask() == version


def committed_in_a_pause(worker: int, site: Site, version: str) -> bool:
    """False: the worker was paused in the middle of a look, and its lock kept the commit out."""
    os.kill(worker, signal.SIGSTOP)
    try:
        with closing(sqlite3.connect(site.database, timeout=0.0, isolation_level=None)) as database:
            database.execute("UPDATE plugin SET version = ? WHERE user_id = ?", (version, ADA))
        time.sleep(0.6)  # not for luck: this is how long it is paused
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    finally:
        os.kill(worker, signal.SIGCONT)
    return True
