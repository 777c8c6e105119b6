"""What the lifecycle writes into a user's installed_plugins.json."""

import pytest

from gateway.disk.users_folder import BrokenInstallations
from gateway.errors import NoEarlierVersion, StorageError
from tests.support.lives import Life, publish
from tests.support.site import ADA

ALLOW = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}


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
