"""What a user has, changed by the commands: the rules of docs/lifecycle.md, on both databases."""

import asyncio
import contextlib
import errno
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.changes import Change
from gateway.database.connections import Transaction
from gateway.disk.storage import BrokenInstallations
from gateway.errors import (
    AlreadyInstalled,
    NoEarlierVersion,
    NotInstalled,
    SourceUnavailable,
    StorageError,
    UnknownPlugin,
    UnusableVersion,
    VersionNotPublished,
)
from gateway.names import Slug, Version
from tests.support.lives import Life, module, publish
from tests.support.postgres import PostgresSite
from tests.support.site import ADA, BEN, Site

ALLOW = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Life:
    """An empty site on each database."""
    if request.param == "sqlite":
        return Life(Site(tmp_path / "site"))
    postgres = request.getfixturevalue("postgres")
    return Life(PostgresSite(tmp_path / "site", postgres.new_database()))


@pytest.fixture
def life(empty_site: Site) -> Life:
    """An empty site on SQLite."""
    return Life(empty_site)


# Install


def test_a_new_plugin_gets_rows_and_an_entry(both: Life) -> None:
    publish(
        both.site, "1.0.0", name="Review of networks", scope="review_scope", permissions=["a"],
        modules=[module("Board", colour={"default": "red"}), module("Panel")],
    )  # fmt: skip
    outcome = both.install(source_url="https://example.org/review")
    assert (outcome.user, outcome.slug, outcome.version) == (ADA, "Review", "1.0.0")
    assert (outcome.database_id, outcome.previous_version) == (f"{ADA}_Review", None)
    assert (outcome.enabled, outcome.changed) == (True, True)
    row = both.row()
    assert (row["id"], row["version"], bool(row["enabled"])) == (f"{ADA}_Review", "1.0.0", True)
    assert (row["name"], row["scope"]) == ("Review of networks", "review_scope")
    assert (row["bundle_location"], row["bundle_method"]) == ("dist/remoteEntry.js", "webpack")
    assert (row["permissions"], row["status"]) == ('["a"]', "activated")
    assert set(both.modules()) == {"Board", "Panel"}
    assert both.configuration("Board") == {"colour": {"default": "red"}}
    metadata = both.metadata()
    assert metadata["source_url"] == "https://example.org/review"
    assert (metadata["installation_type"], metadata["installed_by"]) == ("production", "gateway")
    assert both.told == [Change(user=both.user)]


@pytest.mark.parametrize(
    ("published", "newest"),
    [
        (["1.0.9", "1.0.10", "1.0.2"], "1.0.10"),
        (["1.9", "1.10", "1.10.1"], "1.10.1"),
        (["1.0.0", "2.0.0-rc.1", "2.0.0-beta"], "1.0.0"),
        (["2.0.0-rc.1", "2.0.0-beta"], "2.0.0-rc.1"),
        (["nightly", "0.0.1"], "0.0.1"),
        (["nightly", "weekly"], "weekly"),
        (["nightly", "1.0.0-rc.1"], "1.0.0-rc.1"),
    ],
)
def test_the_newest_version_is_installed(life: Life, published: list[str], newest: str) -> None:
    for version in published:
        publish(life.site, version)
    assert life.install().version == newest


def test_folders_that_are_no_versions_are_not_installed(life: Life) -> None:
    publish(life.site, "1.0.0")
    for name in ("9.0.0", "v", "v..", "v9 0", "latest"):
        (life.site.plugins / "shared" / "Review" / name).mkdir()
    (life.site.plugins / "shared" / "Review" / "v8.0.0").write_text("a file")
    assert life.install().version == "1.0.0"


def test_a_second_installation_is_nothing_to_do(both: Life) -> None:
    publish(both.site, "1.0.0")
    both.install()
    publish(both.site, "1.0.1")
    before = both.everything()
    for version in (None, "1.0.0"):
        outcome = both.install(version)
        assert (outcome.changed, outcome.version, outcome.enabled) == (False, "1.0.0", True)
    assert both.everything() == before


def test_an_installed_plugin_is_not_moved_by_install(both: Life) -> None:
    publish(both.site, "1.0.0")
    publish(both.site, "1.0.1")
    both.install("1.0.0")
    before = both.everything()
    with pytest.raises(AlreadyInstalled, match=r"has Review 1\.0\.0"):
        both.install("1.0.1")
    assert both.everything() == before


@pytest.mark.parametrize("wanted", [None, "1.0.0"])
def test_a_row_as_the_application_makes_it_gets_its_entry(both: Life, wanted: str | None) -> None:
    publish(both.site, "1.0.0", name="Another name")
    publish(both.site, "1.0.1")
    both.site.add_row(ADA, "Review", "1.0.0", name="As it was", enabled=0)
    before = both.row()
    outcome = both.install(wanted)
    assert (outcome.changed, outcome.version, outcome.enabled) == (True, "1.0.0", False)
    assert both.row() == before
    assert both.metadata()["installed_by"] == "gateway"


def test_a_row_without_an_entry_is_moved_by_install_and_keeps_its_configuration(
    both: Life,
) -> None:
    publish(both.site, "1.0.1", modules=[module("Board")])
    database_id = both.site.add_row(ADA, "Review", "1.0.0")
    both.site.add_module(database_id, "Board", ADA, config_fields='{"colour": "blue"}')
    both.site.add_module(database_id, "Gone", ADA, config_fields='{"size": 3}')
    outcome = both.install("1.0.1")
    assert (outcome.version, outcome.previous_version) == ("1.0.1", "1.0.0")
    assert both.configuration("Board") == {"colour": "blue"}
    assert list(both.modules()) == ["Board"]
    publish(both.site, "1.0.2", modules=[module("Board"), module("Gone")])
    both.update()
    assert both.configuration("Gone") == {"size": 3}


def test_a_row_without_an_entry_that_install_moved_can_be_rolled_back(life: Life) -> None:
    publish(life.site, "1.0.0")
    publish(life.site, "1.0.1")
    life.site.add_row(ADA, "Review", "1.0.0")
    life.install("1.0.1")
    assert life.rollback().version == "1.0.0"


def test_an_entry_without_a_row_becomes_an_installation(both: Life) -> None:
    publish(both.site, "1.0.0")
    left = {"installed_at": "2020-01-01", "previous_versions": ["0.1"], "kept_config_fields": {}}
    both.site.write_installations(ADA, {"Review": {"installation_metadata": left, "mine": 1}})
    assert both.install().changed
    assert both.row()["version"] == "1.0.0"
    assert both.entry()["mine"] == 1
    # What a life that has ended left behind is not this one's past.
    assert not both.metadata().keys() & {"previous_versions", "kept_config_fields"}


@pytest.mark.parametrize("version", [None, "1.0.0"])
def test_a_plugin_that_is_not_published_is_not_installed(both: Life, version: str | None) -> None:
    publish(both.site, "1.0.0", slug="Other")
    before = both.everything()
    with pytest.raises(VersionNotPublished):
        both.install(version)
    assert both.everything() == before
    assert both.told == []


def test_a_shared_folder_that_is_away_is_an_outage_and_no_missing_version(life: Life) -> None:
    (life.site.plugins / "shared").rmdir()
    with pytest.raises(SourceUnavailable):
        life.install()


# Update and rollback


def test_an_update_moves_to_the_newest_version_and_remembers_the_old(both: Life) -> None:
    for version in ("1.0.0", "1.0.1", "1.1.0"):
        publish(both.site, version, description=f"of {version}")
    both.install("1.0.0")
    outcome = both.update()
    assert (outcome.version, outcome.previous_version, outcome.changed) == ("1.1.0", "1.0.0", True)
    assert (both.row()["version"], both.row()["description"]) == ("1.1.0", "of 1.1.0")
    assert both.told == [Change(user=both.user)] * 2
    before = both.everything()
    again = both.update()
    assert (again.version, again.changed) == ("1.1.0", False)
    assert both.everything() == before


def test_an_update_by_database_id_is_the_same(both: Life) -> None:
    publish(both.site, "1.0.0")
    both.site.give(ADA, "Review", "1.0.0", id="an-id-of-its-own")
    publish(both.site, "1.0.1")
    outcome = both.update(plugin="an-id-of-its-own")
    assert (outcome.slug, outcome.database_id) == ("Review", "an-id-of-its-own")
    assert both.row()["version"] == "1.0.1"


def test_a_slug_is_meant_before_the_database_id_of_another_plugin(life: Life) -> None:
    for slug in ("Review", "Eyes"):
        publish(life.site, "1.0.0", slug=slug)
        publish(life.site, "1.0.1", slug=slug)
    life.site.give(ADA, "Eyes", "1.0.0", id="Review")
    life.site.give(ADA, "Review", "1.0.0")
    assert life.update().slug == "Review"
    assert (life.row("Review")["version"], life.row("Eyes")["version"]) == ("1.0.1", "1.0.0")


def test_rollback_goes_back_step_by_step(both: Life) -> None:
    versions = ["1.0.0", "1.0.1", "1.0.2"]
    for version in versions:
        publish(both.site, version)
    both.install("1.0.0")
    both.update("1.0.1")
    both.update("1.0.2")
    assert [both.rollback().version, both.rollback().version] == ["1.0.1", "1.0.0"]
    before = both.everything()
    with pytest.raises(NoEarlierVersion):
        both.rollback()
    assert both.everything() == before


def test_rollback_to_a_version_by_name_forgets_those_after_it(life: Life) -> None:
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        publish(life.site, version)
    life.install("1.0.0")
    life.update("1.0.1")
    life.update("1.0.2")
    assert life.rollback("1.0.0").previous_version == "1.0.2"
    with pytest.raises(NoEarlierVersion):
        life.rollback()


def test_rollback_to_a_version_he_never_had_needs_its_name_alone(life: Life) -> None:
    for version in ("0.9.0", "1.0.0"):
        publish(life.site, version)
    life.install("1.0.0")
    assert life.rollback("0.9.0").version == "0.9.0"
    assert life.rollback("0.9.0").changed is False


def test_rollback_after_moves_to_and_fro_goes_back_through_each(life: Life) -> None:
    for version in ("1.0.0", "1.0.1"):
        publish(life.site, version)
    life.install("1.0.0")
    for version in ("1.0.1", "1.0.0", "1.0.1"):
        life.update(version)
    assert [life.rollback().version for _ in range(3)] == ["1.0.0", "1.0.1", "1.0.0"]
    with pytest.raises(NoEarlierVersion):
        life.rollback()


def test_ten_earlier_versions_are_remembered(life: Life) -> None:
    versions = [f"1.0.{number}" for number in range(13)]
    for version in versions:
        publish(life.site, version)
    life.install(versions[0])
    for version in versions[1:]:
        life.update(version)
    assert life.metadata()["previous_versions"] == versions[2:12]
    assert [life.rollback().version for _ in range(10)] == versions[11:1:-1]


def test_rollback_to_a_version_that_was_collected_says_so(life: Life) -> None:
    publish(life.site, "1.0.1")
    life.site.give(ADA, "Review", "1.0.1")
    life.site.write_installations(
        ADA, {"Review": {"installation_metadata": {"previous_versions": ["0.9.0", "1.0.0"]}}}
    )
    before = life.everything()
    with pytest.raises(VersionNotPublished, match=r"Review 1\.0\.0 is not published"):
        life.rollback()
    assert life.everything() == before
    publish(life.site, "0.9.0")
    assert life.rollback("0.9.0").changed


@pytest.mark.parametrize("odd", ["1.0.0", [None, 3, "../x", "", "1.0.0"], {"1.0.0": 1}])
def test_odd_earlier_versions_are_passed_over(life: Life, odd: Any) -> None:
    publish(life.site, "1.0.0")
    publish(life.site, "1.0.1")
    life.site.give(ADA, "Review", "1.0.1")
    life.site.write_installations(
        ADA, {"Review": {"installation_metadata": {"previous_versions": odd}}}
    )
    if isinstance(odd, list):
        assert life.rollback().version == "1.0.0"
    else:
        with pytest.raises(NoEarlierVersion):
            life.rollback()


@pytest.mark.parametrize("command", ["update", "rollback"])
def test_what_he_does_not_have_cannot_be_moved(both: Life, command: str) -> None:
    publish(both.site, "1.0.0")
    with pytest.raises(UnknownPlugin):
        getattr(both, command)("1.0.0")
    both.site.add_row(ADA, "Review", "0.9.0")
    with pytest.raises(NotInstalled):
        getattr(both, command)("1.0.0")
    assert both.row()["version"] == "0.9.0"


def test_columns_that_a_version_does_not_state_stay_as_they_are(both: Life) -> None:
    """Rows made by the application state more than a package.json does."""
    package = json.dumps({"name": "review", "version": "1.0.1", "description": "npm's"})
    both.site.publish("Review", "1.0.1", {"package.json": package, "dist/remoteEntry.js": "x"})
    both.site.give(
        ADA, "Review", "1.0.0", name="Network Review", description="The user's", scope="reviewer",
        bundle_location="build/remote.js", bundle_method="vite", icon="Eye", author="Ada",
    )  # fmt: skip
    before = both.row()
    both.update()
    changing = {"version", "last_updated", "updated_at"}
    after = both.row()
    assert {name for name in before if before[name] != after[name]} <= changing
    assert after["version"] == "1.0.1"


# Configuration


def configured(life: Life) -> Life:
    publish(life.site, "1.0.0", modules=[module("Board", colour="red", size=1)])
    life.install("1.0.0")
    return life


def test_the_users_values_win_and_new_fields_join(both: Life) -> None:
    publish(both.site, "1.0.0", modules=[module("Board", colour={"default": "red"})])
    both.install()
    both.configure("Board", {"colour": {"default": "red", "value": "blue"}, "own": [1]})
    both.site.execute(
        "UPDATE plugin SET config_fields = ? WHERE user_id = ?", '{"theme": "dark"}', ADA
    )
    colour = {"default": "green", "label": "Colour"}
    publish(
        both.site, "1.0.1", config_fields={"theme": "light", "zoom": 2},
        modules=[module("Board", colour=colour, size={"default": 3})],
    )  # fmt: skip
    both.update()
    assert both.configuration("Board") == {
        "colour": {"default": "red", "label": "Colour", "value": "blue"},
        "own": [1],
        "size": {"default": 3},
    }
    assert json.loads(both.row()["config_fields"]) == {"theme": "dark", "zoom": 2}
    both.rollback()
    assert both.configuration("Board")["colour"]["value"] == "blue"
    assert json.loads(both.row()["config_fields"])["theme"] == "dark"


@pytest.mark.parametrize(
    "text",
    [
        '{"broken": ', "plain words", "[1, 2]", '"text"', "null", "NaN", "{}",
        '{"a":1,  "spaces" : "stay"}', '{"big": 123456789012345678901234567890}',
        '{"not a number": NaN}', '{"twice": 1, "twice": 2}', '{"half": "\\ud800"}',
    ],
)  # fmt: skip
def test_configuration_that_nothing_joins_stays_byte_for_byte(life: Life, text: str) -> None:
    configured(life)
    publish(life.site, "1.0.1", modules=[module("Board")])
    publish(life.site, "1.0.2", modules=[])
    publish(life.site, "1.0.3", modules=[module("Board")])
    life.configure("Board", text)
    for version in ("1.0.1", "1.0.2", "1.0.3"):
        life.update(version)
        if version != "1.0.2":
            assert life.modules()["Board"]["config_fields"] == text, version
    life.rollback("1.0.0")
    if text.startswith("{") and json_of(text) is None:
        assert life.modules()["Board"]["config_fields"] == text


def json_of(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)


@pytest.mark.parametrize("text", ['{"broken": ', "plain words", "[1, 2]", '"text"'])
def test_configuration_that_is_no_object_stays_although_fields_are_new(
    life: Life, text: str
) -> None:
    configured(life)
    publish(life.site, "1.0.1", modules=[module("Board", new=1)])
    life.configure("Board", text)
    life.update()
    assert life.modules()["Board"]["config_fields"] == text


def test_a_large_number_of_the_user_survives_a_new_field(life: Life) -> None:
    configured(life)
    publish(life.site, "1.0.1", modules=[module("Board", new=1)])
    life.configure("Board", '{"id": 123456789012345678901234567890}')
    life.update()
    assert life.configuration("Board") == {"new": 1, "id": 123456789012345678901234567890}


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_configuration_gets_that_of_the_version(both: Life, nothing: str | None) -> None:
    configured(both)
    publish(both.site, "1.0.1", modules=[module("Board", size=2)])
    both.configure("Board", nothing)
    both.update()
    assert both.configuration("Board") == {"size": 2}


def test_configuration_of_a_module_that_vanishes_comes_back_with_it(both: Life) -> None:
    configured(both)
    publish(both.site, "1.0.1", modules=[module("Other")])
    publish(both.site, "1.0.2", modules=[module("Other")])
    publish(both.site, "1.0.3", modules=[module("Board", colour="green", depth=1)])
    both.configure("Board", {"colour": "blue"})
    both.update("1.0.1")
    assert set(both.modules()) == {"Other"}
    both.update("1.0.2")
    both.update("1.0.3")
    assert both.configuration("Board") == {"colour": "blue", "depth": 1}
    both.configure("Board", {"colour": "pink"})
    both.update("1.0.1")
    both.rollback()
    assert both.configuration("Board")["colour"] == "pink"


def test_modules_stay_where_the_version_says_nothing_of_them(both: Life) -> None:
    configured(both)
    publish(both.site, "1.0.1")
    both.configure("Board", {"colour": "blue"})
    before = both.modules()
    both.update()
    assert both.modules() == before


def test_an_empty_list_of_modules_takes_them_away(life: Life) -> None:
    configured(life)
    publish(life.site, "1.0.1", modules=[])
    life.update()
    assert life.modules() == {}


def test_a_modules_row_is_found_by_its_name_whatever_its_id(both: Life) -> None:
    publish(both.site, "1.0.1", modules=[{**module("Board", size=2), "priority": 7}])
    database_id = both.site.give(ADA, "Review", "1.0.0")
    own = {"id": f"{ADA}_Board", "config_fields": '{"colour": "blue"}', "enabled": 0}
    both.site.add_module(database_id, "Board", ADA, **own)
    both.update()
    (row,) = both.modules().values()
    assert (row["id"], row["priority"], bool(row["enabled"])) == (f"{ADA}_Board", 7, False)
    assert both.configuration("Board") == {"colour": "blue", "size": 2}


def test_a_new_module_may_not_take_the_id_of_another(life: Life) -> None:
    """The application numbers modules by user and name in some plugins."""
    publish(life.site, "1.0.1", modules=[module("Board"), module("New")])
    database_id = life.site.give(ADA, "Review", "1.0.0")
    life.site.add_module(database_id, "Board", ADA, id=f"{database_id}_New", config_fields="{}")
    before = life.everything()
    with contextlib.suppress(SourceUnavailable):
        life.update()
        assert set(life.modules()) == {"Board", "New"}
        return
    assert life.everything() == before


# Enable, disable, uninstall


def test_enable_and_disable_change_the_row_alone(both: Life) -> None:
    publish(both.site, "1.0.0")
    both.install()
    document = both.document()
    outcome = both.enable(enabled=False)
    assert (outcome.enabled, outcome.changed, outcome.version) == (False, True, "1.0.0")
    assert not both.row()["enabled"]
    assert both.enable(enabled=False).changed is False
    outcome = both.enable()
    assert (outcome.enabled, outcome.changed) == (True, True)
    assert both.row()["enabled"]
    assert both.document() == document


def test_enabling_needs_no_json_and_a_null_counts_as_disabled(life: Life) -> None:
    life.site.write_installations(ADA, b"{broken")
    life.site.add_row(ADA, "Review", "1.0.0", enabled=None)
    assert life.enable(enabled=False).changed is False
    assert life.enable().changed is True
    assert life.row()["enabled"] == 1
    with pytest.raises(UnknownPlugin):
        life.enable("Other")


def test_uninstall_takes_rows_modules_and_entry(both: Life) -> None:
    configured(both)
    outcome = both.uninstall()
    assert (outcome.version, outcome.previous_version) == (None, "1.0.0")
    assert (outcome.enabled, outcome.changed) == (None, True)
    assert both.plugins() == {}
    assert both.site.query("SELECT * FROM module") == []
    assert both.document() == {}
    with pytest.raises(NotInstalled):
        both.uninstall()


def test_uninstall_takes_a_row_without_an_entry_and_an_entry_without_a_row(both: Life) -> None:
    both.site.add_row(ADA, "Review", "1.0.0")
    assert both.uninstall().changed
    assert both.document() is None
    both.site.write_installations(ADA, {"Review": None, "Other": {}})
    assert both.uninstall().changed
    assert both.document() == {"Other": {}}


def test_uninstall_by_database_id_can_be_repeated_after_a_kill(life: Life) -> None:
    """The row is gone with the commit, the entry was not reached."""
    life.site.write_installations(ADA, {"Review": {}})
    assert life.uninstall(f"{ADA}_Review").slug == "Review"
    assert life.document() == {}


def test_others_and_other_plugins_are_not_touched(both: Life) -> None:
    for version in ("1.0.0", "1.0.1"):
        for slug in ("Review", "Eyes"):
            publish(both.site, version, slug=slug, modules=[module("Board", of=version)])
    ben = Life(both.site, BEN)
    if isinstance(both.site, PostgresSite):
        ben.settings = both.settings
    for one in (both, ben):
        for slug in ("Review", "Eyes"):
            one.install("1.0.0", slug)
    both.site.install("c" * 32, "Review")

    def others() -> list[Any]:
        mine = f"{ADA}_Review"
        return [
            [row for row in both.site.query("SELECT * FROM plugin") if row["id"] != mine],
            [row for row in both.site.query("SELECT * FROM module") if row["plugin_id"] != mine],
            ben.document(),
            both.entry("Eyes"),
        ]

    before = others()
    both.update()
    both.enable(enabled=False)
    both.rollback()
    both.uninstall()
    assert others() == before


# The user's file


def test_without_a_file_none_is_written_where_that_denies_nothing(both: Life) -> None:
    life = Life(both.site, **ALLOW)
    publish(life.site, "1.0.0")
    publish(life.site, "1.0.1")
    life.site.add_row(ADA, "Eyes", "1.0.0")
    assert life.install("1.0.0").changed
    assert life.install().changed is False
    life.update()
    with pytest.raises(NoEarlierVersion):
        life.rollback()
    life.rollback("1.0.0")
    life.enable(enabled=False)
    life.uninstall()
    assert life.document() is None
    assert not life.site.installations_file(ADA).parent.exists()
    assert set(life.plugins()) == {"Eyes"}


def test_a_file_that_is_there_is_kept_whatever_the_setting(both: Life) -> None:
    life = Life(both.site, **ALLOW)
    publish(life.site, "1.0.0")
    life.site.install(ADA, "Eyes")
    life.install()
    assert set(life.document() or ()) == {"Eyes", "Review"}
    life.uninstall()
    assert set(life.document() or ()) == {"Eyes"}


def test_old_format_entries_lose_what_the_table_decides_and_nothing_else(both: Life) -> None:
    publish(both.site, "1.0.0")
    publish(both.site, "1.0.1")
    both.site.add_row(ADA, "Review", "1.0.0")
    old = {
        "version": "0.5.0", "shared_path": "/elsewhere", "enabled": False,
        "installed_at": "2025-06-16T10:11:12", "user_config": {"theme": "dark"}, "unknown": [1, {}],
        "installation_metadata": {"migrated_from": "x", "installation_type": "migrated"},
    }  # fmt: skip
    both.site.write_installations(ADA, {"Review": old, "Eyes": old, "Odd": None})
    both.update()
    document = both.document()
    assert document is not None
    assert document["Eyes"] == old
    assert document["Odd"] is None
    touched = document["Review"]
    assert not touched.keys() & {"version", "shared_path", "enabled"}
    assert touched["user_config"] == {"theme": "dark"}
    assert touched["unknown"] == [1, {}]
    assert touched["installed_at"] == old["installed_at"]
    assert touched["installation_metadata"] == {
        "migrated_from": "x", "installation_type": "migrated", "previous_versions": ["1.0.0"],
    }  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"Review": {}'])
@pytest.mark.parametrize("command", ["install", "update", "rollback", "uninstall"])
def test_a_broken_file_refuses_the_change_and_loses_nothing(
    life: Life, command: str, content: bytes
) -> None:
    publish(life.site, "1.0.0")
    life.site.add_row(ADA, "Review", "0.9.0")
    life.site.write_installations(ADA, content)
    before = life.everything()
    with pytest.raises(BrokenInstallations, match=r"installed_plugins\.json"):
        getattr(life, command)()
    assert life.everything() == before


def test_a_file_in_the_place_of_the_users_folder_is_named(life: Life) -> None:
    publish(life.site, "1.0.0")
    life.site.installations_file(ADA).parent.write_text("a file")
    with pytest.raises(StorageError, match=f"user_{ADA}"):
        life.install()
    assert life.plugins() == {}


# Tables and metadata as they are found


def test_tables_of_older_migrations_will_do(life: Life) -> None:
    """Only the columns without which nobody could be served (database.REQUIRED_COLUMNS)."""
    with closing(sqlite3.connect(life.site.database)) as connection:
        connection.executescript(
            "DROP TABLE plugin; DROP TABLE module;"
            "CREATE TABLE plugin (id VARCHAR PRIMARY KEY, plugin_slug VARCHAR, version VARCHAR,"
            " enabled BOOLEAN, user_id VARCHAR);"
            "CREATE TABLE module (id VARCHAR, plugin_id VARCHAR, name VARCHAR)"
        )
    publish(life.site, "1.0.0", modules=[module("Board", a=1), module("Gone", a=1)])
    publish(life.site, "1.0.1", modules=[module("Board", a=1)])
    assert life.install("1.0.0").changed
    assert life.update().version == "1.0.1"
    assert list(life.modules()) == ["Board"]
    assert life.rollback().version == "1.0.0"
    assert life.enable(enabled=False).changed
    assert life.uninstall().changed
    assert life.site.query("SELECT * FROM module") == []


def test_versions_as_the_application_ships_them_need_no_plugin_json(both: Life) -> None:
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


def test_a_version_without_any_metadata_can_be_installed(both: Life) -> None:
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
def test_odd_metadata_gives_one_clear_line(both: Life, stated: str, named: str) -> None:
    both.site.publish("Review", "1.0.0", {"plugin.json": stated, "dist/remoteEntry.js": "x"})
    before = both.everything()
    with pytest.raises(UnusableVersion, match=named) as refused:
        both.install()
    assert "Review 1.0.0" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert both.everything() == before


# Changes that fail, or whose caller goes away

Command = Callable[[Life], object]
COMMANDS: dict[str, Command] = {
    "install": lambda life: life.install(slug="Eyes"),
    "update": lambda life: life.update(),
    "rollback": lambda life: life.rollback("1.0.0"),
    "uninstall": lambda life: life.uninstall(),
    "disable": lambda life: life.enable(enabled=False),
}


@pytest.fixture
def settled(both: Life) -> Life:
    """A user at 1.0.1 of Review, with modules and a past; 1.0.2 and Eyes are published."""
    for version, names in (("1.0.0", "AB"), ("1.0.1", "BC"), ("1.0.2", "CD")):
        modules = [module(name, of=version) for name in names]
        publish(both.site, version, modules=modules)
    publish(both.site, "1.0.0", slug="Eyes", modules=[module("Eye")])
    settle(both)
    return both


def settle(life: Life) -> None:
    for slug in life.plugins():
        life.uninstall(slug)
    life.install("1.0.0")
    life.update("1.0.1")
    life.told.clear()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commit_that_fails_leaves_everything_as_it_was(
    settled: Life, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settled.everything()
    monkeypatch.setattr("gateway.database.connections._WRITER_WAITS_S", 0.1)
    with commits_refused(settled.site), pytest.raises(SourceUnavailable):
        COMMANDS[command](settled)
    assert settled.everything() == before
    assert settled.told == []


@contextmanager
def commits_refused(site: Site) -> Iterator[None]:
    """Statements are accepted, and the commit is not."""
    if isinstance(site, PostgresSite):  # by a constraint that is checked at the commit
        site.execute(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION USING MESSAGE = $m$refused at the commit$m$; END'"
        )
        site.execute(
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE OR DELETE ON plugin"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()"
        )
        yield
        return
    with closing(sqlite3.connect(site.database)) as reader:  # whose lock a commit waits for
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM plugin").fetchall()
        yield


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_that_is_locked_or_read_only_changes_nothing(
    empty_site: Site, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.database.connections._WRITER_WAITS_S", 0.1)
    life = Life(empty_site)
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        publish(life.site, version)
    publish(life.site, "1.0.0", slug="Eyes")
    life.install("1.0.1")
    before = life.everything()
    with life.site.locked(), pytest.raises(SourceUnavailable, match="locked"):
        COMMANDS[command](life)
    life.site.execute(
        "CREATE TRIGGER no BEFORE UPDATE ON plugin BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    for event in ("INSERT", "DELETE"):
        life.site.execute(
            f"CREATE TRIGGER no_{event} BEFORE {event} ON plugin"
            " BEGIN SELECT RAISE(ABORT, 'a constraint'); END"
        )
    with pytest.raises(SourceUnavailable):
        COMMANDS[command](life)
    assert life.everything() == before


@pytest.mark.parametrize("command", ["install", "update", "rollback"])
def test_a_full_database_changes_nothing_and_is_named(
    life: Life, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "x" * 200_000
    for version, description in (("1.0.0", long), ("1.0.1", ""), ("1.0.2", long)):
        publish(life.site, version, description=description)
    publish(life.site, "1.0.0", slug="Eyes", description=long)
    life.install("1.0.1")
    before = life.everything()
    original = Transaction.execute

    async def execute(self: Transaction, statement: str, values: Any) -> None:
        await original(self, "PRAGMA max_page_count = 1", {})  # no more than there are
        await original(self, statement, values)

    monkeypatch.setattr(Transaction, "execute", execute)
    with pytest.raises(SourceUnavailable, match="full"):
        COMMANDS[command](life)
    monkeypatch.undo()
    assert life.everything() == before
    assert COMMANDS[command](life)


@pytest.mark.parametrize("command", ["install", "update", "rollback"])
def test_a_json_that_cannot_be_written_leaves_the_rows(
    settled: Life, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settled.everything()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gateway.disk.storage.os.fsync", full)
    with pytest.raises(StorageError, match=r"installed_plugins.json.*No space left"):
        COMMANDS[command](settled)
    monkeypatch.undo()
    assert settled.everything() == before
    assert settled.told == []


def test_an_entry_that_cannot_be_removed_is_told_after_the_rows_are_gone(
    settled: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gateway.disk.storage.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        settled.uninstall()
    monkeypatch.undo()
    assert settled.plugins() == {}
    assert settled.told == [Change(user=settled.user)]
    assert settled.uninstall().changed
    assert settled.document() == {}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_caller_that_is_cancelled_leaves_a_whole_change(settled: Life, command: str) -> None:
    """Wherever it was, also where a thread writes the JSON: the caller waits for its end."""
    life = settled.lifecycle
    user, wanted = settled.user, Version("1.0.0")
    changes: dict[str, Callable[[], Any]] = {
        "install": lambda: life.install(user, Slug("Eyes")),
        "update": lambda: life.update(user, "Review"),
        "rollback": lambda: life.rollback(user, "Review", wanted),
        "uninstall": lambda: life.uninstall(user, "Review"),
        "disable": lambda: life.set_enabled(user, "Review", enabled=False),
    }

    async def cancelled_at(tick: int) -> bool:
        task = asyncio.ensure_future(changes[command]())
        for _ in range(tick):
            await asyncio.sleep(0)
            if task.done():
                return False
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return True

    cancelled = 0
    for ticks in (1, 2, 3, 5, 8, 20, 80, 300, 1500):
        if not asyncio.run(cancelled_at(ticks)):
            break
        assert settled.told == [Change(user=user)]
        assert summary(settled) == NEW[command], ticks
        cancelled += 1
        settle(settled)
    assert cancelled >= 4


NEW = {
    "install": ({"Review": "1.0.1", "Eyes": "1.0.0"}, {"B", "C", "Eye"}, {"Review", "Eyes"}),
    "update": ({"Review": "1.0.2"}, {"C", "D"}, {"Review"}),
    "rollback": ({"Review": "1.0.0"}, {"A", "B"}, {"Review"}),
    "uninstall": ({}, set(), set()),
    "disable": ({"Review": "1.0.1"}, {"B", "C"}, {"Review"}),
}


def summary(life: Life) -> tuple[dict[str, str], set[str], set[str]]:
    """Versions, names of modules, names in the JSON."""
    versions = {slug: row["version"] for slug, row in life.plugins().items()}
    modules = {row["name"] for row in life.site.query("SELECT name FROM module")}
    return versions, modules, set(life.document() or ())
