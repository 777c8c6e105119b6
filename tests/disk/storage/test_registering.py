"""Registering plugins in a user's file, and taking them out."""

from collections.abc import Callable
from datetime import UTC, datetime
from shutil import rmtree
from typing import Any

import pytest

from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import BrokenInstallations
from gateway.errors import StorageError
from gateway.names import UserId
from tests.disk.storage.files import (
    ADA,
    BROKEN,
    EYES,
    MINIMAL,
    OLD,
    REVIEW,
    SCRIPT,
    V1,
    names_in,
    write,
    written,
)

BEN = UserId("b" * 32)


def test_registering_writes_the_minimal_format(storage: PluginStorage) -> None:
    storage.register_user_plugin(ADA, REVIEW, {"source_url": "https://example.org/x"})
    document = written(storage)
    assert list(document) == ["Review"]
    assert list(document["Review"]) == ["installation_metadata"]
    metadata = document["Review"]["installation_metadata"]
    assert metadata["installation_type"] == "production"
    assert metadata["source_url"] == "https://example.org/x"
    assert storage.get_user_plugin_metadata(ADA, REVIEW) == metadata


def test_registering_dates_the_installation(storage: PluginStorage) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    storage.register_user_plugin(ADA, REVIEW)
    stated = written(storage)["Review"]["installation_metadata"]["installed_at"]
    assert before <= datetime.fromisoformat(stated) <= datetime.now(UTC)


def test_given_metadata_wins_over_the_defaults(storage: PluginStorage) -> None:
    given = {"installation_type": "local", "installed_at": "2025-06-10T07:30:00Z"}
    storage.register_user_plugin(ADA, REVIEW, given)
    assert storage.get_user_plugin_metadata(ADA, REVIEW) == {"installed_by": "gateway", **given}


def test_registering_leaves_other_plugins_as_they_are(storage: PluginStorage) -> None:
    write(storage, {**OLD, "Odd": None})
    storage.register_user_plugin(ADA, EYES)
    document = written(storage)
    assert list(document) == ["Review", "Odd", "Eyes"]
    assert document["Review"] == OLD["Review"]
    assert document["Odd"] is None


def test_registering_again_drops_what_the_table_decides(storage: PluginStorage) -> None:
    write(storage, OLD)
    storage.register_user_plugin(ADA, REVIEW)
    entry = written(storage)["Review"]
    assert list(entry) == ["installed_at", "user_config", "installation_metadata"]
    assert entry["user_config"] == OLD["Review"]["user_config"]
    assert entry["installation_metadata"]["installation_type"] == "production"


def test_registering_is_for_one_user(storage: PluginStorage) -> None:
    storage.register_user_plugin(ADA, REVIEW)
    assert storage.users.read_installations(BEN) is None


BAD_USERS = ["../../evil", "a/../../evil", "..", "", "/etc", "a\0b", "a\nb", None, 7]


@pytest.mark.parametrize("user", BAD_USERS)
def test_no_call_leaves_the_folder_of_a_user(storage: PluginStorage, user: Any) -> None:
    """A program that uses this class passes on what it was sent."""
    storage.root.mkdir()
    calls: list[Callable[[], object]] = [
        lambda: storage.register_user_plugin(user, REVIEW),
        lambda: storage.unregister_user_plugin(user, REVIEW),
        lambda: storage.get_all_user_plugins(user),
        lambda: storage.get_user_plugin_metadata(user, REVIEW),
        lambda: storage.plugin_exists_for_user(user, REVIEW),
        lambda: storage.get_user_plugin_path(user, REVIEW, V1),
        lambda: storage.users.file(user),
        lambda: storage.users.locked(user).__enter__(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a user id"):
            call()
    assert list(storage.root.parent.rglob("*")) == [storage.root]


@pytest.mark.parametrize(
    ("slug", "version"),
    [
        ("../../evil", "1.0.0"),
        ("Review", "/../../evil"),
        ("", "1.0.0"),
        ("Review", ""),
        (None, None),
    ],
)
def test_no_path_leaves_the_folder_of_all_versions(
    storage: PluginStorage, slug: Any, version: Any
) -> None:
    for call in (
        lambda: storage.construct_shared_path(slug, version),
        lambda: storage.shared.is_published(slug, version),
        lambda: storage.get_user_plugin_path(ADA, slug, version),
        lambda: storage.shared.open_asset(slug, version, SCRIPT),
    ):
        with pytest.raises(ValueError, match=r"not a (plugin slug|version)"):
            call()


@pytest.mark.parametrize("slug", ["../../evil", "..", "", "a/b", "a\0b", None, 7])
def test_what_is_no_slug_is_refused_by_every_call(storage: PluginStorage, slug: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: storage.register_user_plugin(ADA, slug),
        lambda: storage.unregister_user_plugin(ADA, slug),
        lambda: storage.get_user_plugin_metadata(ADA, slug),
        lambda: storage.plugin_exists_for_user(ADA, slug),
        lambda: storage.get_user_plugin_path(ADA, slug, V1),
        lambda: storage.construct_shared_path(slug, V1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a plugin slug"):
            call()
    assert storage.users.read_installations(ADA) is None


def test_a_users_id_with_dashes_is_the_same_user(storage: PluginStorage) -> None:
    storage.register_user_plugin(UserId("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"), REVIEW)
    assert storage.plugin_exists_for_user(ADA, REVIEW)


def test_a_document_that_cannot_be_written_again_is_left_alone(storage: PluginStorage) -> None:
    """orjson reads 1024 levels and writes 254."""
    content = b'{"Review": {"installation_metadata":' + b"[" * 500 + b"]" * 500 + b"}}"
    path = write(storage, content)
    with pytest.raises(StorageError, match="cannot be written"):
        storage.register_user_plugin(ADA, EYES)
    assert path.read_bytes() == content


@pytest.mark.parametrize("inner", [MINIMAL["Review"], OLD["Review"], {}, None])
def test_unregistering_takes_the_plugin_out(storage: PluginStorage, inner: object) -> None:
    # BrainDrive-Core: the inner object may be empty or null.
    write(storage, {"Review": inner, "Eyes": {}})
    assert storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.unregister_user_plugin(ADA, REVIEW) is True
    assert written(storage) == {"Eyes": {}}
    assert not storage.plugin_exists_for_user(ADA, REVIEW)
    assert storage.unregister_user_plugin(ADA, REVIEW) is False


def test_unregistering_the_last_plugin_leaves_an_empty_object(storage: PluginStorage) -> None:
    write(storage, MINIMAL)
    storage.unregister_user_plugin(ADA, REVIEW)
    assert storage.users.read_installations(ADA) == {}


def test_unregistering_what_is_not_there_writes_nothing(storage: PluginStorage) -> None:
    path = write(storage, MINIMAL)
    before = path.stat()
    assert storage.unregister_user_plugin(ADA, EYES) is False
    assert storage.unregister_user_plugin(BEN, EYES) is False
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not storage.users.file(BEN).parent.exists()


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_never_written_over(storage: PluginStorage, content: bytes) -> None:
    path = write(storage, content)
    with pytest.raises(BrokenInstallations):
        storage.register_user_plugin(ADA, EYES)
    with pytest.raises(BrokenInstallations):
        storage.unregister_user_plugin(ADA, REVIEW)
    assert path.read_bytes() == content
    assert names_in(path.parent) == [path.name]


def test_a_folder_in_the_files_place_is_not_written_over(storage: PluginStorage) -> None:
    path = storage.users.file(ADA)
    path.mkdir(parents=True)
    with pytest.raises(StorageError):
        storage.register_user_plugin(ADA, EYES)
    assert path.is_dir()
    assert names_in(path.parent) == [path.name]


def test_the_cache_folder_may_vanish_between_two_writes(storage: PluginStorage) -> None:
    storage.register_user_plugin(ADA, REVIEW)
    rmtree(storage.cache.path)
    storage.register_user_plugin(ADA, EYES)
    assert list(written(storage)) == ["Review", "Eyes"]
