"""Old and odd databases have manifests, too."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from gateway.database.tables import REQUIRED_COLUMNS
from tests.endpoints.plugins.rows import (
    DESIGNER,
    JSON_DEFAULTS,
    MANIFEST_KEYS,
    MODULE_KEYS,
    manifest,
    status,
)
from tests.support.server import Server, serving
from tests.support.site import ADA, BEN, CLEO, Site, bearer, populated
from tests.support.urls import API, MANIFEST, own, public

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def old_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A database of an early migration: the optional columns are not there."""
    site = populated(tmp_path_factory.mktemp("old"))
    site.add_module(f"{ADA}_Review", "Widget", ADA)
    site.execute("UPDATE plugin SET enabled = 1 WHERE user_id = ?", CLEO)
    with closing(sqlite3.connect(site.database)) as connection:
        for table, required in REQUIRED_COLUMNS.items():
            kept = ", ".join(sorted(required))
            connection.executescript(
                f"ALTER TABLE {table} RENAME TO full_{table};"
                f"CREATE TABLE {table} AS SELECT {kept} FROM full_{table};"
                f"DROP TABLE full_{table};"
            )
    return site


@pytest.fixture(scope="module")
def old_server(old_site: Site) -> Iterator[Server]:
    with serving(old_site.environment) as running:
        yield running


def test_a_database_without_the_optional_columns_serves_files(old_server: Server) -> None:
    assert b"Review 1.0.0" in old_server.get(own("Review"), bearer(ADA)).body
    assert b"Review 1.0.1" in old_server.get(public(f"{BEN}_Review")).body


def test_a_database_without_the_optional_columns_has_manifests(old_server: Server) -> None:
    entry = manifest(old_server, ADA, DESIGNER)["Review"]
    assert set(entry) == MANIFEST_KEYS | {"modules"}
    assert (entry["version"], entry["name"], entry["bundlelocation"]) == ("1.0.0", None, None)
    assert {key: entry[key] for key in JSON_DEFAULTS} == JSON_DEFAULTS
    (module,) = entry["modules"]
    assert set(module) == MODULE_KEYS
    assert (module["name"], module["displayName"]) == ("Widget", None)
    assert status(old_server, ADA, "Review")["status"] == "healthy"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("description", sqlite3.Binary(b"\x00\xff")),
        ("icon", sqlite3.Binary(b"bytes")),
        ("config_fields", sqlite3.Binary(b"\xff\xfe")),
        ("bundle_location", sqlite3.Binary(b"dist/remoteEntry.js")),
        ("version", sqlite3.Binary(b"1.0.0")),
        ("bundle_location", "\x00/../.."),
        ("bundle_location", "a" * 5000),
        ("downloads", 1.5),
        ("downloads", "many"),
        ("last_updated", 20260102),
        ("last_update_check", 1767323045),
        ("enabled", "yes"),
        ("permissions", '"\\ud800"'),
        ("permissions", "[" * 3000 + "]" * 3000),
        ("permissions", "NaN"),
        ("permissions", "123456789012345678901234567890"),
    ],
)
def test_an_odd_value_in_one_row_does_not_spoil_the_answer(
    site: Site, server: Server, column: str, value: Any
) -> None:
    """SQLite keeps whatever it is given, whatever the column's type."""
    user = f"{abs(hash((column, str(value)))):032x}"
    site.give(user, "Review", "1.0.0")
    row_id = site.give(user, "Rich", "1.2.3")
    site.execute(f"UPDATE plugin SET {column} = ? WHERE id = ?", value, row_id)
    assert "Review" in manifest(server, user)
    assert "Review" in manifest(server, user, DESIGNER)
    assert server.get(f"{API}/plugins/{row_id}/info", bearer(user)).status == 200
    assert status(server, user, "Review")["status"] == "healthy"
    assert server.get(own("Review"), bearer(user)).status == 200


def test_text_that_is_not_utf_8_spoils_no_answer_and_keeps_no_lock(empty_site: Site) -> None:
    """A query that fails half-way must not hold SQLite's read lock: the application writes."""
    empty_site.publish("Review", "1.0.0")
    columns = ("description", "config_fields", "icon")
    for number, column in enumerate(columns):
        empty_site.give(f"{number:032x}", "Review", "1.0.0")
        row_id = empty_site.give(f"{number:032x}", "Odd", "1.0.0")
        text = "CAST(x'61ff62' AS TEXT)"
        empty_site.execute(f"UPDATE plugin SET {column} = {text} WHERE id = ?", row_id)
    with serving(empty_site.environment) as running:
        listed = {
            column: running.get(MANIFEST, bearer(f"{number:032x}"))
            for number, column in enumerate(columns)
        }
        for _ in range(2):
            assert running.get(own("Review"), bearer(f"{0:032x}")).status == 200
            empty_site.execute("UPDATE plugin SET downloads = downloads + 1")
        assert {column: answer.status for column, answer in listed.items()} == dict.fromkeys(
            columns, 200
        )
