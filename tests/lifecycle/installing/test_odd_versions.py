"""Old tables, and versions whose metadata are odd or missing."""

import json
import sqlite3
from contextlib import closing

import pytest

from gateway.errors import UnusableVersion
from tests.support.accounts import Account, module, publish


def test_tables_of_older_migrations_will_do(account: Account) -> None:
    """Only the columns without which nobody could be served (database.REQUIRED_COLUMNS)."""
    with closing(sqlite3.connect(account.site.database)) as connection:
        connection.executescript(
            "DROP TABLE plugin; DROP TABLE module;"
            "CREATE TABLE plugin (id VARCHAR PRIMARY KEY, plugin_slug VARCHAR, version VARCHAR,"
            " enabled BOOLEAN, user_id VARCHAR);"
            "CREATE TABLE module (id VARCHAR, plugin_id VARCHAR, name VARCHAR)"
        )
    publish(account.site, "1.0.0", modules=[module("Board", a=1), module("Gone", a=1)])
    publish(account.site, "1.0.1", modules=[module("Board", a=1)])
    assert account.install("1.0.0").changed
    assert account.update().version == "1.0.1"
    assert list(account.modules()) == ["Board"]
    assert account.rollback().version == "1.0.0"
    assert account.enable(enabled=False).changed
    assert account.uninstall().changed
    assert account.site.query("SELECT * FROM module") == []


def test_versions_as_the_application_ships_them_need_no_plugin_json(both: Account) -> None:
    package = {
        "name": "review", "version": "1.0.0", "description": "A review", "type": "module",
        "author": {"name": "Ada", "email": "ada@example.org"}, "scripts": {"build": "webpack"},
        "dependencies": {"react": "^18"}, "devDependencies": {"webpack": "^5"},
    }  # fmt: skip
    files = {"package.json": json.dumps(package), "dist/remoteEntry.js": "x",
             "lifecycle_manager.py": "raise SystemExit"}  # fmt: skip
    both.site.publish("Review", "1.0.0", files)
    both.install()
    row = both.row()
    assert (row["description"], row["author"], row["type"]) == ("A review", "Ada", "frontend")
    assert row["dependencies"] in (None, "[]")
    assert (row["scope"], row["bundle_location"]) == ("Review", "dist/remoteEntry.js")
    assert both.modules() == {}


def test_a_version_without_any_metadata_can_be_installed(both: Account) -> None:
    both.site.publish("Review", "1.0.0", {"dist/remoteEntry.js": "x"})
    both.install()
    assert (both.row()["name"], both.row()["scope"]) == ("Review", "Review")


@pytest.mark.parametrize(
    ("stated", "named"),
    [
        ("{", "plugin.json: not valid JSON"),
        ("[]", "plugin.json: expected a JSON object"),
        ('{"permissions": {}}', "plugin.json: permissions: expected a list"),
        ('{"config_fields": []}', "plugin.json: config_fields: expected an object"),
        ('{"modules": {}}', "plugin.json: modules: expected a list"),
        ('{"modules": [3]}', r"plugin.json: modules\[0\]: expected an object with a name"),
        ('{"modules": [{"name": "a"}, {"name": "a"}]}', r"modules\[1\]: a second 'a'"),
        ('{"modules": [{"name": "a", "config_fields": 3}]}', r"modules\[0\].config_fields"),
        ('{"name": {"en": "x"}}', "plugin.json: name: expected text"),
        ('{"scope": 3}', "plugin.json: scope: expected text"),
        ('{"icon": true}', "plugin.json: icon: expected text"),
        ('{"modules": [{"name": "a", "priority": "high"}]}', r"modules\[0\].priority: expected"),
        ('{"modules": [{"name": "a", "display_name": 3}]}', r"modules\[0\].display_name: expected"),
    ],
)
def test_odd_metadata_gives_one_clear_line(both: Account, stated: str, named: str) -> None:
    both.site.publish("Review", "1.0.0", {"plugin.json": stated, "dist/remoteEntry.js": "x"})
    before = both.everything()
    with pytest.raises(UnusableVersion, match=named) as refused:
        both.install()
    assert "Review 1.0.0" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert both.everything() == before
