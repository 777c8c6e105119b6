"""Symbolic links below `plugins/`: whoever can lay one opens no other folder by it."""

import os
import shutil
from pathlib import Path

import pytest

from gateway.changes import Change
from gateway.disk.builds import look_at_version
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.retention import Retention
from gateway.disk.storage import PluginStorage
from gateway.errors import AssetNotFound, PublishingError, StorageError, VersionNotPublished
from gateway.freshness.change_log import ChangeLog
from gateway.lifecycle.publishing import publish
from gateway.names import AssetPath, Slug, UserId, Version
from tests.support.accounts import Account
from tests.support.commands import run
from tests.support.server import Server, server_of, serving
from tests.support.site import ADA, BEN, CLEO, Site, bearer, populated
from tests.support.urls import ENTRY, MANIFEST, own, public

LINKS = [(Slug("Linked"), Version("1.0.0")), (Slug("Review"), Version("9.0.0"))]
"""One whose slug is a link, and one whose version is."""
CANARY = b"/* not a published file */ window.canary = {};"

each_link = pytest.mark.parametrize(("slug", "version"), LINKS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    outside = site.folder / "outside"
    (outside / "v1.0.0/dist").mkdir(parents=True)
    (outside / "v1.0.0" / ENTRY).write_bytes(CANARY)
    (outside / "v1.0.0/plugin.json").write_bytes(b'{"slug": "Linked", "version": "1.0.0"}')
    (site.plugins / "shared/Linked").symlink_to(outside, target_is_directory=True)
    version = site.version_folder("Review", "9.0.0")
    version.symlink_to(outside / "v1.0.0", target_is_directory=True)
    site.give(CLEO, "Linked", "1.0.0")
    site.give(CLEO, "Review", "9.0.0")
    return site


@pytest.fixture
def storage(site: Site) -> PluginStorage:
    return PluginStorage(site.plugins)


server = server_of()


@each_link
def test_a_linked_folder_is_no_version(
    storage: PluginStorage, slug: Slug, version: Version
) -> None:
    assert not storage.shared.is_published(slug, version)
    assert version not in storage.shared.versions_of(slug)
    assert (slug, version) not in list(storage.shared.versions())
    assert storage.get_user_plugin_path(UserId(CLEO), slug, version) is None
    assert look_at_version(storage, slug, version) is None
    with pytest.raises(VersionNotPublished):
        storage.shared.open_asset(slug, version, AssetPath(ENTRY))


@each_link
def test_a_folder_that_became_a_link_since_it_was_looked_at_is_not_followed(
    storage: PluginStorage, slug: Slug, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.shared, "is_published", lambda *_: True)
    with pytest.raises(AssetNotFound):
        storage.shared.open_asset(slug, version, AssetPath(ENTRY))


@each_link
def test_a_linked_folder_is_not_served(server: Server, slug: Slug, version: Version) -> None:
    for path in (own(slug), own(f"{CLEO}_{slug}")):
        answer = server.get(path, bearer(CLEO))
        assert (answer.status, answer.code) == (404, "version_not_published")
    assert server.get(public(f"{CLEO}_{slug}")).code == "unknown_plugin"
    manifest = server.get(MANIFEST, bearer(CLEO)).json
    assert manifest[slug]["bundlelocation"] == ENTRY  # not pinned: there is nothing to pin


def test_a_linked_folder_is_not_installed_nor_updated_to(site: Site) -> None:
    account = Account(site, BEN)
    with pytest.raises(VersionNotPublished):
        account.install("1.0.0", "Linked")
    with pytest.raises(VersionNotPublished):
        account.update("9.0.0")
    assert account.update().version == "1.0.1"  # the newest


@each_link
def test_nothing_is_published_over_a_linked_folder(
    site: Site, storage: PluginStorage, tmp_path: Path, slug: Slug, version: Version
) -> None:
    outside = site.folder / "outside"
    before = sorted(outside.rglob("*"))
    source = tmp_path / "source"
    shutil.copytree(outside / "v1.0.0", source)
    (source / "plugin.json").unlink()
    for wanted in (version, Version("2.0.0")) if slug == "Linked" else (version,):
        with pytest.raises(PublishingError, match="symbolic link"):
            publish(storage, source, slug=slug, version=wanted)
    assert sorted(outside.rglob("*")) == before


def words(text: str) -> str:
    return " ".join(text.split())


def test_commands_see_no_version_in_a_linked_folder(site: Site) -> None:
    environment = site.environment
    checked = words(run(environment, "check").output)
    assert "3 published versions" in checked
    for slug, version in LINKS:
        assert f"{slug} {version} has enabled rows but no folder" in checked
    assert "foreign_name 2 " in words(run(environment, "doctor").output)
    listed = run(environment, "list", "--user", CLEO).output.splitlines()
    rows = [line.split() for line in listed]
    assert {row[1]: row[-1] for row in rows if row[1:2] in (["Linked"], ["Review"])} == {
        "Linked": "no",
        "Review": "no",
    }
    site.execute("DELETE FROM plugin WHERE user_id = ?", CLEO)
    collected = run({**environment, "GATEWAY__LIFECYCLE__RETENTION_DAYS": "0"}, "gc", "--apply")
    assert collected.exit_code == 0
    for slug, version in LINKS:
        assert site.version_folder(slug, version).is_dir()


@pytest.mark.slow
def test_the_folder_of_all_versions_may_be_a_link(tmp_path: Path) -> None:
    site = populated(tmp_path / "site")
    shared = site.plugins / "shared"
    shared.rename(tmp_path / "elsewhere")
    shared.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    storage = PluginStorage(site.plugins)
    assert len(list(storage.shared.versions())) == 3
    with serving(site.environment) as server:
        assert server.get(own("Review"), bearer(ADA)).status == 200


# Files that the gateway writes


def victim(folder: Path) -> Path:
    """A file that is not the gateway's."""
    path = folder / "victim"
    path.write_bytes(b"as it was")
    os.utime(path, (1, 1))
    return path


def is_untouched(path: Path) -> bool:
    return (path.read_bytes(), path.stat().st_mtime) == (b"as it was", 1)


@pytest.mark.parametrize("name", ["changes.log", "changes.log.lock"])
def test_a_link_in_the_place_of_the_log_is_not_written_through(tmp_path: Path, name: str) -> None:
    path, cache = victim(tmp_path), tmp_path / "cache"
    cache.mkdir()
    (cache / name).symlink_to(path)
    log = ChangeLog(CacheFolder(cache))
    with pytest.raises(OSError, match="symbolic links"):
        log.append(Change(slug=Slug("Review")))
    assert is_untouched(path)


def test_a_log_that_became_a_link_is_noticed(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path)
    log = ChangeLog(cache)
    log.open()
    cache.change_log.rename(tmp_path / "moved")
    cache.change_log.symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match="symbolic links"):
        log.reopen_if_replaced()


def test_a_link_in_the_place_of_a_users_lock_is_not_written_through(tmp_path: Path) -> None:
    storage, path = PluginStorage(tmp_path / "plugins"), victim(tmp_path)
    locks = storage.cache.path / "locks"
    locks.mkdir(parents=True)
    (locks / f"user_{ADA}.lock").symlink_to(path)
    with pytest.raises(StorageError, match="cannot be locked"), storage.users.locked(UserId(ADA)):
        pass
    assert is_untouched(path)


@pytest.mark.slow
def test_a_link_in_the_place_of_a_note_is_not_written_through(tmp_path: Path) -> None:
    retention, path = Retention(CacheFolder(tmp_path)), victim(tmp_path)
    notes = tmp_path / "versions" / "Review"
    notes.mkdir(parents=True)
    for what in ("unreferred", "used"):
        (notes / f"v1.0.0.{what}").symlink_to(path)
    slug, version = Slug("Review"), Version("1.0.0")
    retention.note_loss(slug, version, 5.0)
    retention.note_use(slug, version)
    assert is_untouched(path)
