"""Whole rows of the two tables, for answers that show a plugin."""

from collections.abc import Iterable
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
_ID, _SLUG = 0, OWN_PLUGIN_COLUMNS
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
