"""The gateway on a real PostgreSQL, with the application's tables in it."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from gateway import Gateway
from gateway.changes import ANYTHING, Change
from gateway.database.connections import connect
from gateway.database.plugin_database import PluginDatabase
from gateway.database.triggers import TABLES, trigger_statements
from gateway.disk.storage import PluginStorage
from gateway.freshness import FreshnessSource, following
from gateway.freshness.postgres import PostgresSource, _Heart
from gateway.names import UserId
from gateway.serving.lookups import Lookups
from gateway.settings import load_settings
from tests.support.asgi import Client, body, status, with_gateway
from tests.support.commands import line_of, run
from tests.support.following import follow
from tests.support.postgres import Postgres, PostgresSite, execute
from tests.support.server import Server, server_of, serving
from tests.support.settings import AN_HOUR
from tests.support.site import ADA, BEN, CLEO, SECRET, USERS_CHANGE, Site, bearer, populate
from tests.support.urls import API, ENTRY_URL, MANIFEST, own, public, version_for
from tests.support.waiting import eventually, for_a_while, until, until_answer

pytestmark = pytest.mark.slow

DESIGNER = f"{MANIFEST}/designer"
QUERY_TIMEOUT_S = 5.0
LISTENING = (
    "query ~ '^LISTEN|pg_trigger AS t' AND pid <> pg_backend_pid() AND datname = current_database()"
)


def new_site(postgres: Postgres, folder: Path) -> PostgresSite:
    site = PostgresSite(folder, postgres.new_database())
    populate(site)
    site.install(CLEO, "Eyes", "Review")
    return site


def install_triggers(site: Site, folder: Path, **environment: str) -> str:
    """As an operator does; what it said."""
    done = run({**site.environment, **environment}, "init", str(folder), "--triggers")
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def site(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> PostgresSite:
    folder = tmp_path_factory.mktemp("site")
    site = new_site(postgres, folder)
    install_triggers(site, folder / "init")
    return site


server = server_of(AN_HOUR)


# Serving


def test_each_user_gets_their_file(server: Server) -> None:
    for user, version in ((ADA, b"1.0.0"), (BEN, b"1.0.1")):
        answer = server.get(own("Review"), bearer(user))
        assert (answer.status, answer.body.split()[2]) == (200, version)
    assert server.get(own("Eyes"), bearer(CLEO)).code == "plugin_disabled"
    assert server.get(public(f"{BEN}_Review")).body.split()[2] == b"1.0.1"
    assert server.get(public("Review")).code == "ambiguous_version"
    assert server.get(public("Eyes")).status == 200
    assert server.get(public("Nothing")).code == "unknown_plugin"


def test_manifest_status_and_info_are_those_of_sqlite(
    server: Server, tmp_path: Path, site: PostgresSite
) -> None:
    on_sqlite = populate(Site(tmp_path / "site"))
    on_sqlite.install(CLEO, "Eyes", "Review")
    with serving(on_sqlite.environment) as other:
        for user in (ADA, BEN, CLEO):
            for path in (
                MANIFEST,
                f"{MANIFEST}/designer",
                f"{API}/plugins/Eyes/status",
                f"{API}/plugins/{user}_Review/info",
                f"{API}/plugins/{user}_Review/modules",
            ):
                ours, theirs = (each.get(path, bearer(user)) for each in (server, other))
                assert (ours.status, ours.json) == (theirs.status, theirs.json), path


def test_the_gateway_cannot_write(site: PostgresSite) -> None:
    async def scenario(gateway: Gateway, _client: Client) -> None:
        with pytest.raises(Exception, match="read-only"):
            await gateway.core.database.tables.fetch("UPDATE plugin SET version = '9' RETURNING id")

    with_gateway(site, scenario)


def test_the_end_of_a_gateway_closes_all_its_sessions(site: PostgresSite) -> None:
    def sessions() -> int:
        (row,) = execute(
            site.url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        return int(row[0])

    before = sessions()
    with serving({**site.environment, "GATEWAY__DATABASE__MAX_SIZE": "2"}) as running:
        for number in range(20):
            running.get(own("Review"), bearer(f"{number:032x}"))
        # Two at most to ask, and one that listens.
        eventually(sessions, lambda count: before < count <= before + 3)
        running.stop()
    eventually(sessions, lambda count: count == before)


# gateway init --triggers


def triggers(url: str) -> list[str]:
    rows = execute(
        url,
        "SELECT tgname || ' on ' || tgrelid::regclass FROM pg_trigger"
        " WHERE NOT tgisinternal ORDER BY 1",
    )
    return [row[0] for row in rows]


def test_triggers_are_installed_again_without_harm(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path / "site")
    assert triggers(site.url) == []
    first = install_triggers(site, tmp_path / "init")
    assert "gateway_plugin" in first
    installed = triggers(site.url)
    assert {name.rpartition(" ")[2] for name in installed} <= set(TABLES)
    assert any(name.endswith(" on plugin") for name in installed)
    rows = execute(site.url, "SELECT * FROM plugin")
    install_triggers(site, tmp_path / "init")
    assert triggers(site.url) == installed
    assert execute(site.url, "SELECT * FROM plugin") == rows


def test_init_makes_the_tables_in_an_empty_database(postgres: Postgres, tmp_path: Path) -> None:
    environment = {
        "GATEWAY__DATABASE__URL": postgres.new_database(),
        "GATEWAY__IDENTITY__JWT__SECRET": SECRET,
    }
    first = run(environment, "init", str(tmp_path), "--triggers")
    assert first.exit_code == 0, first.output
    assert "made   PostgreSQL, " in first.output
    assert environment["GATEWAY__DATABASE__URL"] not in first.output  # a password may be in it
    again = run(environment, "init", str(tmp_path), "--triggers")
    assert again.exit_code == 0, again.output
    assert "made" in first.stdout
    assert "kept   PostgreSQL, " in again.stdout
    assert triggers(environment["GATEWAY__DATABASE__URL"])


def test_without_the_option_no_trigger_is_installed(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path / "site")
    done = run(site.environment, "init", str(tmp_path / "init"))
    assert done.exit_code == 0, done.output
    assert triggers(site.url) == []


def test_on_sqlite_the_option_is_refused_with_one_line(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    done = run(site.environment, "init", str(tmp_path / "init"), "--triggers")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert "PostgreSQL" in done.stderr


@pytest.mark.parametrize("command", [("init", "--triggers"), ("check",), ("serve",)])
def test_without_the_extra_each_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugins").mkdir()
    environment = {
        "GATEWAY__DATABASE__URL": "postgresql://me@127.0.0.1:1/x",
        "GATEWAY__IDENTITY__JWT__SECRET": SECRET,
    }
    if command == ("check",):
        done = run(environment, *command)
        assert done.exit_code == 1
        said = " ".join(done.stdout.split())
    else:
        done = run(environment, *command)
        assert done.exit_code == 2, done.output
        said = done.stderr
        assert len(said.splitlines()) == 1
    assert "pip install '.[postgres]' in the checkout" in said
    assert "Traceback" not in said


def test_check_tries_to_write_as_the_role_that_serves(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path)
    settings = {**site.environment, **USERS_CHANGE, "GATEWAY__SERVER__PORT": "0"}
    before = site.query("SELECT * FROM plugin ORDER BY id")
    assert "it can be written" in run(settings, "check").stdout
    assert site.query("SELECT * FROM plugin ORDER BY id") == before
    execute(
        site.url,
        "CREATE ROLE reader LOGIN",
        "GRANT SELECT ON plugin, module TO reader",
        "GRANT INSERT, UPDATE, DELETE ON module TO reader",
    )
    scheme, rest = site.url.split("://")
    url = f"{scheme}://reader@{rest.split('@')[-1]}"
    refused = run({**settings, "GATEWAY__DATABASE__URL": url}, "check")
    assert refused.exit_code == 1
    assert (
        "no permission for INSERT on plugin, UPDATE on plugin, DELETE on plugin" in refused.stdout
    )
    database = site.url.rpartition("/")[2]
    execute(site.url, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    assert "it cannot be written: it is read-only" in run(settings, "check").stdout


# What the application does to its tables must go on as before

INSERT_MODULE = "INSERT INTO module (id, plugin_id, name) VALUES ('m', 'p', 'n')"


@pytest.mark.parametrize(
    ("before", "write"),
    [
        ("SELECT 1", f"UPDATE plugin SET version = '2' WHERE user_id = '{ADA}'"),
        ("ALTER TABLE plugin ALTER user_id DROP NOT NULL", "UPDATE plugin SET user_id = NULL"),
        ("SELECT 1", "UPDATE plugin SET user_id = repeat('x', 9000) WHERE version = '1.0.0'"),
        ("ALTER TABLE plugin ALTER user_id TYPE uuid USING user_id::uuid", "DELETE FROM plugin"),
        ("ALTER TABLE module DROP user_id", INSERT_MODULE),
        ("SELECT 1", "TRUNCATE plugin, module"),
        ("SELECT 1", "UPDATE plugin SET version = version"),
    ],
    ids=["as ever", "no user", "long user", "uuid", "no column", "truncate", "all"],
)
def test_no_write_of_the_application_fails_for_the_triggers(
    postgres: Postgres, tmp_path: Path, before: str, write: str
) -> None:
    """Also where its tables are those of an older or a later migration."""
    site = new_site(postgres, tmp_path / "site")
    execute(site.url, before)
    install_triggers(site, tmp_path / "init")
    execute(site.url, write)


def test_the_triggers_outlast_a_column_that_is_dropped(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path / "site")
    install_triggers(site, tmp_path / "init")
    execute(site.url, "ALTER TABLE module DROP user_id", INSERT_MODULE)


# What is committed shows


@pytest.mark.usefixtures("rows_restored")
@pytest.mark.parametrize(
    ("statement", "user", "before", "after"),
    [
        ("UPDATE plugin SET version = '1.0.1'", ADA, "1.0.0", "1.0.1"),
        ("UPDATE plugin SET enabled = false", ADA, "1.0.0", "plugin_disabled"),
        ("UPDATE plugin SET plugin_slug = 'Other'", ADA, "1.0.0", "unknown_plugin"),
        ("UPDATE plugin SET user_id = 'x'", ADA, "1.0.0", "unknown_plugin"),
        ("DELETE FROM plugin", ADA, "1.0.0", "unknown_plugin"),
        (f"UPDATE plugin SET user_id = '{CLEO}'", CLEO, "unknown_plugin", "1.0.0"),
    ],
)
def test_a_commit_by_another_session_shows(
    site: PostgresSite, server: Server, statement: str, user: str, before: str, after: str
) -> None:
    ask = version_for(server, user)
    eventually(ask, lambda seen: seen == before)
    site.execute(f"{statement} WHERE user_id = ? AND plugin_slug = 'Review'", ADA)
    eventually(ask, lambda seen: seen == after)


@pytest.mark.usefixtures("rows_restored")
def test_truncate_shows(site: PostgresSite, server: Server) -> None:
    asks = [version_for(server, ADA), version_for(server, BEN)]
    eventually(lambda: [ask() for ask in asks], lambda seen: seen == ["1.0.0", "1.0.1"])
    execute(site.url, "TRUNCATE plugin")
    eventually(lambda: {ask() for ask in asks}, lambda seen: seen == {"unknown_plugin"})


@pytest.mark.usefixtures("rows_restored")
def test_a_transaction_shows_when_it_is_committed_and_not_before(
    site: PostgresSite, server: Server
) -> None:
    ask = version_for(server, ADA)
    eventually(ask, lambda seen: seen == "1.0.0")

    async def write() -> None:
        connection = await asyncpg.connect(site.url)
        try:
            for ending in ("ROLLBACK", "COMMIT"):
                await connection.execute("BEGIN; UPDATE plugin SET version = '1.0.1'")
                assert await asyncio.to_thread(ask) == "1.0.0"
                await connection.execute(ending)
        finally:
            await connection.close()

    asyncio.run(write())
    eventually(ask, lambda seen: seen == "1.0.1")


@pytest.mark.usefixtures("rows_restored")
def test_the_manifest_hears_of_names_and_modules(site: PostgresSite, server: Server) -> None:
    def shown() -> tuple[Any, list[Any]]:
        entry = server.get(f"{MANIFEST}/designer", bearer(ADA)).json["Review"]
        return entry["name"], [module["name"] for module in entry["modules"]]

    assert shown() == ("Review", [])
    site.execute("UPDATE plugin SET name = 'New' WHERE user_id = ?", ADA)
    site.add_module(f"{ADA}_Review", "Panel", ADA)
    try:
        eventually(shown, lambda seen: seen == ("New", ["Panel"]))
    finally:
        execute(site.url, "DELETE FROM module")


def test_where_users_are_uuids_another_id_fails_nobody_else(
    postgres: Postgres, tmp_path: Path
) -> None:
    """They share one query, and the database refuses a text that is no UUID."""
    site = new_site(postgres, tmp_path)
    site.add_module(f"{ADA}_Review", "Panel", ADA)
    site.execute("ALTER TABLE plugin ALTER user_id TYPE uuid USING user_id::uuid")
    users = [ADA, "somebody", BEN, CLEO.upper(), "f" * 31, f"{ADA[:-1]}-"]

    async def scenario(_gateway: Gateway, client: Client) -> None:
        asked = [client.request(url, user) for url in (ENTRY_URL, DESIGNER) for user in users]
        answers = await asyncio.gather(*asked)
        files, manifests = answers[: len(users)], answers[len(users) :]
        assert [status(answer) for answer in files] == [200, 404, 200, 404, 404, 404]
        found = [orjson.loads(body(answer)) for answer in manifests]
        assert [len(manifest) for manifest in found] == [2, 0, 1, 0, 0, 0]
        assert [it["name"] for it in found[0]["Review"]["modules"]] == ["Panel"]

    with_gateway(site, scenario)


def test_where_users_are_texts_any_id_may_have_rows(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path)
    site.give("somebody", "Review", "1.0.0")

    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert status(await client.request(ENTRY_URL, "somebody")) == 200

    with_gateway(site, scenario)


def test_a_change_of_one_user_asks_for_nobody_elses_rows(site: PostgresSite) -> None:
    async def scenario(gateway: Gateway, client: Client) -> None:
        for user in (ADA, BEN):
            assert status(await client.request(ENTRY_URL, user)) == 200
        records, applied = gateway.core.lookups.records, gateway.core.invalidation.applied
        ben = records.peek(BEN)  # type: ignore[arg-type]
        change = "UPDATE plugin SET icon = 'x' WHERE user_id = ?"
        await asyncio.to_thread(site.execute, change, ADA)
        await until(lambda: gateway.core.invalidation.applied > applied)
        assert records.peek(ADA) is None or not records.is_fresh(records.peek(ADA))  # type: ignore[arg-type]
        assert records.peek(BEN) is ben  # type: ignore[arg-type]
        assert ben is not None
        assert records.is_fresh(ben)

    with_gateway(site, scenario, **AN_HOUR)


def test_several_sites_in_one_database_server_hear_only_of_themselves(
    postgres: Postgres, site: PostgresSite, tmp_path: Path
) -> None:
    other = new_site(postgres, tmp_path / "other")
    install_triggers(other, tmp_path / "init")

    async def scenario(gateway: Gateway, client: Client) -> None:
        def is_known(user: str) -> bool:
            entry = gateway.core.lookups.records.peek(UserId(user))
            return entry is not None and gateway.core.lookups.records.is_fresh(entry)

        for user in (ADA, BEN):
            assert status(await client.request(ENTRY_URL, user)) == 200
        change = "UPDATE plugin SET icon = 'x' WHERE user_id = ?"
        await asyncio.to_thread(other.execute, change, ADA)
        await asyncio.to_thread(site.execute, change, BEN)
        # PostgreSQL tells of commits in their order: the other's would have come first.
        await until(lambda: not is_known(BEN))
        assert is_known(ADA)

    with_gateway(site, scenario, **AN_HOUR)


def test_a_channel_of_ones_own_is_listened_to(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path / "site")
    channel = {"GATEWAY__FRESHNESS__POSTGRES_CHANNEL": "elsewhere"}
    install_triggers(site, tmp_path / "init")
    assert "elsewhere" in install_triggers(site, tmp_path / "init", **channel)

    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert b"1.0.0" in body(await client.request(ENTRY_URL))
        await asyncio.to_thread(site.execute, "UPDATE plugin SET version = '1.0.1'")
        await _until_entry_holds(client, b"1.0.1")

    with_gateway(site, scenario, **AN_HOUR, **channel)


def test_without_triggers_the_lifetimes_hold(postgres: Postgres, tmp_path: Path) -> None:
    site = new_site(postgres, tmp_path / "site")

    async def scenario(_gateway: Gateway, client: Client) -> None:
        assert b"1.0.0" in body(await client.request(ENTRY_URL))
        await asyncio.to_thread(site.execute, "UPDATE plugin SET version = '1.0.1'")
        await _until_entry_holds(client, b"1.0.1")

    with_gateway(site, scenario, GATEWAY__CACHE__VERSIONS__TTL="0.5")


async def _until_entry_holds(client: Client, content: bytes) -> None:
    await until_answer(lambda: client.request(ENTRY_URL), lambda answer: content in body(answer))


# The listener and its end


def listeners(site: PostgresSite) -> list[int]:
    rows = execute(site.url, f"SELECT pid FROM pg_stat_activity WHERE {LISTENING}")
    return [row[0] for row in rows]


def kill_listeners(site: PostgresSite) -> None:
    execute(
        site.url, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {LISTENING}"
    )


@pytest.mark.usefixtures("rows_restored")
def test_a_listener_that_is_killed_comes_back_and_nothing_is_missed(
    site: PostgresSite, server: Server
) -> None:
    ask = version_for(server, ADA)
    eventually(ask, lambda seen: seen == "1.0.0")
    for version in ("1.0.1", "1.0.0"):
        (before,) = eventually(lambda: listeners(site), lambda pids: len(pids) == 1)
        kill_listeners(site)
        # Nobody listens just now, or hardly.
        site.execute("UPDATE plugin SET version = ? WHERE user_id = ?", version, ADA)
        eventually(ask, lambda seen: seen == version)  # noqa: B023
        eventually(lambda: listeners(site), lambda pids: len(pids) == 1 and pids != [before])  # noqa: B023
        # And it hears again.
        for back in ("1.0", version):
            site.execute("UPDATE plugin SET version = ? WHERE user_id = ?", back, ADA)
            expected = version if back == version else "version_not_published"
            eventually(ask, lambda seen: seen == expected)  # noqa: B023
    assert "Traceback" not in "".join(server.output)


def test_pool_sessions_that_are_killed_fail_no_request(site: PostgresSite, server: Server) -> None:
    ada, ben = version_for(server, ADA), version_for(server, BEN)
    assert (ada(), ben()) == ("1.0.0", "1.0.1")
    execute(
        site.url,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database() AND backend_type = 'client backend'",
    )
    for _ in for_a_while(1.0):
        assert (ada(), ben()) == ("1.0.0", "1.0.1")
    eventually(version_for(server, f"{time.monotonic_ns():032x}"), lambda it: it == "not_installed")


def test_a_server_that_is_stopped_is_noticed_by_those_alone_who_were_never_here(
    postgres: Postgres, tmp_path: Path
) -> None:
    site = new_site(postgres, tmp_path / "site")
    install_triggers(site, tmp_path / "init")
    settings = {**AN_HOUR, "GATEWAY__DATABASE__QUERY_TIMEOUT": str(QUERY_TIMEOUT_S)}
    with serving({**site.environment, **settings}) as server:
        ada, ben = version_for(server, ADA), version_for(server, BEN)
        assert ada() == "1.0.0"
        assert server.get(MANIFEST, bearer(ADA)).status == 200
        postgres.stop()
        with contextlib.ExitStack() as stack:
            stack.callback(postgres.start)
            answer = eventually(
                lambda: server.get(own("Review"), bearer(BEN)), lambda it: it.status == 503
            )
            assert (answer.code, answer.headers["retry-after"]) == ("source_unavailable", "1")
            eventually(
                lambda: server.get("/-/ready").json["status"], lambda seen: seen == "degraded"
            )
            for _ in for_a_while(2.0):
                started = time.monotonic()
                assert ada() == "1.0.0"
                assert server.get(MANIFEST, bearer(ADA)).status == 200
                assert time.monotonic() - started < QUERY_TIMEOUT_S
        eventually(ben, lambda seen: seen == "1.0.1")
        eventually(lambda: server.get("/-/ready").json["status"], lambda seen: seen == "ready")
        eventually(lambda: listeners(site), lambda pids: len(pids) == 1)
        site.execute("UPDATE plugin SET version = '1.0.1' WHERE user_id = ?", ADA)
        eventually(ada, lambda seen: seen == "1.0.1")


# Before the start


def test_a_database_that_is_not_there_stops_the_start_with_one_line(
    postgres: Postgres, site: PostgresSite
) -> None:
    environment = {**site.environment, "GATEWAY__DATABASE__URL": postgres.url("nothing")}
    line = line_of(run(environment, "serve"))
    assert "database.url" in line
    assert "nothing" in line


def test_several_workers_all_listen(site: PostgresSite) -> None:
    with serving({**site.environment, **AN_HOUR}, "--workers", "2") as running:
        eventually(lambda: len(listeners(site)), lambda count: count >= 2)
        assert running.get(own("Review"), bearer(ADA)).status == 200


# What heartbeats confirm


class Beating:
    """The source, over the lookups of a gateway, with a clock of the test's own."""

    def __init__(self, site: PostgresSite, monkeypatch: pytest.MonkeyPatch, url: str = "") -> None:
        settings = load_settings(environ=site.environment)
        self.now_s = 1000.0
        self.beats = self.lost = 0
        self.database = PluginDatabase(connect(settings))
        self.lookups = Lookups(
            PluginStorage(settings.plugins_dir),
            self.database,
            settings.cache,
            settings.access,
            lambda: self.now_s,
        )
        self.source: FreshnessSource = PostgresSource(
            url or site.url,
            settings.freshness.postgres_channel,
            0.04,
            self.lookups.confirm_database,
            self.lookups.clock,
        )
        self.told: list[Change] = []
        beat = _Heart.beat

        async def counted(heart: _Heart) -> None:
            try:
                await beat(heart)
            except TimeoutError:
                self.lost += 1
                raise
            self.beats += 1

        monkeypatch.setattr(_Heart, "beat", counted)

    def tell(self, change: Change) -> None:
        self.told.append(change)
        if change.user is None:
            self.lookups.expire_all()
        else:
            self.lookups.forget_user(change.user, hard=False)

    async def load(self) -> None:
        await self.lookups.records.get(UserId(ADA))

    def at_hand(self, max_age_s: float | None = None) -> bool:
        return self.lookups.records.at_hand(UserId(ADA), max_age_s) is not None

    async def confirmed(self) -> None:
        """A heartbeat that was sent after this call has confirmed what is known of Ada."""
        self.now_s += 0.01
        await until(lambda: self.at_hand(0.0))

    async def loaded_and_confirmed(self) -> None:
        """As `confirmed`, after a load; again if a busy machine lost a heartbeat meanwhile."""
        told = len(self.told)  # before the load: what is told meanwhile expires its value
        await self.load()
        self.now_s += 0.01
        await until(lambda: self.at_hand(0.0) or len(self.told) > told)
        if not self.at_hand(0.0):
            await self.loaded_and_confirmed()

    async def beaten_for_nothing(self) -> None:
        """Some heartbeats were sent after this call, and confirmed nothing."""
        self.now_s += 0.01
        after = self.beats + 3
        await until(lambda: self.beats >= after)
        assert not self.at_hand(0.0)


def beating(beats: Beating, scenario: Callable[[Beating], Awaitable[None]]) -> None:
    follow(beats, lambda: scenario(beats))


@pytest.fixture
def triggered(postgres: Postgres, tmp_path: Path) -> PostgresSite:
    site = new_site(postgres, tmp_path / "site")
    install_triggers(site, tmp_path / "init")
    return site


def test_nothing_is_asked_while_nothing_is_committed_and_after_max_age_once(
    triggered: PostgresSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(beats: Beating) -> None:
        await beats.load()
        for _ in range(10):
            beats.now_s += 6.0
            await beats.confirmed()
        assert beats.database.queries == 1
        beats.now_s += 240.0
        assert not beats.at_hand()
        await beats.load()
        assert beats.database.queries == 2
        assert beats.told == [ANYTHING]

    beating(Beating(triggered, monkeypatch), scenario)


def test_without_triggers_nothing_is_confirmed_until_they_are_there(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site(postgres, tmp_path / "site")

    async def scenario(beats: Beating) -> None:
        await beats.load()
        await beats.beaten_for_nothing()
        await asyncio.to_thread(execute, site.url, *trigger_statements("elsewhere"))
        await beats.beaten_for_nothing()
        before = len(beats.told)  # one for each connection: a busy machine may have lost the first
        await asyncio.to_thread(execute, site.url, *trigger_statements("gateway_plugin"))
        # What was committed before they were there was not told.
        await until(lambda: ANYTHING in beats.told[before:])
        assert not beats.at_hand()
        await beats.loaded_and_confirmed()

    beating(Beating(site, monkeypatch), scenario)


@pytest.mark.parametrize(
    "broken",
    [
        "ALTER TABLE plugin DISABLE TRIGGER gateway_tell_change_row",
        "ALTER TABLE module DISABLE TRIGGER USER",
        "ALTER TABLE plugin ENABLE REPLICA TRIGGER gateway_tell_change_truncate",
        "DROP TRIGGER gateway_tell_change_row ON module",
        "DROP FUNCTION gateway_tell_change CASCADE",
        "CREATE TABLE heir () INHERITS (plugin)",
        "DROP TABLE module",
    ],
)
def test_triggers_that_do_not_tell_of_all_confirm_nothing(
    triggered: PostgresSite, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    async def scenario(beats: Beating) -> None:
        await beats.load()
        await beats.confirmed()
        await asyncio.to_thread(execute, triggered.url, broken)
        await until(lambda: beats.told == [ANYTHING, ANYTHING])
        await beats.load()
        await beats.beaten_for_nothing()

    beating(Beating(triggered, monkeypatch), scenario)


@pytest.mark.parametrize(
    "between",
    [
        (
            "ALTER TABLE plugin DISABLE TRIGGER USER",
            "UPDATE plugin SET version = '1.0.1'",
            "ALTER TABLE plugin ENABLE TRIGGER USER",
        ),
        ("ALTER TABLE plugin ALTER version TYPE text USING '1.0.1'",),
    ],
)
def test_what_was_committed_while_no_trigger_told_of_it_is_asked_for_again(
    triggered: PostgresSite, monkeypatch: pytest.MonkeyPatch, between: tuple[str, ...]
) -> None:
    """Between two heartbeats the triggers were away, and are back."""

    async def scenario(beats: Beating) -> None:
        await beats.load()
        await beats.confirmed()
        await asyncio.to_thread(execute, triggered.url, "BEGIN", *between, "COMMIT")
        await until(lambda: beats.told == [ANYTHING, ANYTHING])
        assert not beats.at_hand()
        await beats.load()
        await beats.confirmed()

    beating(Beating(triggered, monkeypatch), scenario)


class HalfOpen:
    """A connection to the server in which everything is lost while `is_cut`."""

    def __init__(self, url: str) -> None:
        self.port = int(url.rpartition(":")[2].partition("/")[0])
        self.is_cut = False

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, upwards = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.closing(writer), contextlib.closing(upwards):
            await asyncio.wait(
                {
                    asyncio.create_task(self._copy(reader, upwards)),
                    asyncio.create_task(self._copy(upstream, writer)),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65536):
            if not self.is_cut:
                writer.write(content)


def test_a_connection_that_is_half_open_confirms_nothing_and_is_made_anew(
    triggered: PostgresSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("_PROBE_S", "_CONNECT_TIMEOUT_S"):
        monkeypatch.setattr(f"gateway.freshness.postgres.{bound}", 0.3)

    async def main() -> None:
        half_open = HalfOpen(triggered.url)
        async with half_open.serving() as port:
            url = triggered.url.replace(f":{half_open.port}/", f":{port}/")
            beats = Beating(triggered, monkeypatch, url)
            await beats.database.open()
            try:
                async with following([beats.source], beats.tell):
                    await beats.load()
                    await beats.confirmed()
                    half_open.is_cut = True
                    beats.now_s += 0.01
                    await until(lambda: beats.lost)
                    assert not beats.at_hand(0.0)
                    assert beats.told == [ANYTHING]
                    half_open.is_cut = False
                    await until(lambda: beats.told == [ANYTHING, ANYTHING])
                    await beats.load()
                    await beats.confirmed()
            finally:
                await beats.lookups.close()
                await beats.database.close()

    asyncio.run(main())
