"""What the lifecycle writes into a user's installed_plugins.json."""

import pytest

from gateway.disk.users_folder import BrokenInstallations
from gateway.errors import NoEarlierVersion, StorageError
from tests.support.accounts import Account, publish
from tests.support.site import ADA

ALLOW = {"GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}


def test_without_a_file_none_is_written_where_that_denies_nothing(both: Account) -> None:
    account = Account(both.site, **ALLOW)
    publish(account.site, "1.0.0")
    publish(account.site, "1.0.1")
    account.site.add_row(ADA, "Eyes", "1.0.0")
    assert account.install("1.0.0").changed
    assert account.install().changed is False
    account.update()
    with pytest.raises(NoEarlierVersion):
        account.rollback()
    account.rollback("1.0.0")
    account.enable(enabled=False)
    account.uninstall()
    assert account.document() is None
    assert not account.site.installations_file(ADA).parent.exists()
    assert set(account.plugins()) == {"Eyes"}


def test_a_file_that_is_there_is_kept_whatever_the_setting(both: Account) -> None:
    account = Account(both.site, **ALLOW)
    publish(account.site, "1.0.0")
    account.site.install(ADA, "Eyes")
    account.install()
    assert set(account.document() or ()) == {"Eyes", "Review"}
    account.uninstall()
    assert set(account.document() or ()) == {"Eyes"}


def test_old_format_entries_lose_what_the_table_decides_and_nothing_else(both: Account) -> None:
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
    account: Account, command: str, content: bytes
) -> None:
    publish(account.site, "1.0.0")
    account.site.add_row(ADA, "Review", "0.9.0")
    account.site.write_installations(ADA, content)
    before = account.everything()
    with pytest.raises(BrokenInstallations, match=r"installed_plugins\.json"):
        getattr(account, command)()
    assert account.everything() == before


def test_a_file_in_the_place_of_the_users_folder_is_named(account: Account) -> None:
    publish(account.site, "1.0.0")
    account.site.installations_file(ADA).parent.write_text("a file")
    with pytest.raises(StorageError, match=f"user_{ADA}"):
        account.install()
    assert account.plugins() == {}
