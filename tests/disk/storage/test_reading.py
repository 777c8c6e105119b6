"""What a user has installed, as their file says it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import BrokenInstallations
from gateway.errors import StorageError
from gateway.names import UserId, Version
from tests.disk.storage.files import (
    ADA,
    BROKEN,
    EYES,
    MINIMAL,
    OLD,
    REVIEW,
    V1,
    publish,
    write,
)
from tests.support.privileges import without_privileges

# Paths


def test_paths_are_constructed_from_names(tmp_path: Path) -> None:
    storage = PluginStorage(tmp_path)
    assert storage.construct_shared_path(REVIEW, V1) == tmp_path / "shared" / "Review" / "v1.0.0"
    assert storage.users.file(ADA) == (
        tmp_path / "users" / f"user_{ADA}" / "installed_plugins.json"
    )


# Reading what a user has installed


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(MINIMAL, {"Review": {"installation_type": "production"}}, id="minimal"),
        pytest.param(OLD, {"Review": {"installation_type": "migrated"}}, id="old format"),
        pytest.param({}, {}, id="empty object"),
        pytest.param({"Review": {}}, {"Review": {}}, id="empty inner object"),
        pytest.param({"Review": None}, {"Review": {}}, id="null inner object"),
        pytest.param({"Review": "x"}, {"Review": {}}, id="inner string"),
        pytest.param({"Review": []}, {"Review": {}}, id="inner list"),
        pytest.param({"Review": {"installation_metadata": None}}, {"Review": {}}, id="null"),
        pytest.param({"Review": {"installation_metadata": [1]}}, {"Review": {}}, id="list"),
        pytest.param(
            {**MINIMAL, "Eyes": {"installation_metadata": {"installed_by": "x", "free": [1]}}},
            {
                "Review": {"installation_type": "production"},
                "Eyes": {"installed_by": "x", "free": [1]},
            },
            id="several",
        ),
    ],
)
def test_the_keys_of_the_file_are_what_is_installed(
    storage: PluginStorage, document: object, expected: dict[str, Any]
) -> None:
    write(storage, document)
    assert storage.users.read_installations(ADA) == expected
    assert storage.get_all_user_plugins(ADA) == expected
    for slug in (REVIEW, EYES):
        assert storage.plugin_exists_for_user(ADA, slug) is (slug in expected)
        assert storage.get_user_plugin_metadata(ADA, slug) == expected.get(slug)


@pytest.mark.parametrize("missing", ["file", "folder", "root", "folder is a file"])
def test_a_user_without_a_file_has_nothing_and_that_is_no_error(
    storage: PluginStorage, missing: str
) -> None:
    folder = storage.users.file(ADA).parent
    if missing == "file":
        folder.mkdir(parents=True)
    elif missing == "folder":
        storage.users.path.mkdir(parents=True)
    elif missing == "folder is a file":
        storage.users.path.mkdir(parents=True)
        folder.write_text("")
    assert storage.users.read_installations(ADA) is None
    assert storage.get_all_user_plugins(ADA) == {}
    assert not storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.get_user_plugin_metadata(ADA, REVIEW) is None


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_told_from_a_missing_one_and_installs_nothing(
    storage: PluginStorage, content: bytes
) -> None:
    path = write(storage, content)
    with pytest.raises(BrokenInstallations) as caught:
        storage.users.read_installations(ADA)
    assert str(path) in str(caught.value)
    assert storage.get_all_user_plugins(ADA) == {}
    assert not storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.get_user_plugin_metadata(ADA, REVIEW) is None


def test_a_folder_in_the_files_place_is_a_storage_error(storage: PluginStorage) -> None:
    storage.users.file(ADA).mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        storage.users.read_installations(ADA)
    assert not isinstance(caught.value, BrokenInstallations)
    with pytest.raises(StorageError, match="cannot be read"):
        storage.get_all_user_plugins(ADA)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_special_file_in_the_files_place_is_a_storage_error(
    storage: PluginStorage, make: Callable[[Path], None]
) -> None:
    path = storage.users.file(ADA)
    path.parent.mkdir(parents=True)
    make(path)
    files = storage.users

    def restorer(user: UserId) -> None:
        with files.locked(user) as file:
            file.restorer()

    for read in (files.read_installations, files.read_content, restorer):
        with pytest.raises(StorageError, match="not a regular file") as caught:
            read(ADA)
        assert not isinstance(caught.value, BrokenInstallations)


def test_a_file_that_cannot_be_looked_at_is_no_missing_one(storage: PluginStorage) -> None:
    path = storage.users.file(ADA)
    assert storage.users.fingerprint(ADA) is None
    path.parent.mkdir(parents=True)
    assert storage.users.fingerprint(ADA) is None
    path.symlink_to(path.name)
    with pytest.raises(StorageError, match="cannot be looked at"):
        storage.users.fingerprint(ADA)


def test_an_unreadable_file_is_a_storage_error_and_not_an_empty_one(
    storage: PluginStorage,
) -> None:
    path = write(storage, MINIMAL)
    path.chmod(0)
    with without_privileges(), pytest.raises(StorageError, match="cannot be read") as caught:
        storage.users.read_installations(ADA)
    assert not isinstance(caught.value, BrokenInstallations)


def test_a_file_that_is_replaced_is_read_anew(storage: PluginStorage) -> None:
    path = write(storage, MINIMAL)
    assert storage.plugin_exists_for_user(ADA, REVIEW)
    other = path.with_name("other")
    other.write_text('{"Eyes": {}}')
    other.replace(path)
    assert list(storage.get_all_user_plugins(ADA)) == ["Eyes"]


@pytest.mark.parametrize(
    ("document", "published", "found"),
    [
        (MINIMAL, True, True),
        (OLD, True, True),
        (MINIMAL, False, False),
        ({"Eyes": {}}, True, False),
        (b"", True, False),
    ],
)
def test_a_user_has_a_path_if_the_plugin_is_installed_and_its_folder_exists(
    storage: PluginStorage, document: object, published: bool, found: bool
) -> None:
    write(storage, document)
    folder = publish(storage) if published else None
    assert storage.get_user_plugin_path(ADA, REVIEW, V1) == (folder if found else None)


def test_the_path_is_the_versions_own_whatever_an_old_file_claims(storage: PluginStorage) -> None:
    write(storage, OLD)
    publish(storage, Version("1.0"))
    folder = publish(storage, Version("1.0.1"))
    assert storage.get_user_plugin_path(ADA, REVIEW, Version("1.0.1")) == folder
    assert storage.get_user_plugin_path(ADA, REVIEW, Version("1.0.28")) is None


def test_a_file_in_the_versions_place_is_no_path(storage: PluginStorage) -> None:
    write(storage, MINIMAL)
    path = storage.construct_shared_path(REVIEW, V1)
    path.parent.mkdir(parents=True)
    path.write_text("")
    assert storage.get_user_plugin_path(ADA, REVIEW, V1) is None
