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
from gateway.lifecycle.rows import (
    Row,
    insert_statement,
    module_changes,
    module_rows,
    plugin_changes,
    plugin_row,
    update_statement,
)
from gateway.lifecycle.targets import Target
from gateway.names import Slug, UserId

Configurations = dict[str, str]
"""The text of `config_fields` by module name."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Rows as they are."""

    user: UserId
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
    candidates = await rows.fetch(
        f"SELECT id, plugin_slug, version, enabled, {configuration} FROM plugin"  # noqa: S608
        " WHERE user_id = :user AND (plugin_slug = :plugin OR id = :plugin)",
        {"user": user, "plugin": plugin},
    )
    if not candidates:
        return None
    row = next((row for row in candidates if row["plugin_slug"] == plugin), candidates[0])
    configuration = await _configuration(rows, "module")
    modules = await rows.fetch(
        f"SELECT id, plugin_id, name, {configuration} FROM module WHERE plugin_id = :id",  # noqa: S608
        {"id": row["id"]},
    )
    return Holding(user, row, {str(module["name"]): module for module in modules})


async def insert_holding(
    rows: Transaction, user: UserId, slug: Slug, target: Target, now: datetime
) -> Holding:
    """New rows, made from the version's metadata."""
    row = plugin_row(target.metadata, user, slug, target.version, now)
    await _insert(rows, "plugin", row)
    for module in module_rows(target.metadata, user, row["id"], now):
        await _insert(rows, "module", module)
    return Holding(user, row)


async def change_version(
    rows: Transaction, holding: Holding, target: Target, kept: Configurations, now: datetime
) -> Configurations:
    """Makes the rows those of another version.

    `kept`: configurations for modules that the version brings back. Returns the configurations
    of modules that it does not have, to be kept for a later change.
    """
    changes = plugin_changes(target.metadata, target.version, now)
    _keep_configuration(changes, holding.plugin)
    await _update(rows, "plugin", changes, {"id": holding.id})
    modules = target.metadata.get("modules")
    if modules is None:  # the metadata says nothing of modules: they stay
        return {}
    stated = {module["name"]: module for module in modules}
    for row in module_rows(target.metadata, holding.user, holding.id, now):
        name = row["name"]
        if (present := holding.modules.get(name)) is not None:
            await _update_module(rows, present, module_changes(stated[name], now))
        else:
            _keep_configuration(row, {"config_fields": kept.get(name)})
            await _insert(rows, "module", row)
    return await _delete_modules(
        rows, [row for name, row in holding.modules.items() if name not in stated]
    )


async def _update_module(rows: Transaction, present: Row, changes: Row) -> None:
    _keep_configuration(changes, present)
    await _update(rows, "module", changes, _module_key(present))


async def _delete_modules(rows: Transaction, modules: list[Row]) -> Configurations:
    """Returns their configurations."""
    for row in modules:
        await rows.execute(
            "DELETE FROM module WHERE id = :id AND plugin_id = :plugin_id", _module_key(row)
        )
    return {str(row["name"]): row["config_fields"] for row in modules if row["config_fields"]}


def _module_key(row: Row) -> Row:
    return {"id": row["id"], "plugin_id": row["plugin_id"]}


async def change_enabled(
    rows: Transaction, holding: Holding, *, enabled: bool, now: datetime
) -> None:
    changes = {"enabled": enabled, "updated_at": now.strftime("%Y-%m-%d %H:%M:%S")}
    await _update(rows, "plugin", changes, {"id": holding.id})


async def delete_holding(rows: Transaction, holding: Holding) -> None:
    await rows.execute("DELETE FROM module WHERE plugin_id = :id", {"id": holding.id})
    await rows.execute("DELETE FROM plugin WHERE id = :id", {"id": holding.id})


def _keep_configuration(changes: Row, present: Mapping[str, Any]) -> None:
    """The user's values win over those of the version; new fields of the version are added.

    A text that gets no new field, or that is no JSON object, stays as it is.
    """
    text = present.get("config_fields")
    if not text:
        return
    stated, own = _value(changes.get("config_fields")), _value(text)
    changes["config_fields"] = text
    if isinstance(stated, dict) and isinstance(own, dict):
        merged = {**stated, **{name: _merged(stated.get(name), own[name]) for name in own}}
        if merged != own:
            # Not orjson: the user's numbers may have more than 64 bits.
            changes["config_fields"] = json.dumps(merged, separators=(",", ":"))


def _merged(stated: Any, own: Any) -> Any:
    """One field: keys that the version adds to its description join the user's."""
    return {**stated, **own} if isinstance(stated, dict) and isinstance(own, dict) else own


def _value(text: Any) -> Any:
    """What a JSON column holds; None for NULL and for broken JSON."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


async def _configuration(rows: Transaction, table: str) -> str:
    """The column; NULL if an older migration of the application lacks it."""
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
