"""What a look at the two tables tells apart, and that it sees one state of the file."""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gateway.database.connections import SqliteConnection
from gateway.database.details import ModuleDetails, PluginDetails
from gateway.errors import SourceUnavailable
from gateway.freshness.sqlite_tables import Digests, SqliteTables
from gateway.names import UserId
from tests.support.site import ADA, Site, populated

pytestmark = pytest.mark.slow

RECORD_COLUMNS = {"id", "plugin_slug", "version", "enabled", "user_id"}
ADA_ID = UserId(ADA)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = populated(tmp_path / "site")
    site.loosen()
    for name in ("Panel", "Side"):
        site.add_module(f"{ADA}_Review", name, ADA)
    return site


def looking(site: Site, scenario: Callable[[SqliteTables], Awaitable[None]]) -> None:
    async def main() -> None:
        connection = SqliteConnection(site.database, 5.0, expects_any_text=True)
        tables = SqliteTables(connection)
        await tables.open()
        try:
            await scenario(tables)
        finally:
            await connection.close()

    asyncio.run(main())


def digests_after(site: Site, *statements: str) -> list[Digests]:
    """The first digests, and those after each statement."""
    found: list[Digests] = []

    async def scenario(tables: SqliteTables) -> None:
        found.append((await tables.look()).digests)
        for statement in statements:
            site.execute(statement)
            found.append((await tables.look()).digests)

    looking(site, scenario)
    return found


COLUMNS = [
    *(("plugin", field.name) for field in fields(PluginDetails)),
    *(("module", field.name) for field in fields(ModuleDetails)),
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_every_column_that_is_cached_is_in_a_digest(site: Site, table: str, column: str) -> None:
    before, after = digests_after(
        site, f"UPDATE {table} SET {column} = 'x' WHERE rowid = (SELECT max(rowid) FROM {table})"
    )
    assert after.manifests != before.manifests
    is_record = table == "plugin" and column in RECORD_COLUMNS
    assert (after.records != before.records) == is_record


@pytest.mark.parametrize(
    "statement", ["UPDATE users SET email = 'new'", "UPDATE module SET created_at = 'new'"]
)
def test_what_is_not_cached_is_in_no_digest(site: Site, statement: str) -> None:
    before, after = digests_after(site, statement)
    assert after == before


VALUES = ["'true'", "CAST('true' AS BLOB)", "NULL", "0", "1.5", "'1.5'", "''", "x''", "'X'''''"]


def test_values_of_different_types_are_told_apart(site: Site) -> None:
    """`enabled` may hold any of them, and its column may have any type."""
    with closing(sqlite3.connect(site.database, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE plugin RENAME TO old")
        connection.execute("CREATE TABLE plugin AS SELECT * FROM old")
        connection.execute("ALTER TABLE plugin DROP COLUMN enabled")
        connection.execute("ALTER TABLE plugin ADD COLUMN enabled")  # of no type
    found = digests_after(site, *(f"UPDATE plugin SET enabled = {value}" for value in VALUES))
    assert len({digests.records for digests in found}) == len(VALUES)  # it was NULL at first
    assert len({digests.manifests for digests in found}) == len(VALUES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("version = 'a''b', plugin_slug = 'c'", "version = 'a', plugin_slug = 'b''c'"),
        ("""version = '1","2', plugin_slug = '3'""", """version = '1', plugin_slug = '2","3'"""),
        ("version = '1' || char(0) || '2'", "version = '1' || char(0) || '3'"),
        ("version = CAST(x'ff' AS TEXT)", "version = CAST(x'fe' AS TEXT)"),
        ("version = 'X''00'''", "version = x'00'"),
    ],
)
def test_texts_of_any_kind_are_told_apart(site: Site, one: str, other: str) -> None:
    user = f" WHERE id = '{ADA}_Review'"
    found = digests_after(
        site, f"UPDATE plugin SET {one}{user}", f"UPDATE plugin SET {other}{user}"
    )
    assert len({digests.records for digests in found}) == 3
    assert len({digests.manifests for digests in found}) == 3


def test_rows_of_many_steps_are_all_in_the_digest(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.freshness.sqlite_tables._STEP", 2)
    for number in range(7):
        site.add_row(f"{number:032x}", "Review", "1.0.0")
    names = [f"UPDATE plugin SET name = name || '.' WHERE rowid = {row}" for row in range(1, 10)]
    assert len({digests.manifests for digests in digests_after(site, *names)}) == 10


def test_modules_in_another_order_are_another_table(site: Site) -> None:
    before, after = digests_after(
        site, "UPDATE module SET rowid = 1 + (SELECT max(rowid) FROM module) WHERE name = 'Panel'"
    )
    assert after.manifests != before.manifests


def test_tables_of_which_one_has_no_places_are_not_compared_for_manifests(site: Site) -> None:
    site.execute("CREATE VIEW others AS SELECT * FROM module")
    site.execute("ALTER TABLE module RENAME TO kept")
    site.execute("DROP VIEW others")
    site.execute("CREATE VIEW module AS SELECT * FROM kept")
    (digests,) = digests_after(site)
    assert digests.records is not None
    assert digests.manifests is None


def test_too_many_bytes_are_given_up_for_good_and_not_read_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.freshness.sqlite_tables._MOST_BYTES", 4_000)
    large = f"UPDATE plugin SET config_fields = '{'x' * 5_000}'"
    small = "UPDATE plugin SET config_fields = '{}'"
    first, second, third = digests_after(site, large, small)
    assert first.manifests is not None
    assert second.manifests is third.manifests is None
    assert first.records == second.records == third.records


def test_a_look_sees_one_state_of_the_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit comes after its first statement."""
    site.execute("PRAGMA journal_mode = wal")

    async def scenario(tables: SqliteTables) -> None:
        before = await tables.look([ADA_ID], [ADA_ID])
        fetch = SqliteConnection.fetch

        async def fetched(connection: SqliteConnection, *arguments: object) -> object:
            rows = await fetch(connection, *arguments)  # type: ignore[arg-type]
            if "count" in str(arguments[0]):
                site.execute("UPDATE plugin SET version = '1.0.1'")
                site.execute("UPDATE module SET name = 'New'")
            return rows

        monkeypatch.setattr(SqliteConnection, "fetch", fetched)
        assert await tables.look([ADA_ID], [ADA_ID]) == before
        monkeypatch.undo()
        assert await tables.look([ADA_ID], [ADA_ID]) != before

    looking(site, scenario)


def test_a_look_over_two_connections_fails(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced by a copy of itself after the first statement."""

    async def scenario(tables: SqliteTables) -> None:
        read = tables._read

        async def replaced(*arguments: Any) -> Any:
            copy = site.folder / "copy.db"
            shutil.copyfile(site.database, copy)
            copy.replace(site.database)
            return await read(*arguments)

        monkeypatch.setattr(tables, "_read", replaced)
        with pytest.raises(SourceUnavailable, match="no transaction is active"):
            await tables.look()

    looking(site, scenario)


def test_a_text_that_is_no_text_ends_no_transaction(site: Site) -> None:
    site.execute("UPDATE plugin SET version = CAST(x'ff' AS TEXT)")

    async def scenario(tables: SqliteTables) -> None:
        now = await tables.look([ADA_ID], [ADA_ID])
        assert now.record_rows[ADA_ID][0][1] == "\ufffd"
        assert len(now.plugins[ADA_ID]) == 2
        assert len(now.modules) == 2

    looking(site, scenario)
