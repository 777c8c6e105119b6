"""What stands before the tables and before `plugins/`: the plugin of one user, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.database.connections import connect
from gateway.development.developed_plugin import DevelopedPlugin, SeenBuild
from gateway.development.overlaid_database import OverlaidDatabase
from gateway.development.overlaid_storage import OverlaidStorage
from gateway.development.snapshots import DevelopedRelease, Snapshots
from gateway.metrics.sources import SourceCounts
from gateway.names import Slug, UserId, Version
from gateway.settings import load_settings
from tests.support.site import ADA, BEN, Site

T = TypeVar("T")

RELEASE = DevelopedRelease(
    Version("3.0.0-dev.1"),
    "dist/remoteEntry.js",
    {"scope": "Mine", "description": "npm's"},
    {"config_fields": {"city": {"default": "Rome"}}, "modules": [{"name": "Panel", "icon": "new"}]},
    datetime(2026, 1, 2, tzinfo=UTC),
)


def developed(release: DevelopedRelease | None = RELEASE, database_id: str | None = None) -> Any:
    plugin = DevelopedPlugin(UserId(ADA), Slug("Mine"), database_id or f"{ADA}_Mine")
    if release is not None:
        plugin.announce(SeenBuild(1, release.version, 0.0, None, None, 1, 1), release)
    return plugin


def asked(
    site: Site, plugin: DevelopedPlugin, ask: Callable[[OverlaidDatabase], Awaitable[T]]
) -> T:
    async def main() -> T:
        settings = load_settings(environ=site.environment)
        counts = SourceCounts.alone("database")
        database = OverlaidDatabase(connect(settings), connect(settings), counts, plugin)
        await database.open()
        try:
            return await ask(database)
        finally:
            await database.close()

    return asyncio.run(main())


def records(site: Site, plugin: DevelopedPlugin) -> dict[str, dict[str, str | None]]:
    """Versions by slug, of each user."""
    found = asked(site, plugin, lambda it: it.read_records([UserId(ADA), UserId(BEN)]))
    return {
        user: {slug: record.version for slug, record in its.by_slug.items()}
        for user, its in found.items()
    }


def test_before_a_build_everything_is_as_in_the_tables(site: Site) -> None:
    expected = {ADA: {"Review": "1.0.0", "Eyes": "2.0.0"}, BEN: {"Review": "1.0.1"}}
    assert records(site, developed(release=None)) == expected


def test_the_records_of_one_user_have_the_plugin(site: Site) -> None:
    expected = {"Review": "1.0.0", "Eyes": "2.0.0", "Mine": "3.0.0-dev.1"}
    assert records(site, developed()) == {ADA: expected, BEN: {"Review": "1.0.1"}}


@pytest.mark.parametrize("database_id", [f"{ADA}_Mine", "odd"])
def test_a_record_is_found_by_the_id_of_its_row(empty_site: Site, database_id: str) -> None:
    empty_site.add_row(ADA, "Mine", "1.0.0", id=database_id)
    plugin = developed(database_id=database_id)
    found = asked(empty_site, plugin, lambda it: it.read_records([UserId(ADA)]))[UserId(ADA)]
    record = found.find_by_id(database_id)
    assert record is not None
    assert (record.slug, record.version) == ("Mine", "3.0.0-dev.1")
    assert asked(empty_site, plugin, lambda it: it.read_owner(database_id)) == ADA


def test_a_row_that_the_user_lacks_is_made_from_the_metadata(site: Site) -> None:
    plugins = asked(site, developed(), lambda it: it.read_plugins(UserId(ADA)))
    assert [plugin.plugin_slug for plugin in plugins] == ["Eyes", "Mine", "Review"]
    mine = plugins[1]
    assert (mine.id, mine.scope, mine.description) == (f"{ADA}_Mine", "Mine", "npm's")
    assert (mine.version, mine.bundle_location) == ("3.0.0-dev.1", "dist/remoteEntry.js")
    assert mine.enabled


def test_a_row_that_the_user_has_is_changed_as_by_an_update(empty_site: Site) -> None:
    own = '{"city":{"value":"Oslo"}}'
    row = empty_site.add_row(ADA, "Mine", "1.0.0", config_fields=own, enabled=0)
    empty_site.add_module(row, "Panel", ADA, display_name="Kept", config_fields=own)
    empty_site.add_module(row, "Gone", ADA)
    plugin = developed()
    (mine,) = asked(empty_site, plugin, lambda it: it.read_plugins(UserId(ADA)))
    assert (mine.version, mine.description) == ("3.0.0-dev.1", "About Mine")
    assert mine.config_fields == '{"city":{"default":"Rome","value":"Oslo"}}'
    assert mine.enabled, "who develops a plugin wants to see it"
    (panel,) = asked(empty_site, plugin, lambda it: it.read_modules(UserId(ADA)))
    assert (panel.name, panel.display_name, panel.icon) == ("Panel", "Kept", "new")
    assert panel.config_fields == own


def storage_of(site: Site, tmp_path: Path, *, allow_missing: bool) -> OverlaidStorage:
    snapshots = Snapshots(tmp_path / "copies", Slug("Mine"), lambda _version: False)
    return OverlaidStorage(site.plugins, developed(), snapshots, allow_missing=allow_missing)


def test_the_users_file_has_an_entry_of_the_plugin(site: Site, tmp_path: Path) -> None:
    storage = storage_of(site, tmp_path, allow_missing=False)
    assert set(storage.get_all_user_plugins(UserId(ADA))) == {"Mine", "Review", "Eyes"}
    assert set(storage.get_all_user_plugins(UserId(BEN))) == {"Review"}


@pytest.mark.parametrize(("allow_missing", "installed"), [(False, {"Mine"}), (True, set())])
def test_a_user_without_a_file_has_an_entry_unless_the_table_alone_decides(
    empty_site: Site, tmp_path: Path, allow_missing: bool, installed: set[str]
) -> None:
    storage = storage_of(empty_site, tmp_path, allow_missing=allow_missing)
    assert set(storage.get_all_user_plugins(UserId(ADA))) == installed
    assert (storage.users.read_document(UserId(ADA)) is None) == allow_missing


def test_published_versions_are_found_where_they_are(site: Site, tmp_path: Path) -> None:
    storage = storage_of(site, tmp_path, allow_missing=False)
    slug, version = Slug("Review"), Version("1.0.0")
    assert storage.shared.is_published(slug, version)
    assert storage.construct_shared_path(slug, version) == site.version_folder(slug, version)
