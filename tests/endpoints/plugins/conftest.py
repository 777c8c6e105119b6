"""A site with full, bare and broken rows."""

from typing import Any

import pytest

from tests.endpoints.plugins.rows import (
    BARE,
    BROKEN,
    LOCATIONS,
    NO_FILE,
    OLD_FILE,
    PLACES,
    RICH,
    RICH_COLUMNS,
    SORTED,
)
from tests.support.server import server_of
from tests.support.site import Site, populated
from tests.support.urls import ENTRY

ODD_FILE = "8" * 32

PLUGIN_JSON_COLUMNS = (
    "config_fields", "messages", "dependencies", "permissions", "required_services_runtime",
    "backend_dependencies",
)  # fmt: skip
MODULE_JSON_COLUMNS = (
    "props", "config_fields", "required_services", "layout", "dependencies", "tags", "messages",
)  # fmt: skip
NULLABLE_COLUMNS = (
    "plugin_type", "icon", "category", "status", "author", "last_updated", "compatibility",
    "downloads", "scope", "bundle_method", "bundle_location", "long_description", "source_type",
    "source_url", "update_check_url", "last_update_check", "latest_version", "installation_type",
    "endpoints_file", "route_prefix", "created_at", "updated_at", *PLUGIN_JSON_COLUMNS,
)  # fmt: skip


RICH_MODULE_COLUMNS: dict[str, Any] = {
    "display_name": "The widget",
    "description": "A module",
    "icon": "Settings",
    "category": "Configuration",
    "priority": 2,
    "props": '{"size": 1}',
    "config_fields": '{"refresh_interval": {"type": "number", "default": null}}',
    "messages": "{}",
    "required_services": '{"theme": {"methods": ["getCurrentTheme"], "version": "1.0.0"}}',
    "dependencies": '["a"]',
    "layout": '{"minWidth": 6}',
    "tags": '["settings"]',
}


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = populated(tmp_path_factory.mktemp("site"))
    site.publish("Rich", "1.2.3")
    row_id = site.give(RICH, "Rich", "1.2.3", **RICH_COLUMNS)
    site.add_module(row_id, "Widget", RICH, **RICH_MODULE_COLUMNS)
    site.add_module(row_id, "Hidden", RICH, enabled=0)

    site.publish("Bare", "1.0.0")
    bare = dict.fromkeys(NULLABLE_COLUMNS)
    row_id = site.give(BARE, "Bare", "1.0.0", **bare, update_available=None)
    site.add_module(row_id, "Bare", BARE, display_name=None, priority=None)

    for number, broken in enumerate(("{", "not json", "", "[1,", "{'a': 1}")):
        row_id = site.give(
            BROKEN, f"Broken{number}", "1.0.0", **dict.fromkeys(PLUGIN_JSON_COLUMNS, broken)
        )
        site.add_module(row_id, "Module", BROKEN, **dict.fromkeys(MODULE_JSON_COLUMNS, broken))
    site.add_module(site.give(BROKEN, "Well", "1.0.0"), "Module", BROKEN, props='{"a": 1}')

    for slug, (location, _) in LOCATIONS.items():
        if slug != "Unbuilt":
            site.publish(slug, "1.0.0", {ENTRY: f"{slug} entry", "remoteEntry.js": f"{slug} entry"})
        site.give(PLACES, slug, "1.0.0", bundle_location=location)

    for slug in ("banana", "Apple", "apple", "Zebra", "_under", "10", "9"):
        site.give(SORTED, slug, "1.0.0")

    site.add_row(NO_FILE, "Review", "1.0.0")
    site.add_row(NO_FILE, "", "1.0.0", id=f"{NO_FILE}_", bundle_location="/dist/remoteEntry.js")

    for slug in ("Review", "Eyes", "Plain", "Rich"):
        site.add_row(OLD_FILE, slug, "1.2.3" if slug == "Rich" else "1.0.0")
    site.write_installations(
        OLD_FILE,
        {
            "Review": {
                "version": "6.6.6",
                "shared_path": "/elsewhere",
                "installed_at": "2025-06-16T10:11:12.131415",
                "enabled": False,
                "user_config": {"theme": "dark"},
                "installation_metadata": {"migrated_from": "x", "installation_type": "migrated"},
            },
            "Eyes": {},
            "Plain": None,
            "Unheard-of": {"installation_metadata": {}},
        },
    )
    site.add_row(ODD_FILE, "Review", "1.0.0")
    return site


lenient = server_of(
    {
        "GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow",
        "GATEWAY__HTTP__PIN_MANIFEST": "false",
    },
    scope="package",
)
"""The same site; the table decides for users without a file, and nothing is pinned."""
