"""Questions about all users, for commands. Texts of the tables are not parsed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.database.connections import parameters
from gateway.database.details import read_row
from gateway.database.records import PluginRecord, SharedRecords
from gateway.database.tables import Tables
from gateway.names import UserId, parse_or_none, parse_user_id

_USERS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class PluginRow:
    """The columns of `plugin` that commands compare with the disk, as in `PluginDetails`."""

    id: str
    plugin_slug: str | None
    version: Any
    enabled: bool
    installation_type: Any
    source_url: Any
    created_at: Any
    user_id: str


@dataclass(frozen=True, slots=True)
class BundleRow:
    """The columns of `plugin` that name the file which pages load first, as in `PluginDetails`."""

    id: str
    plugin_slug: str | None
    enabled: bool
    bundle_location: Any
    user_id: str


@dataclass(frozen=True, slots=True)
class StrayModule:
    """A row of `module` whose plugin does not exist, or belongs to another user."""

    id: str
    plugin_id: str
    user_id: Any
    owner: str | None
    """The user of its plugin; None if there is no such plugin."""

    @property
    def key(self) -> tuple[str, str]:
        return self.id, self.plugin_id


class Survey:
    """Asks the tables. Every method raises SourceUnavailable if it cannot."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._records = SharedRecords()

    async def count_rows(self) -> int:
        rows = await self._tables.fetch("SELECT count(*) FROM plugin")
        return int(rows[0][0])

    async def has_slug_index(self) -> bool:
        return await self._tables.connection.has_index("plugin", "plugin_slug")

    async def read_all_versions(self) -> set[tuple[str, str]]:
        """Slug and version, as stored, that any row names, enabled or not."""
        rows = await self._tables.fetch("SELECT DISTINCT plugin_slug, version FROM plugin")
        return {(str(row[0]), str(row[1])) for row in rows}

    async def count_users(self) -> int:
        rows = await self._tables.fetch("SELECT count(DISTINCT user_id) FROM plugin")
        return int(rows[0][0])

    async def read_user_ids(self, after: str | None, limit: int) -> list[str]:
        """The next users who have rows, in the order of the database."""
        beyond, values = ("IS NOT NULL", ()) if after is None else ("> $2", (after,))
        rows = await self._tables.fetch(
            "SELECT DISTINCT user_id FROM plugin"  # noqa: S608
            f" WHERE user_id {beyond} ORDER BY user_id LIMIT $1",
            limit,
            *values,
        )
        return [row[0] for row in rows]

    async def read_rows(self, users: Sequence[str]) -> dict[str, list[PluginRow]]:
        """The rows of these users, by user, sorted by slug and id; one query."""
        if not users:
            return {}  # PostgreSQL refuses `IN ()`
        columns = self._tables.select_list("plugin", PluginRow)
        by_user: dict[str, list[PluginRow]] = {user: [] for user in users}
        for values in await self._tables.fetch(
            f"SELECT {columns} FROM plugin"  # noqa: S608
            f" WHERE user_id IN ({parameters(users)}) ORDER BY plugin_slug, id",
            *users,
        ):
            row = read_row(PluginRow, values)
            if not isinstance(row.id, str):
                row = replace(row, id=str(row.id))
            by_user[row.user_id].append(row)
        return by_user

    async def read_bundles(self, users: Sequence[str]) -> list[BundleRow]:
        """The rows of these users, sorted by user, slug and id."""
        if not users:
            return []
        columns = self._tables.select_list("plugin", BundleRow)
        rows = await self._tables.fetch(
            f"SELECT {columns} FROM plugin WHERE user_id IN ({parameters(users)})"  # noqa: S608
            " ORDER BY user_id, plugin_slug, id",
            *users,
        )
        return [read_row(BundleRow, row) for row in rows]

    async def read_config_fields(self, users: Sequence[str]) -> dict[str, list[Any]]:
        """The column `config_fields` of the modules of these users' plugins, by plugin id."""
        by_plugin: dict[str, list[Any]] = {}
        if users and self._tables.has_column("module", "config_fields"):
            for plugin_id, config_fields in await self._tables.fetch(
                "SELECT plugin_id, config_fields FROM module WHERE plugin_id IN"  # noqa: S608
                f" (SELECT id FROM plugin WHERE user_id IN ({parameters(users)}))",
                *users,
            ):
                by_plugin.setdefault(plugin_id, []).append(config_fields)
        return by_plugin

    async def read_stray_modules(self, after: StrayModule | None, limit: int) -> list[StrayModule]:
        """The next modules without a plugin, or of another user than their plugin."""
        has_user = self._tables.has_column("module", "user_id")
        user = "module.user_id" if has_user else "plugin.user_id"
        beyond = "" if after is None else "AND (module.id, module.plugin_id) > ($2, $3)"
        values = () if after is None else after.key
        rows = await self._tables.fetch(
            f"SELECT module.id, module.plugin_id, {user}, plugin.user_id"  # noqa: S608
            " FROM module LEFT JOIN plugin ON plugin.id = module.plugin_id"
            f" WHERE (plugin.id IS NULL OR {user} <> plugin.user_id) {beyond}"
            " ORDER BY module.id, module.plugin_id LIMIT $1",
            limit,
            *values,
        )
        return [StrayModule(*row) for row in rows]

    async def read_all_records(self) -> AsyncIterator[list[tuple[UserId, PluginRecord]]]:
        """Every usable row with its user, sorted, for some users at a time: no query takes longer
        on a larger site.
        """
        after = None
        while users := await self.read_user_ids(after, _USERS_AT_ONCE):
            rows = await self._tables.fetch(
                "SELECT plugin_slug, version, enabled, user_id FROM plugin"
                " WHERE user_id >= $1 AND user_id <= $2",
                users[0],
                users[-1],
            )
            pairs = [
                (user, record)
                for *columns, user_text in rows
                if (user := parse_or_none(parse_user_id, user_text)) is not None
                if (record := self._records.record(*columns)) is not None
            ]
            yield sorted(pairs, key=lambda pair: (pair[0], pair[1].slug))
            after = users[-1]
