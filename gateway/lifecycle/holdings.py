"""What a user holds of one plugin in the tables: its row and its modules' rows.

Changed inside a transaction that the caller commits. The user's configuration, the
`config_fields` of rows that are there, survives every change but the removal.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.database.connections import Transaction
from gateway.disk.metadata import Metadata
from gateway.lifecycle.rows import (
    Row,
    insert_statement,
    module_changes,
    module_rows,
    plugin_changes,
    plugin_row,
    update_statement,
)
from gateway.names import Slug, UserId, Version

Configurations = dict[str, str]
"""The text of `config_fields` by module name."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Rows as they are."""

    plugin: Row
    modules: Mapping[str, Row] = field(default_factory=dict)
    """By name."""

    @property
    def id(self) -> str:
        return str(self.plugin["id"])

    @property
    def version(self) -> str:
        return str(self.plugin["version"])


async def read_holding(rows: Transaction, user: UserId, plugin: str) -> Holding | None:
    """The user's row, by slug or database id, and its modules."""
    configuration = await _configuration(rows, "plugin")
    found = await rows.fetch(
        f"SELECT id, plugin_slug, version, enabled, {configuration} FROM plugin"  # noqa: S608
        " WHERE user_id = :user AND (plugin_slug = :plugin OR id = :plugin)",
        {"user": user, "plugin": plugin},
    )
    if not found:
        return None
    row = next((row for row in found if row["plugin_slug"] == plugin), found[0])
    configuration = await _configuration(rows, "module")
    modules = await rows.fetch(
        f"SELECT id, plugin_id, name, {configuration} FROM module WHERE plugin_id = :id",  # noqa: S608
        {"id": row["id"]},
    )
    return Holding(row, {str(module["name"]): module for module in modules})


async def insert_holding(
    rows: Transaction,
    user: UserId,
    slug: Slug,
    version: Version,
    metadata: Metadata,
    now: datetime,
) -> Holding:
    """New rows, made from the version's metadata."""
    row = plugin_row(metadata, user, slug, version, now)
    await _insert(rows, "plugin", row)
    for module in module_rows(metadata, user, row["id"], now):
        await _insert(rows, "module", module)
    return Holding(row)


async def change_version(
    rows: Transaction,
    holding: Holding,
    user: UserId,
    version: Version,
    metadata: Metadata,
    kept: Configurations,
    now: datetime,
) -> Configurations:
    """Makes the rows those of another version; returns the configuration of modules that it
    does not have, for `kept` of a later change that brings them back.
    """
    changes = plugin_changes(metadata, version, now)
    _keep_configuration(changes, holding.plugin)
    await _update(rows, "plugin", changes, {"id": holding.id})
    if metadata.get("modules") is None:  # it says nothing of modules: they stay
        return {}
    stated = {module["name"]: module for module in metadata["modules"]}
    for row in module_rows(metadata, user, holding.id, now):
        name = row["name"]
        there = holding.modules.get(name)
        if there is None:
            _keep_configuration(row, {"config_fields": kept.get(name)})
            await _insert(rows, "module", row)
        else:
            changes = module_changes(stated[name], now)
            _keep_configuration(changes, there)
            key = {"id": there["id"], "plugin_id": there["plugin_id"]}
            await _update(rows, "module", changes, key)
    gone = [row for name, row in holding.modules.items() if name not in stated]
    for row in gone:
        await rows.execute(
            "DELETE FROM module WHERE id = :id AND plugin_id = :plugin_id",
            {"id": row["id"], "plugin_id": row["plugin_id"]},
        )
    return {str(row["name"]): row["config_fields"] for row in gone if row["config_fields"]}


async def change_enabled(
    rows: Transaction, holding: Holding, *, enabled: bool, now: datetime
) -> None:
    changes = {"enabled": enabled, "updated_at": now.strftime("%Y-%m-%d %H:%M:%S")}
    await _update(rows, "plugin", changes, {"id": holding.id})


async def delete_holding(rows: Transaction, holding: Holding) -> None:
    await rows.execute("DELETE FROM module WHERE plugin_id = :id", {"id": holding.id})
    await rows.execute("DELETE FROM plugin WHERE id = :id", {"id": holding.id})


def _keep_configuration(changes: Row, there: Mapping[str, Any]) -> None:
    """The user's values win over those of the version; new fields of the version are added.

    Text that no field joins, or that is no JSON object, stays as it is.
    """
    present = there.get("config_fields")
    if not present:
        return
    stated, held = _value(changes.get("config_fields")), _value(present)
    changes["config_fields"] = present
    if isinstance(stated, dict) and isinstance(held, dict):
        merged = {**stated, **{name: _merged(stated.get(name), held[name]) for name in held}}
        if merged != held:
            # Not orjson: the user's numbers may have more than 64 bits.
            changes["config_fields"] = json.dumps(merged, separators=(",", ":"))


def _merged(stated: Any, held: Any) -> Any:
    """One field: a description that the version has added joins what the user has."""
    return {**stated, **held} if isinstance(stated, dict) and isinstance(held, dict) else held


def _value(text: Any) -> Any:
    """What a JSON column holds; None for NULL and for broken JSON."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


async def _configuration(rows: Transaction, table: str) -> str:
    """The column, or NULL where an older migration of the application lacks it."""
    present = "config_fields" in await rows.columns(table)
    return "config_fields" if present else "NULL AS config_fields"


async def _insert(rows: Transaction, table: str, row: Row) -> None:
    row = _present(row, await rows.columns(table))
    await rows.execute(insert_statement(table, row), row)


async def _update(rows: Transaction, table: str, changes: Row, key: Mapping[str, Any]) -> None:
    changes = _present(changes, await rows.columns(table))
    if not changes:
        return
    await rows.execute(update_statement(table, changes), {**changes, **key})


def _present(row: Row, columns: frozenset[str]) -> Row:
    """Without the columns that older migrations of the application lack."""
    return {name: value for name, value in row.items() if name in columns}
