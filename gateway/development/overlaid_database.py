"""The two tables with one plugin of one user in front of them: rows as an update would leave them.

Nothing is written. Only answers about the user differ: the versions that all users hold, and the
lists for administrators, are those of the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from gateway.database.connections import DatabaseConnection, Row
from gateway.database.details import ModuleDetails, PluginDetails, sorted_by_slug
from gateway.database.plugin_database import BringRecords, PluginDatabase
from gateway.database.records import PluginRecord, UserRecords
from gateway.development.developed_plugin import DevelopedPlugin
from gateway.development.snapshots import DevelopedRelease
from gateway.lifecycle.holdings import keep_configuration
from gateway.lifecycle.releases import (
    module_changes,
    module_rows,
    plugin_changes,
    plugin_row,
)
from gateway.metrics.sources import SourceCounts
from gateway.names import UserId

_PLUGIN = [field.name for field in fields(PluginDetails)]
_MODULE = [field.name for field in fields(ModuleDetails)]


class OverlaidDatabase(PluginDatabase):
    def __init__(
        self,
        connection: DatabaseConnection,
        strangers: DatabaseConnection,
        counts: SourceCounts,
        plugin: DevelopedPlugin,
    ) -> None:
        super().__init__(connection, strangers, counts)
        self._plugin = plugin

    async def read_records(self, users: Sequence[UserId]) -> dict[UserId, UserRecords]:
        of_user = await super().read_records(users)
        plugin, release = self._plugin, self._plugin.release
        if release is not None and plugin.user in of_user:
            record = PluginRecord(plugin.slug, release.version, enabled=True)
            of_user[plugin.user] = _with_record(of_user[plugin.user], record, plugin.database_id)
        return of_user

    async def read_owner(self, database_id: str) -> UserId | None:
        if self._plugin.release is not None and database_id == self._plugin.database_id:
            return self._plugin.user
        return await super().read_owner(database_id)

    async def fetch_plugins(
        self, users: Sequence[UserId], bring_records: BringRecords | None = None
    ) -> dict[UserId, list[Row]]:
        def bring_of_others(user: UserId, records: UserRecords) -> None:
            if bring_records is not None and user != self._plugin.user:
                bring_records(user, records)

        of_user = await super().fetch_plugins(users, bring_of_others)
        release, user = self._plugin.release, self._plugin.user
        if release is not None and user in of_user:
            of_user[user] = self._with_plugin(of_user[user], release)
        return of_user

    async def fetch_modules(self, users: Sequence[UserId]) -> Sequence[Row]:
        rows = await super().fetch_modules(users)
        release = self._plugin.release
        if release is None or self._plugin.user not in users:
            return rows
        if release.changes.get("modules") is None:  # not mentioned: the rows stay
            return rows
        return self._with_modules(rows, release)

    def _with_plugin(self, rows: Sequence[Row], release: DevelopedRelease) -> list[Row]:
        plugin = self._plugin
        columns = [dict(zip(_PLUGIN, row, strict=True)) for row in rows]
        present = next((row for row in columns if row["plugin_slug"] == plugin.slug), None)
        if present is None:
            made_at, version = release.made_at, release.version
            developed = plugin_row(release.metadata, plugin.user, plugin.slug, version, made_at)
        else:
            changes = plugin_changes(release.changes, release.version, release.made_at)
            keep_configuration(changes, present)
            developed = {**present, **changes, "enabled": True}
        developed["bundle_location"] = release.entry
        others = [row for row in columns if row["plugin_slug"] != plugin.slug]
        return sorted_by_slug(_in_order(row, _PLUGIN) for row in (*others, developed))

    def _with_modules(self, rows: Sequence[Row], release: DevelopedRelease) -> list[Row]:
        plugin, made_at = self._plugin, release.made_at
        columns = [dict(zip(_MODULE, row, strict=True)) for row in rows]
        others = [row for row in columns if row["plugin_id"] != plugin.database_id]
        present = {row["name"]: row for row in columns if row["plugin_id"] == plugin.database_id}
        stated = {module["name"]: module for module in release.changes["modules"]}
        developed = module_rows(release.changes, plugin.user, plugin.database_id, made_at)
        for number, row in enumerate(developed):
            if (own := present.get(row["name"])) is not None:
                changes = module_changes(stated[row["name"]], made_at)
                keep_configuration(changes, own)
                developed[number] = {**own, **changes}
        return [_in_order(row, _MODULE) for row in (*others, *developed)]


def _with_record(records: UserRecords, record: PluginRecord, database_id: str) -> UserRecords:
    by_slug = {**records.by_slug, record.slug: record}
    if records.by_id is None:
        return UserRecords(records.user, by_slug, None)
    by_id = {
        id_: record if present.slug == record.slug else present
        for id_, present in records.by_id.items()
    }
    return UserRecords(records.user, by_slug, {**by_id, database_id: record})


def _in_order(columns: Mapping[str, Any], names: Sequence[str]) -> Row:
    return tuple(columns.get(name) for name in names)
