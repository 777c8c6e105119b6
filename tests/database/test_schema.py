"""The two tables of our own database, and rows made from a plugin's metadata."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.database.connections import numbered
from gateway.database.details import ModuleDetails, PluginDetails
from gateway.database.schema import CREATE_TABLES
from gateway.database.tables import REQUIRED_COLUMNS
from gateway.lifecycle.releases import (
    Columns,
    database_id,
    insert_statement,
    module_rows,
    plugin_row,
)
from gateway.names import Slug, UserId, Version

SHARED = Path(__file__).parents[2] / "plugins" / "shared"
METADATA_FILES = sorted(SHARED.glob("*/v*/plugin.json"))
USER = UserId("a" * 32)
SLUG = Slug("Review")
VERSION = Version("1.0.0")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        connection.row_factory = sqlite3.Row
        for statement in CREATE_TABLES:
            connection.execute(statement)
        yield connection


def inserted(database: sqlite3.Connection, table: str, row: Columns) -> dict[str, Any]:
    """The row as the database gives it back."""
    statement, values = insert_statement(table, row)
    database.execute(statement, numbered(values))
    found = database.execute(f"SELECT * FROM {table} WHERE id = ?", (row["id"],)).fetchone()
    return dict(found)


def plugin(**metadata: Any) -> Columns:
    return plugin_row(metadata, USER, SLUG, VERSION, NOW)


@pytest.mark.parametrize("path", METADATA_FILES, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_the_metadata_of_every_demo_plugin_fits_the_tables(
    database: sqlite3.Connection, path: Path
) -> None:
    metadata = json.loads(path.read_bytes())
    slug, version = Slug(metadata["slug"]), Version(metadata["version"])
    row = inserted(database, "plugin", plugin_row(metadata, USER, slug, version, NOW))
    assert (row["id"], row["plugin_slug"]) == (f"{USER}_{slug}", slug)
    assert (row["version"], row["user_id"], row["enabled"]) == (version, USER, 1)
    assert row["name"] == metadata["name"]
    assert json.loads(row["permissions"]) == metadata["permissions"]
    modules = module_rows(metadata, USER, row["id"], NOW)
    assert [module["name"] for module in modules] == [
        module["name"] for module in metadata["modules"]
    ]
    for module, stated in zip(modules, metadata["modules"], strict=True):
        stored = inserted(database, "module", module)
        assert stored["plugin_id"] == row["id"]
        assert stored["id"] == f"{row['id']}_{stated['name']}"
        assert json.loads(stored["config_fields"]) == stated["config_fields"]
        assert stored["priority"] == stated["priority"]


def test_there_is_a_demo_plugin_to_try() -> None:
    assert len(METADATA_FILES) >= 2


@pytest.mark.parametrize(
    ("table", "details"), [("plugin", PluginDetails), ("module", ModuleDetails)]
)
def test_the_tables_hold_every_column_that_is_read(
    database: sqlite3.Connection, table: str, details: type[PluginDetails | ModuleDetails]
) -> None:
    columns = {row["name"] for row in database.execute(f"PRAGMA table_info({table})")}
    assert {field.name for field in fields(details)} <= columns
    assert REQUIRED_COLUMNS[table] <= columns


def test_a_user_has_a_slug_once(database: sqlite3.Connection) -> None:
    inserted(database, "plugin", plugin())
    with pytest.raises(sqlite3.IntegrityError):
        inserted(database, "plugin", {**plugin(), "id": "another"})
    other = plugin_row({}, UserId("b" * 32), SLUG, VERSION, NOW)
    assert inserted(database, "plugin", other)["plugin_slug"] == SLUG


@pytest.mark.parametrize(
    "column",
    [
        "id", "plugin_slug", "name", "description", "version", "user_id", "type", "enabled",
        "official", "is_local",
    ],
)  # fmt: skip
def test_columns_that_are_never_null_are_filled_without_any_metadata(
    database: sqlite3.Connection, column: str
) -> None:
    # BrainDrive-Core: "null in practice: no".
    assert inserted(database, "plugin", plugin())[column] is not None


def test_a_plugin_without_a_name_is_called_by_its_slug(database: sqlite3.Connection) -> None:
    assert inserted(database, "plugin", plugin())["name"] == SLUG


def test_dates_are_text_as_the_application_writes_them(database: sqlite3.Connection) -> None:
    row = inserted(database, "plugin", plugin())
    for column in ("created_at", "updated_at", "last_updated"):
        assert row[column] == "2026-01-02 03:04:05"


def test_json_columns_are_text_and_null_where_the_metadata_is_silent(
    database: sqlite3.Connection,
) -> None:
    row = inserted(database, "plugin", plugin(permissions=["api.access"], config_fields={"ü": 1}))
    assert json.loads(row["permissions"]) == ["api.access"]
    assert json.loads(row["config_fields"]) == {"ü": 1}
    assert row["dependencies"] is None


def test_metadata_cannot_choose_the_row_it_becomes(database: sqlite3.Connection) -> None:
    row = inserted(
        database,
        "plugin",
        plugin(id="x", plugin_slug="Other", version="9", user_id="b", enabled=False, surprise=1),
    )
    assert (row["id"], row["plugin_slug"]) == (database_id(USER, SLUG), SLUG)
    assert (row["version"], row["user_id"], row["enabled"]) == (VERSION, USER, 1)


@pytest.mark.parametrize(("stated", "stored"), [({}, 1), ({"enabled": False}, 0)])
def test_a_module_is_enabled_unless_its_metadata_says_otherwise(
    database: sqlite3.Connection, stated: dict[str, Any], stored: int
) -> None:
    (row,) = module_rows(
        {"modules": [{"name": "Board", **stated}]}, USER, database_id(USER, SLUG), NOW
    )
    assert inserted(database, "module", row)["enabled"] == stored


@pytest.mark.parametrize("metadata", [{}, {"modules": []}])
def test_a_plugin_may_have_no_modules(metadata: dict[str, Any]) -> None:
    assert module_rows(metadata, USER, database_id(USER, SLUG), NOW) == []
