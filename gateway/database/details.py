"""Whole rows of the two tables, for answers that show a plugin."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.database.connections import Row
from gateway.database.tables import is_true

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class PluginDetails:
    """A whole row of `plugin`, columns under their own names.

    Those of type `Any` are as the database returns them. The first OWN_PLUGIN_COLUMNS differ
    between users; the others belong to the version.
    """

    id: str
    user_id: str
    last_updated: Any
    last_update_check: Any
    config_fields: Any
    created_at: Any
    updated_at: Any
    plugin_slug: str | None
    name: Any
    description: Any
    version: Any
    type: Any
    plugin_type: Any
    enabled: bool
    icon: Any
    category: Any
    status: Any
    official: Any
    author: Any
    compatibility: Any
    downloads: Any
    scope: Any
    bundle_method: Any
    bundle_location: Any
    is_local: Any
    long_description: Any
    source_type: Any
    source_url: Any
    update_check_url: Any
    update_available: Any
    latest_version: Any
    installation_type: Any
    permissions: Any
    messages: Any
    dependencies: Any
    required_services_runtime: Any
    endpoints_file: Any
    route_prefix: Any
    backend_dependencies: Any


@dataclass(frozen=True, slots=True)
class ModuleDetails:
    """A whole row of `module`, as `PluginDetails`; the first OWN_MODULE_COLUMNS differ."""

    id: str
    plugin_id: str
    user_id: Any
    config_fields: Any
    name: Any
    display_name: Any
    description: Any
    icon: Any
    category: Any
    enabled: bool
    priority: Any
    props: Any
    messages: Any
    required_services: Any
    dependencies: Any
    layout: Any
    tags: Any


OWN_PLUGIN_COLUMNS = 7
OWN_MODULE_COLUMNS = 4
_PLUGIN_COLUMNS = [field.name for field in fields(PluginDetails)]
_ID, _USER, _SLUG, _VERSION, _ENABLED = map(
    _PLUGIN_COLUMNS.index, ("id", "user_id", "plugin_slug", "version", "enabled")
)
"""Places in a row of `plugin`."""


def read_row(row_type: type[T], row: Row) -> T:
    """A dataclass from a row with the columns that its fields name; `enabled` is one of them."""
    names = (field.name for field in fields(row_type))
    values = dict(zip(names, row, strict=True))
    values["enabled"] = is_true(values["enabled"])
    return row_type(**values)


def sorted_by_slug(rows: Iterable[Row]) -> list[Row]:
    """The rows of `plugin` that name a plugin: SQLite also keeps BLOBs in text columns."""
    usable = [
        row for row in rows if isinstance(row[_ID], str) and isinstance(row[_SLUG], str | None)
    ]
    usable.sort(key=lambda row: (row[_SLUG] or "", row[_ID]))
    return usable


def record_columns(rows: Sequence[Row]) -> list[Row] | None:
    """The RECORD_COLUMNS of a user's whole rows (records.py).

    None if two rows have the same slug: only the table says which of them is the first.
    """
    columns: list[Row] = []
    slugs = set()
    for row in rows:
        slug, row_id = row[_SLUG], row[_ID]
        slugs.add(slug)
        odd_id = None if row_id == f"{row[_USER]}_{slug}" else row_id
        columns.append((slug, row[_VERSION], row[_ENABLED], odd_id))
    return columns if len(slugs) == len(rows) else None
