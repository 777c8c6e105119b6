"""Installing a plugin for a user: docs/explanation/lifecycle.md, on both databases."""

import pytest

from gateway.changes import Change
from gateway.errors import AlreadyInstalled, SourceUnavailable, VersionNotPublished
from tests.support.accounts import Account, module, publish
from tests.support.site import ADA


def test_a_new_plugin_gets_rows_and_an_entry(both: Account) -> None:
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
    assert both.announced == [Change(user=both.user)]


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
def test_the_newest_version_is_installed(
    account: Account, published: list[str], newest: str
) -> None:
    for version in published:
        publish(account.site, version)
    assert account.install().version == newest


def test_folders_that_are_no_versions_are_not_installed(account: Account) -> None:
    publish(account.site, "1.0.0")
    for name in ("9.0.0", "v", "v..", "v9 0", "latest"):
        (account.site.plugins / "shared" / "Review" / name).mkdir()
    (account.site.plugins / "shared" / "Review" / "v8.0.0").write_text("a file")
    assert account.install().version == "1.0.0"


def test_a_second_installation_is_nothing_to_do(both: Account) -> None:
    publish(both.site, "1.0.0")
    both.install()
    publish(both.site, "1.0.1")
    before = both.everything()
    for version in (None, "1.0.0"):
        outcome = both.install(version)
        assert (outcome.changed, outcome.version, outcome.enabled) == (False, "1.0.0", True)
    assert both.everything() == before


def test_an_installed_plugin_is_not_moved_by_install(both: Account) -> None:
    publish(both.site, "1.0.0")
    publish(both.site, "1.0.1")
    both.install("1.0.0")
    before = both.everything()
    with pytest.raises(AlreadyInstalled, match=r"has Review 1\.0\.0"):
        both.install("1.0.1")
    assert both.everything() == before


@pytest.mark.parametrize("wanted", [None, "1.0.0"])
def test_a_row_as_the_application_makes_it_gets_its_entry(
    both: Account, wanted: str | None
) -> None:
    publish(both.site, "1.0.0", name="Another name")
    publish(both.site, "1.0.1")
    both.site.add_row(ADA, "Review", "1.0.0", name="As it was", enabled=0)
    before = both.row()
    outcome = both.install(wanted)
    assert (outcome.changed, outcome.version, outcome.enabled) == (True, "1.0.0", False)
    assert both.row() == before
    assert both.metadata()["installed_by"] == "gateway"


def test_a_row_without_an_entry_is_moved_by_install_and_keeps_its_configuration(
    both: Account,
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


def test_a_row_without_an_entry_that_install_moved_can_be_rolled_back(account: Account) -> None:
    publish(account.site, "1.0.0")
    publish(account.site, "1.0.1")
    account.site.add_row(ADA, "Review", "1.0.0")
    account.install("1.0.1")
    assert account.rollback().version == "1.0.0"


def test_an_entry_without_a_row_becomes_an_installation(both: Account) -> None:
    publish(both.site, "1.0.0")
    left = {"installed_at": "2020-01-01", "previous_versions": ["0.1"], "kept_config_fields": {}}
    both.site.write_installations(ADA, {"Review": {"installation_metadata": left, "mine": 1}})
    assert both.install().changed
    assert both.row()["version"] == "1.0.0"
    assert both.entry()["mine"] == 1
    # The user had the plugin before and removed it: that is no past of this installation.
    assert not both.metadata().keys() & {"previous_versions", "kept_config_fields"}


@pytest.mark.parametrize("version", [None, "1.0.0"])
def test_a_plugin_that_is_not_published_is_not_installed(
    both: Account, version: str | None
) -> None:
    publish(both.site, "1.0.0", slug="Other")
    before = both.everything()
    with pytest.raises(VersionNotPublished):
        both.install(version)
    assert both.everything() == before
    assert both.announced == []


def test_a_shared_folder_that_is_away_is_an_outage_and_no_missing_version(account: Account) -> None:
    (account.site.plugins / "shared").rmdir()
    with pytest.raises(SourceUnavailable):
        account.install()
