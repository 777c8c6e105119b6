"""The users of the site, and the rows of their plugins."""

from typing import Any

from tests.support.server import Server
from tests.support.site import bearer
from tests.support.urls import API, MANIFEST

DESIGNER = f"{MANIFEST}/designer"
RICH = "1" * 32
"""Has a plugin whose every column is filled."""
BARE = "2" * 32
"""Has a plugin whose every column is NULL that can be."""
BROKEN = "3" * 32
"""Has plugins whose JSON columns are broken, beside one that is well."""
PLACES = "4" * 32
"""Has plugins with all kinds of bundle locations."""
SORTED = "5" * 32
NO_FILE = "6" * 32
OLD_FILE = "7" * 32

PLUGIN_KEYS = {
    "id", "plugin_slug", "name", "description", "version", "type", "pluginType", "enabled", "icon",
    "category", "status", "official", "author", "lastUpdated", "compatibility", "downloads",
    "scope", "bundlemethod", "bundlelocation", "islocal", "longDescription", "userId",
    "sourceType", "sourceUrl", "updateCheckUrl", "lastUpdateCheck", "updateAvailable",
    "latestVersion", "installationType", "endpointsFile", "routePrefix", "configFields",
    "messages", "dependencies", "permissions", "requiredServicesRuntime", "backendDependencies",
}  # fmt: skip
MANIFEST_KEYS = PLUGIN_KEYS | {"database_id", "installation_metadata"}
MODULE_KEYS = {
    "id", "pluginId", "name", "displayName", "description", "icon", "category", "enabled",
    "priority", "userId", "props", "configFields", "requiredServices", "layout", "dependencies",
    "tags", "messages",
}  # fmt: skip
JSON_DEFAULTS: dict[str, Any] = {
    "configFields": {},
    "messages": {},
    "dependencies": [],
    "permissions": [],
    "requiredServicesRuntime": [],
    "backendDependencies": [],
}
MODULE_JSON_DEFAULTS: dict[str, Any] = {
    "props": {},
    "configFields": {},
    "requiredServices": {},
    "layout": {},
    "dependencies": [],
    "tags": [],
    "messages": {"sends": [], "receives": []},
}

RICH_COLUMNS: dict[str, Any] = {
    "name": "Rich plugin",
    "description": 'Holds everything: ümläuts, "quotes", </script>',
    "plugin_type": "collection",
    "icon": "Puzzle",
    "category": "template",
    "status": "activated",
    "official": 1,
    "author": "Somebody",
    "last_updated": "2025-03-06",
    "compatibility": "1.0.0",
    "downloads": 42,
    "scope": "RichScope",
    "bundle_method": "webpack",
    "is_local": 1,
    "long_description": "Long\nand longer",
    "source_type": "github",
    "source_url": "https://example.org/rich",
    "update_check_url": "https://example.org/rich/releases",
    "last_update_check": "2026-01-02 03:04:05.678901",
    "update_available": 1,
    "latest_version": "9.9.9",
    "installation_type": "remote",
    "endpoints_file": "endpoints.py",
    "route_prefix": "/rich",
    "config_fields": '{"theme": {"type": "select", "default": null}}',
    "messages": '{"sends": ["a"]}',
    "dependencies": '["other"]',
    "permissions": '["api.access", "storage"]',
    "required_services_runtime": '["redis"]',
    "backend_dependencies": '["numpy"]',
}
RICH_PLUGIN: dict[str, Any] = {
    "plugin_slug": "Rich",
    "name": RICH_COLUMNS["name"],
    "description": RICH_COLUMNS["description"],
    "version": "1.2.3",
    "type": "frontend",
    "pluginType": "collection",
    "enabled": True,
    "icon": "Puzzle",
    "category": "template",
    "status": "activated",
    "official": True,
    "author": "Somebody",
    "lastUpdated": "2025-03-06",
    "compatibility": "1.0.0",
    "downloads": 42,
    "scope": "RichScope",
    "bundlemethod": "webpack",
    "islocal": True,
    "longDescription": "Long\nand longer",
    "userId": RICH,
    "sourceType": "github",
    "sourceUrl": "https://example.org/rich",
    "updateCheckUrl": "https://example.org/rich/releases",
    "lastUpdateCheck": "2026-01-02T03:04:05.678901",
    "updateAvailable": True,
    "latestVersion": "9.9.9",
    "installationType": "remote",
    "endpointsFile": "endpoints.py",
    "routePrefix": "/rich",
    "configFields": {"theme": {"type": "select", "default": None}},
    "messages": {"sends": ["a"]},
    "dependencies": ["other"],
    "permissions": ["api.access", "storage"],
    "requiredServicesRuntime": ["redis"],
    "backendDependencies": ["numpy"],
}

METADATA = {"installation_type": "production", "installed_at": "2026-01-02T03:04:05"}

# Slug → (the column, what the manifest says where nothing is pinned).
LOCATIONS: dict[str, tuple[str | None, str | None]] = {
    "Plain": ("dist/remoteEntry.js", "dist/remoteEntry.js"),
    "Slashed": ("/dist/remoteEntry.js", "dist/remoteEntry.js"),
    "Flat": ("remoteEntry.js", "remoteEntry.js"),
    "Absolute": ("https://cdn.example/x/remoteEntry.js", "https://cdn.example/x/remoteEntry.js"),
    "SchemeLess": ("//cdn.example/x/remoteEntry.js", "//cdn.example/x/remoteEntry.js"),
    "Null": (None, None),
    "Unbuilt": ("dist/remoteEntry.js", "dist/remoteEntry.js"),
}


def manifest(server: Server, user: str, url: str = MANIFEST) -> dict[str, Any]:
    answer = server.get(url, bearer(user))
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def status(server: Server, user: str, slug: str) -> dict[str, Any]:
    answer = server.get(f"{API}/plugins/{slug}/status", bearer(user))
    assert answer.status == 200
    envelope = answer.json
    assert set(envelope) == {"status", "data"}
    assert envelope["status"] == "success"
    data: dict[str, Any] = envelope["data"]
    return data
