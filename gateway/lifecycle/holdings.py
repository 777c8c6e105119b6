"""A holding: a user's row of one plugin, and the rows of its modules.

All changes run inside a transaction that the caller commits. The user's configuration, which is
the `config_fields` of existing rows, survives every change except the removal.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.database.transactions import Transaction
from gateway.lifecycle.releases import (
    Columns,
    Release,
    date_text,
    insert_statement,
    module_changes,
    module_rows,
    plugin_changes,
    plugin_row,
    update_statement,
)
from gateway.names import Slug, UserId

Configurations = dict[str, str]
"""The text of `config_fields` by module name."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Rows as they are in the tables."""

    user: UserId
    plugin: Columns
    modules: Mapping[str, Columns] = field(default_factory=dict)
    """By name."""

    @property
    def id(self) -> str:
        return str(self.plugin["id"])

    @property
    def version(self) -> str:
        return str(self.plugin["version"])


async def read_holding(transaction: Transaction, user: UserId, plugin: str) -> Holding | None:
    """The user's row, by slug or database id, and its modules."""
    configuration = await _configuration(transaction, "plugin")
    candidates = await transaction.fetch(
        f"SELECT id, plugin_slug, version, enabled, {configuration} FROM plugin"  # noqa: S608
        " WHERE user_id = $1 AND (plugin_slug = $2 OR id = $2)",
        user,
        plugin,
    )
    if not candidates:
        return None
    row = next((row for row in candidates if row["plugin_slug"] == plugin), candidates[0])
    configuration = await _configuration(transaction, "module")
    modules = await transaction.fetch(
        f"SELECT id, plugin_id, name, {configuration} FROM module WHERE plugin_id = $1",  # noqa: S608
        row["id"],
    )
    return Holding(user, row, {str(module["name"]): module for module in modules})


async def insert_holding(
    transaction: Transaction, user: UserId, slug: Slug, release: Release, now: datetime
) -> Holding:
    """New rows, made from the version's metadata."""
    row = plugin_row(release.metadata, user, slug, release.version, now)
    await _insert(transaction, "plugin", row)
    for module in module_rows(release.metadata, user, row["id"], now):
        await _insert(transaction, "module", module)
    return Holding(user, row)


async def change_version(
    transaction: Transaction,
    holding: Holding,
    release: Release,
    kept: Configurations,
    now: datetime,
) -> Configurations:
    """Makes the rows those of another version.

    `kept`: configurations for modules that the version brings back. Returns the configurations
    of modules that it does not have, to be kept for a later change.
    """
    changes = plugin_changes(release.metadata, release.version, now)
    keep_configuration(changes, holding.plugin)
    await _update(transaction, "plugin", changes, {"id": holding.id})
    modules = release.metadata.get("modules")
    if modules is None:  # the metadata does not mention modules: the rows stay
        return {}
    by_name = {module["name"]: module for module in modules}
    for row in module_rows(release.metadata, holding.user, holding.id, now):
        name = row["name"]
        if (present := holding.modules.get(name)) is not None:
            await _update_module(transaction, present, module_changes(by_name[name], now))
        else:
            keep_configuration(row, {"config_fields": kept.get(name)})
            await _insert(transaction, "module", row)
    return await _delete_modules(
        transaction, [row for name, row in holding.modules.items() if name not in by_name]
    )


async def _update_module(transaction: Transaction, present: Columns, changes: Columns) -> None:
    keep_configuration(changes, present)
    key = {"id": present["id"], "plugin_id": present["plugin_id"]}
    await _update(transaction, "module", changes, key)


async def _delete_modules(transaction: Transaction, modules: list[Columns]) -> Configurations:
    """Returns their configurations."""
    for row in modules:
        await transaction.execute(
            "DELETE FROM module WHERE id = $1 AND plugin_id = $2", row["id"], row["plugin_id"]
        )
    return {str(row["name"]): row["config_fields"] for row in modules if row["config_fields"]}


async def change_enabled(
    transaction: Transaction, holding: Holding, *, enabled: bool, now: datetime
) -> None:
    changes = {"enabled": enabled, "updated_at": date_text(now)}
    await _update(transaction, "plugin", changes, {"id": holding.id})


async def delete_holding(transaction: Transaction, holding: Holding) -> None:
    await transaction.execute("DELETE FROM module WHERE plugin_id = $1", holding.id)
    await transaction.execute("DELETE FROM plugin WHERE id = $1", holding.id)


def keep_configuration(changes: Columns, present: Mapping[str, Any]) -> None:
    """The user's values win over those of the version; new fields of the version are added.

    A text that gets no new field, or that is no JSON object, stays as it is.
    """
    text = present.get("config_fields")
    if not text:
        return
    new, own = _value(changes.get("config_fields")), _value(text)
    changes["config_fields"] = text
    if isinstance(new, dict) and isinstance(own, dict):
        merged = {**new, **{name: _merged(new.get(name), own[name]) for name in own}}
        if merged != own:
            # Not orjson: the user's numbers may have more than 64 bits.
            changes["config_fields"] = json.dumps(merged, separators=(",", ":"))


def _merged(new: Any, own: Any) -> Any:
    """One field: keys that the version adds to its description join the user's."""
    return {**new, **own} if isinstance(new, dict) and isinstance(own, dict) else own


def _value(text: Any) -> Any:
    """What a JSON column holds; None for NULL and for broken JSON."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


async def _configuration(transaction: Transaction, table: str) -> str:
    """The column; NULL if an older migration of the application lacks it."""
    present = "config_fields" in await transaction.columns(table)
    return "config_fields" if present else "NULL AS config_fields"


async def _insert(transaction: Transaction, table: str, row: Columns) -> None:
    row = _present(row, await transaction.columns(table))
    statement, values = insert_statement(table, row)
    await transaction.execute(statement, *values)


async def _update(transaction: Transaction, table: str, changes: Columns, key: Columns) -> None:
    changes = _present(changes, await transaction.columns(table))
    if changes:
        statement, values = update_statement(table, changes, key)
        await transaction.execute(statement, *values)


def _present(row: Columns, columns: frozenset[str]) -> Columns:
    """Without the columns that older migrations of the application lack."""
    return {name: value for name, value in row.items() if name in columns}
