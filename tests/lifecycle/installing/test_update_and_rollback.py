"""Moving a user to another version of a plugin, and back, on both databases."""

import json
from typing import Any

import pytest

from gateway.changes import Change
from gateway.errors import NoEarlierVersion, NotInstalled, UnknownPlugin, VersionNotPublished
from tests.support.accounts import Account, publish
from tests.support.site import ADA


def test_an_update_moves_to_the_newest_version_and_remembers_the_old(both: Account) -> None:
    for version in ("1.0.0", "1.0.1", "1.1.0"):
        publish(both.site, version, description=f"of {version}")
    both.install("1.0.0")
    outcome = both.update()
    assert (outcome.version, outcome.previous_version, outcome.changed) == ("1.1.0", "1.0.0", True)
    assert (both.row()["version"], both.row()["description"]) == ("1.1.0", "of 1.1.0")
    assert both.announced == [Change(user=both.user)] * 2
    before = both.everything()
    again = both.update()
    assert (again.version, again.changed) == ("1.1.0", False)
    assert both.everything() == before


def test_an_update_by_database_id_is_the_same(both: Account) -> None:
    publish(both.site, "1.0.0")
    both.site.give(ADA, "Review", "1.0.0", id="an-id-of-its-own")
    publish(both.site, "1.0.1")
    outcome = both.update(plugin="an-id-of-its-own")
    assert (outcome.slug, outcome.database_id) == ("Review", "an-id-of-its-own")
    assert both.row()["version"] == "1.0.1"


def test_a_slug_is_meant_before_the_database_id_of_another_plugin(account: Account) -> None:
    for slug in ("Review", "Eyes"):
        publish(account.site, "1.0.0", slug=slug)
        publish(account.site, "1.0.1", slug=slug)
    account.site.give(ADA, "Eyes", "1.0.0", id="Review")
    account.site.give(ADA, "Review", "1.0.0")
    assert account.update().slug == "Review"
    assert (account.row("Review")["version"], account.row("Eyes")["version"]) == ("1.0.1", "1.0.0")


def test_rollback_goes_back_step_by_step(both: Account) -> None:
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


def test_rollback_to_a_version_by_name_forgets_those_after_it(account: Account) -> None:
    for version in ("1.0.0", "1.0.1", "1.0.2"):
        publish(account.site, version)
    account.install("1.0.0")
    account.update("1.0.1")
    account.update("1.0.2")
    assert account.rollback("1.0.0").previous_version == "1.0.2"
    with pytest.raises(NoEarlierVersion):
        account.rollback()


def test_rollback_to_a_version_the_user_never_had_needs_its_name_alone(account: Account) -> None:
    for version in ("0.9.0", "1.0.0"):
        publish(account.site, version)
    account.install("1.0.0")
    assert account.rollback("0.9.0").version == "0.9.0"
    assert account.rollback("0.9.0").changed is False


def test_rollback_after_moves_to_and_fro_goes_back_through_each(account: Account) -> None:
    for version in ("1.0.0", "1.0.1"):
        publish(account.site, version)
    account.install("1.0.0")
    for version in ("1.0.1", "1.0.0", "1.0.1"):
        account.update(version)
    assert [account.rollback().version for _ in range(3)] == ["1.0.0", "1.0.1", "1.0.0"]
    with pytest.raises(NoEarlierVersion):
        account.rollback()


def test_ten_earlier_versions_are_remembered(account: Account) -> None:
    versions = [f"1.0.{number}" for number in range(13)]
    for version in versions:
        publish(account.site, version)
    account.install(versions[0])
    for version in versions[1:]:
        account.update(version)
    assert account.metadata()["previous_versions"] == versions[2:12]
    assert [account.rollback().version for _ in range(10)] == versions[11:1:-1]


def test_rollback_to_a_version_that_was_collected_says_so(account: Account) -> None:
    publish(account.site, "1.0.1")
    account.site.give(ADA, "Review", "1.0.1")
    account.site.write_installations(
        ADA, {"Review": {"installation_metadata": {"previous_versions": ["0.9.0", "1.0.0"]}}}
    )
    before = account.everything()
    with pytest.raises(VersionNotPublished, match=r"Review 1\.0\.0 is not published"):
        account.rollback()
    assert account.everything() == before
    publish(account.site, "0.9.0")
    assert account.rollback("0.9.0").changed


@pytest.mark.parametrize("odd", ["1.0.0", [None, 3, "../x", "", "1.0.0"], {"1.0.0": 1}])
def test_odd_earlier_versions_are_passed_over(account: Account, odd: Any) -> None:
    publish(account.site, "1.0.0")
    publish(account.site, "1.0.1")
    account.site.give(ADA, "Review", "1.0.1")
    account.site.write_installations(
        ADA, {"Review": {"installation_metadata": {"previous_versions": odd}}}
    )
    if isinstance(odd, list):
        assert account.rollback().version == "1.0.0"
    else:
        with pytest.raises(NoEarlierVersion):
            account.rollback()


@pytest.mark.parametrize("command", ["update", "rollback"])
def test_a_plugin_that_the_user_does_not_have_cannot_be_moved(both: Account, command: str) -> None:
    publish(both.site, "1.0.0")
    with pytest.raises(UnknownPlugin):
        getattr(both, command)("1.0.0")
    both.site.add_row(ADA, "Review", "0.9.0")
    with pytest.raises(NotInstalled):
        getattr(both, command)("1.0.0")
    assert both.row()["version"] == "0.9.0"


def test_columns_that_a_version_does_not_state_stay_as_they_are(both: Account) -> None:
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
