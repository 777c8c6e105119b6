"""Rows of the two tables, made from a version's metadata."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from gateway.database.connections import parameters
from gateway.database.transactions import Statement
from gateway.disk.metadata import MODULE_TEXTS, PLUGIN_TEXTS
from gateway.names import Slug, UserId, Version

Columns = dict[str, Any]
"""A row, or a part of one, by column name."""

_PLUGIN_JSON = (
    "permissions", "config_fields", "messages", "dependencies", "required_services_runtime",
    "backend_dependencies",
)  # fmt: skip
_MODULE_JSON = (
    "props", "config_fields", "messages", "required_services", "dependencies", "layout", "tags",
)  # fmt: skip


def database_id(user: UserId, slug: Slug) -> str:
    """The id that the application gives to a new row of `plugin`."""
    return f"{user}_{slug}"


def plugin_row(
    metadata: Mapping[str, Any], user: UserId, slug: Slug, version: Version, now: datetime
) -> Columns:
    """A new row of `plugin`."""
    return {
        "id": database_id(user, slug),
        "plugin_slug": slug,
        "user_id": user,
        "enabled": True,
        "status": "activated",
        "official": bool(metadata.get("official", False)),
        "is_local": bool(metadata.get("is_local", False)),
        "downloads": 0,
        "installation_type": "local",
        "created_at": date_text(now),
        **dict.fromkeys((*PLUGIN_TEXTS, *_PLUGIN_JSON)),
        "type": "frontend",
        "name": slug,
        "description": "",
        **plugin_changes(metadata, version, now),
    }


def plugin_changes(metadata: Mapping[str, Any], version: Version, now: datetime) -> Columns:
    """The columns of `plugin` that a move to another version changes: those in its metadata."""
    return {
        "version": version,
        "update_available": False,
        "last_updated": date_text(now),
        "updated_at": date_text(now),
        **_columns_in(metadata, PLUGIN_TEXTS, _PLUGIN_JSON),
    }


def module_rows(
    metadata: Mapping[str, Any], user: UserId, plugin_id: str, now: datetime
) -> list[Columns]:
    """New rows of `module`, one for each of the metadata's `modules`."""
    return [
        {
            "id": f"{plugin_id}_{module['name']}",
            "plugin_id": plugin_id,
            "user_id": user,
            "enabled": bool(module.get("enabled", True)),
            "created_at": date_text(now),
            **dict.fromkeys((*MODULE_TEXTS, "priority", *_MODULE_JSON)),
            **module_changes(module, now),
        }
        for module in metadata.get("modules") or ()
    ]


def module_changes(module: Mapping[str, Any], now: datetime) -> Columns:
    """The columns of `module` that a move to another version changes: those in its metadata."""
    return {
        "updated_at": date_text(now),
        **_columns_in(module, (*MODULE_TEXTS, "priority"), _MODULE_JSON),
    }


def _columns_in(
    metadata: Mapping[str, Any], names: Iterable[str], json_names: Iterable[str]
) -> Columns:
    """The columns that the metadata gives a value; those in `json_names` as JSON text."""
    columns = {name: metadata[name] for name in names if metadata.get(name) is not None}
    return columns | {
        name: orjson.dumps(metadata[name]).decode()
        for name in json_names
        if metadata.get(name) is not None
    }


def date_text(now: datetime) -> str:
    """The form in which the application writes a date."""
    return now.strftime("%Y-%m-%d %H:%M:%S")


def insert_statement(table: str, row: Columns) -> Statement:
    text = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({parameters(row)})"  # noqa: S608 (our own names)
    return text, tuple(row.values())


def update_statement(table: str, changes: Columns, key: Columns) -> Statement:
    """UPDATE of the row that has the values of `key`."""
    names = [f"{name} = ${number}" for number, name in enumerate((*changes, *key), 1)]
    assignments, conditions = names[: len(changes)], names[len(changes) :]
    text = f"UPDATE {table} SET {', '.join(assignments)} WHERE {' AND '.join(conditions)}"  # noqa: S608 (our own names)
    return text, (*changes.values(), *key.values())
