"""Rows as the application's front end expects them. Pure: details in, JSON objects out.

The keys are BrainDrive-Core's, whose front end reads them by name. That includes inconsistencies:
`bundlelocation` beside `sourceUrl`; `id` is the slug in manifests, and the row's id elsewhere.
A JSON column that is NULL or broken becomes its default, so that one bad row breaks no response.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any

import orjson

from gateway.database.details import ModuleDetails, PluginDetails
from gateway.database.tables import is_true
from gateway.http.json_types import JsonObject
from gateway.serving.plugin_types import Module, Plugin, PluginFields, PluginInfo

_OWN_PLUGIN_KEYS = {"userId", "bundlelocation", "lastUpdated", "lastUpdateCheck", "configFields"}
_OWN_MODULE_KEYS = {"id", "pluginId", "userId", "configFields"}


def to_json(content: object) -> bytes:
    """Compact JSON. Values that JSON does not have become text: SQLite stores any value."""
    return orjson.dumps(content, default=_as_text)


def shared_plugin(plugin: PluginDetails) -> JsonObject:
    """The fields of a plugin in a manifest that are the same for all users of its version.

    Ids are left out, and the location, which changes with the files.
    """
    return _without(_OWN_PLUGIN_KEYS, _plugin_fields(plugin))


def own_plugin(
    last_updated: Any,
    last_update_check: Any,
    config_fields: Any,
    installation_metadata: Mapping[str, Any],
) -> JsonObject:
    """The fields of a plugin in a manifest that are the user's own, without ids."""
    return {
        "lastUpdated": _text(last_updated),
        "lastUpdateCheck": _iso(last_update_check),
        "configFields": _json(config_fields, {}),
        "installation_metadata": installation_metadata,
    }


def shared_module(module: ModuleDetails) -> JsonObject:
    """The fields of a module in a manifest that are the same for all users of its version, without
    ids."""
    return _without(_OWN_MODULE_KEYS, _module(module, ""))


def own_module(config_fields: Any) -> JsonObject:
    """The fields of a module in a manifest that are the user's own, without ids."""
    return {"configFields": _json(config_fields, {})}


def bare_plugin(plugin: PluginDetails) -> Plugin:
    """One plugin outside a manifest: `id` is the row's, nothing is pinned."""
    return {"id": plugin.id, **_plugin_fields(plugin)}


def module_objects(modules: Iterable[ModuleDetails], plugin_reference: str) -> list[Module]:
    """`plugin_reference` becomes `pluginId`: the slug in manifests, elsewhere the row's id."""
    return [_module(module, plugin_reference) for module in modules]


def plugin_info(plugin: PluginDetails) -> PluginInfo:
    """The field `plugin_info` of a status. Here alone `enabled` is an integer."""
    return {
        "id": plugin.id,
        "name": plugin.name,
        "version": plugin.version,
        "enabled": int(plugin.enabled),
        "created_at": _text(plugin.created_at),
        "updated_at": _text(plugin.updated_at),
    }


def relative_bundle_location(plugin: PluginDetails) -> str | None:
    """The location below the version's folder; None where it is null or an absolute URL."""
    location = plugin.bundle_location
    if not isinstance(location, str) or not location:
        return None
    if "://" in location or location.startswith("//"):
        return None
    return location.removeprefix("/")


def verbatim_bundle_location(plugin: PluginDetails) -> str | None:
    """The location in the row. If the plugin has a slug, one leading slash is dropped."""
    location = plugin.bundle_location
    if isinstance(location, str) and plugin.plugin_slug and not location.startswith("//"):
        return location.removeprefix("/")
    return _text(location)


def _plugin_fields(plugin: PluginDetails) -> PluginFields:
    return {
        "plugin_slug": plugin.plugin_slug,
        "name": plugin.name,
        "description": plugin.description,
        "version": plugin.version,
        "type": plugin.type,
        "pluginType": plugin.plugin_type,
        "enabled": plugin.enabled,
        "icon": plugin.icon,
        "category": plugin.category,
        "status": plugin.status,
        "official": _flag(plugin.official),
        "author": plugin.author,
        "lastUpdated": _text(plugin.last_updated),
        "compatibility": plugin.compatibility,
        "downloads": plugin.downloads,
        "scope": plugin.scope,
        "bundlemethod": plugin.bundle_method,
        "bundlelocation": plugin.bundle_location,
        "islocal": _flag(plugin.is_local),
        "longDescription": plugin.long_description,
        "userId": plugin.user_id,
        "sourceType": plugin.source_type,
        "sourceUrl": plugin.source_url,
        "updateCheckUrl": plugin.update_check_url,
        "lastUpdateCheck": _iso(plugin.last_update_check),
        "updateAvailable": _flag(plugin.update_available),
        "latestVersion": plugin.latest_version,
        "installationType": plugin.installation_type,
        "endpointsFile": plugin.endpoints_file,
        "routePrefix": plugin.route_prefix,
        "configFields": _json(plugin.config_fields, {}),
        "messages": _json(plugin.messages, {}),
        "dependencies": _json(plugin.dependencies, []),
        "permissions": _json(plugin.permissions, []),
        "requiredServicesRuntime": _json(plugin.required_services_runtime, []),
        "backendDependencies": _json(plugin.backend_dependencies, []),
    }


def _module(module: ModuleDetails, plugin_reference: str) -> Module:
    return {
        "id": module.id,
        "pluginId": plugin_reference,
        "name": module.name,
        "displayName": module.display_name,
        "description": module.description,
        "icon": module.icon,
        "category": module.category,
        "enabled": module.enabled,
        "priority": module.priority,
        "userId": module.user_id,
        "props": _json(module.props, {}),
        "configFields": _json(module.config_fields, {}),
        "requiredServices": _json(module.required_services, {}),
        "layout": _json(module.layout, {}),
        "dependencies": _json(module.dependencies, []),
        "tags": _json(module.tags, []),
        "messages": _json(module.messages, {"sends": [], "receives": []}),
    }


def _without(keys: Container[str], content: Mapping[str, object]) -> JsonObject:
    return {key: value for key, value in content.items() if key not in keys}


def _json(column: Any, default: Any) -> Any:
    """The value of a JSON column. Drivers return text, or the value of a column of type JSON."""
    if column is None:
        return default
    if not isinstance(column, str | bytes):
        return column
    try:
        value = orjson.loads(column)
    except orjson.JSONDecodeError:
        return default
    return default if value is None else value


def _flag(column: Any) -> bool | None:
    return None if column is None else is_true(column)


def _text(column: Any) -> str | None:
    """A date or other column as text. The application stores dates as text, PostgreSQL may not."""
    return None if column is None else _as_text(column)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _iso(column: Any) -> str | None:
    """A timestamp with `T` in it, whether the driver returned text or a datetime."""
    text = _text(column)
    return text.replace(" ", "T", 1) if text else text
