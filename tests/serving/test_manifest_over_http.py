"""The JSON endpoints of a user's plugins, held against what the application's front end reads."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from gateway.database.tables import REQUIRED_COLUMNS
from tests.support.server import Answer, Server, serving
from tests.support.site import ADA, BEN, CLEO, NOBODY, Site, bearer, populated
from tests.support.urls import API, ENTRY, MANIFEST, own, public
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

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
ODD_FILE = "8" * 32

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
RICH_MODULE: dict[str, Any] = {
    "id": f"{RICH}_Rich_Widget",
    "name": "Widget",
    "displayName": "The widget",
    "description": "A module",
    "icon": "Settings",
    "category": "Configuration",
    "enabled": True,
    "priority": 2,
    "userId": RICH,
    "props": {"size": 1},
    "configFields": {"refresh_interval": {"type": "number", "default": None}},
    "requiredServices": {"theme": {"methods": ["getCurrentTheme"], "version": "1.0.0"}},
    "layout": {"minWidth": 6},
    "dependencies": ["a"],
    "tags": ["settings"],
    "messages": {},
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
PINNABLE = ("Plain", "Slashed", "Flat")
ODD_FILES: dict[str, bytes] = {
    "no JSON": b"{not json",
    "half written": b'{"Review": {"installation_meta',
    "empty": b"",
    "a list": b'["Review"]',
    "a text": b'"Review"',
    "null": b"null",
    "not UTF-8": b'{"Review\xff": {}}',
}

every_endpoint = pytest.mark.parametrize(
    "url",
    [
        MANIFEST,
        DESIGNER,
        f"{API}/plugins/by-slug/Rich",
        f"{API}/plugins/{RICH}_Rich/info",
        f"{API}/plugins/{RICH}_Rich/modules",
        f"{API}/plugins/{RICH}_Rich/modules/{RICH}_Rich_Widget",
        f"{API}/plugins/Rich/status",
    ],
)


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def lenient(site: Site) -> Iterator[Server]:
    """The same site; the table decides for users without a file, and nothing is pinned."""
    settings = {
        "GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow",
        "GATEWAY__HTTP__PIN_MANIFEST": "false",
    }
    with serving({**site.environment, **settings}) as running:
        yield running


def manifest(server: Server, user: str, url: str = MANIFEST) -> dict[str, Any]:
    answer = server.get(url, bearer(user))
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


# The manifest


def test_a_manifest_entry_has_all_keys_with_the_rows_values(server: Server) -> None:
    (entry,) = manifest(server, RICH).values()
    assert set(entry) == MANIFEST_KEYS
    assert {key: entry[key] for key in RICH_PLUGIN} == RICH_PLUGIN
    assert entry["id"] == "Rich"
    assert entry["database_id"] == f"{RICH}_Rich"
    assert entry["installation_metadata"] == METADATA


def test_booleans_are_booleans_and_not_the_databases_integers(server: Server) -> None:
    body = server.get(MANIFEST, bearer(RICH)).body
    for key in ("enabled", "official", "islocal", "updateAvailable"):
        assert f'"{key}":true'.encode() in body


def test_nulls_in_the_row_are_nulls_in_the_manifest(server: Server) -> None:
    (entry,) = manifest(server, BARE).values()
    assert set(entry) == MANIFEST_KEYS
    for key in ("pluginType", "icon", "category", "status", "author", "lastUpdated", "downloads",
                "scope", "bundlemethod", "bundlelocation", "longDescription", "sourceType",
                "sourceUrl", "updateCheckUrl", "lastUpdateCheck", "latestVersion",
                "installationType", "endpointsFile", "routePrefix"):  # fmt: skip
        assert entry[key] is None, key
    assert entry["updateAvailable"] in (None, False)
    assert {key: entry[key] for key in JSON_DEFAULTS} == JSON_DEFAULTS


def test_broken_json_columns_become_their_defaults_and_spoil_nothing(server: Server) -> None:
    found = manifest(server, BROKEN, DESIGNER)
    assert list(found) == [*(f"Broken{number}" for number in range(5)), "Well"]
    for slug, entry in found.items():
        (module,) = entry["modules"]
        if slug == "Well":
            assert (entry["permissions"], module["props"]) == (["api.access"], {"a": 1})
        else:
            assert {key: entry[key] for key in JSON_DEFAULTS} == JSON_DEFAULTS
            assert {key: module[key] for key in MODULE_JSON_DEFAULTS} == MODULE_JSON_DEFAULTS


def test_entries_are_in_bytewise_order_of_their_slugs(server: Server) -> None:
    slugs = list(manifest(server, SORTED))
    assert slugs == sorted(slugs, key=str.encode)
    assert len(slugs) == 7


def test_disabled_plugins_are_not_listed(server: Server) -> None:
    assert manifest(server, CLEO) == {}


def test_who_has_nothing_gets_an_empty_object(server: Server) -> None:
    for url in (MANIFEST, DESIGNER):
        assert server.get(url, bearer(NOBODY)).body == b"{}"


def test_only_the_callers_rows_are_listed(server: Server) -> None:
    for user, versions in ((ADA, {"Eyes": "2.0.0", "Review": "1.0.0"}), (BEN, {"Review": "1.0.1"})):
        found = manifest(server, user)
        assert {slug: entry["version"] for slug, entry in found.items()} == versions
        assert {entry["userId"] for entry in found.values()} == {user}


def test_a_row_without_a_slug_is_keyed_by_its_id(lenient: Server) -> None:
    entry = manifest(lenient, NO_FILE)[f"{NO_FILE}_"]
    assert entry["id"] == f"{NO_FILE}_"
    assert "database_id" not in entry
    assert entry["bundlelocation"] == "/dist/remoteEntry.js"


def test_a_query_string_with_a_cache_buster_changes_nothing(server: Server) -> None:
    assert manifest(server, RICH, f"{MANIFEST}?_=123") == manifest(server, RICH)


# Bundle locations


@pytest.mark.parametrize("slug", PINNABLE)
def test_a_pinned_location_loads_the_callers_bytes(server: Server, slug: str) -> None:
    """As the front end does it: the public route, the row's id, the location as it is."""
    entry = manifest(server, PLACES)[slug]
    verbatim = LOCATIONS[slug][1]
    pin, _, path = entry["bundlelocation"].partition("/")
    assert (pin[:7], len(pin), path) == ("@1.0.0~", 23, verbatim)
    for url, headers in (
        (public(entry["database_id"], entry["bundlelocation"] + "?v=1.0.0"), {}),
        (own(slug, entry["bundlelocation"]), bearer(PLACES)),
    ):
        answer = server.get(url, headers)
        assert (answer.status, answer.body) == (200, f"{slug} entry".encode())
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("slug", [slug for slug in LOCATIONS if slug not in PINNABLE])
def test_a_location_that_cannot_be_pinned_is_verbatim(server: Server, slug: str) -> None:
    assert manifest(server, PLACES)[slug]["bundlelocation"] == LOCATIONS[slug][1]


@pytest.mark.parametrize("slug", LOCATIONS)
def test_pinning_can_be_switched_off(lenient: Server, slug: str) -> None:
    assert manifest(lenient, PLACES)[slug]["bundlelocation"] == LOCATIONS[slug][1]


def test_the_pin_is_the_same_on_every_node(
    server: Server, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Content and names decide; times, owners and the order of writing do not."""
    other = Site(tmp_path_factory.mktemp("node"))
    there = site.version_folder("Plain", "1.0.0")
    names = sorted((str(path.relative_to(there)) for path in there.rglob("*.js")), reverse=True)
    other.publish("Plain", "1.0.0", {name: (there / name).read_bytes() for name in names})
    other.give(PLACES, "Plain", "1.0.0")
    with serving(other.environment) as running:
        theirs = manifest(running, PLACES)["Plain"]["bundlelocation"]
    assert theirs == manifest(server, PLACES)["Plain"]["bundlelocation"]


# The designer manifest


def test_modules_are_in_the_designer_form_alone(server: Server) -> None:
    plain, designer = manifest(server, RICH)["Rich"], manifest(server, RICH, DESIGNER)["Rich"]
    assert "modules" not in plain
    assert {key: value for key, value in designer.items() if key != "modules"} == plain


def test_a_module_has_all_keys_with_the_rows_values(server: Server) -> None:
    modules = {each["name"]: each for each in manifest(server, RICH, DESIGNER)["Rich"]["modules"]}
    assert set(modules["Widget"]) == MODULE_KEYS
    assert modules["Widget"] == {**RICH_MODULE, "pluginId": "Rich"}
    assert modules["Hidden"]["enabled"] is False


def test_nulls_in_a_modules_row_become_defaults(server: Server) -> None:
    (module,) = manifest(server, BARE, DESIGNER)["Bare"]["modules"]
    assert {key: module[key] for key in MODULE_JSON_DEFAULTS} == MODULE_JSON_DEFAULTS
    assert module["priority"] is None
    assert module["displayName"] is None


def test_a_plugin_without_modules_has_an_empty_list(server: Server) -> None:
    assert manifest(server, ADA, DESIGNER)["Review"]["modules"] == []


# The installation rule


def test_without_a_file_nothing_is_installed(server: Server) -> None:
    assert manifest(server, NO_FILE) == {}
    assert server.get(own("Review"), bearer(NO_FILE)).code == "not_installed"
    assert server.get(public(f"{NO_FILE}_Review")).status == 404


def test_without_a_file_the_table_decides_where_the_setting_says_so(lenient: Server) -> None:
    entry = manifest(lenient, NO_FILE)["Review"]
    assert entry["installation_metadata"] in ({}, None)
    assert b"Review 1.0.0" in lenient.get(own("Review"), bearer(NO_FILE)).body
    assert b"Review 1.0.0" in lenient.get(public(f"{NO_FILE}_Review")).body


def test_a_file_that_exists_is_obeyed_whatever_the_setting(server: Server, lenient: Server) -> None:
    for running in (server, lenient):
        assert "Rich" not in manifest(running, OLD_FILE)
        assert running.get(own("Rich"), bearer(OLD_FILE)).code == "not_installed"


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=list(ODD_FILES))
def test_a_broken_file_means_that_nothing_is_installed(
    site: Site, server: Server, lenient: Server, content: bytes
) -> None:
    """Also where a missing file means that the table decides: a file that exists is obeyed."""
    user = f"{sum(content):032x}"
    site.add_row(user, "Review", "1.0.0")
    site.write_installations(user, content)
    for running in (server, lenient):
        assert manifest(running, user) == {}
        assert running.get(own("Review"), bearer(user)).code == "not_installed"
        assert running.get(public(f"{user}_Review")).status == 404


def test_the_old_format_is_read_for_its_keys_and_metadata_alone(server: Server) -> None:
    found = manifest(server, OLD_FILE)
    assert list(found) == ["Eyes", "Plain", "Review"]
    assert found["Review"]["version"] == "1.0.0"
    assert found["Review"]["enabled"] is True
    assert found["Review"]["installation_metadata"] == {
        "migrated_from": "x",
        "installation_type": "migrated",
    }
    assert found["Eyes"]["installation_metadata"] == {}
    assert found["Plain"]["installation_metadata"] == {}


# By slug, info, modules, one module


def test_info_is_the_bare_object_with_modules_and_the_rows_own_id(server: Server) -> None:
    info = server.get(f"{API}/plugins/{RICH}_Rich/info", bearer(RICH)).json
    assert set(info) - {"installation_metadata"} == PLUGIN_KEYS | {"modules"}
    assert {key: info[key] for key in RICH_PLUGIN} == RICH_PLUGIN
    assert info["id"] == f"{RICH}_Rich"
    assert info["bundlelocation"] == "dist/remoteEntry.js"
    modules = {module["name"]: module for module in info["modules"]}
    assert modules["Widget"] == {**RICH_MODULE, "pluginId": f"{RICH}_Rich"}
    assert set(modules) == {"Widget", "Hidden"}


def test_infos_location_is_verbatim(server: Server) -> None:
    for slug, (location, _) in LOCATIONS.items():
        info = server.get(f"{API}/plugins/{PLACES}_{slug}/info", bearer(PLACES)).json
        assert info["bundlelocation"] == location


def test_disabled_plugins_have_an_info_too(server: Server) -> None:
    answer = server.get(f"{API}/plugins/{CLEO}_Eyes/info", bearer(CLEO))
    assert (answer.status, answer.json["enabled"]) == (200, False)


def test_modules_are_those_of_info(server: Server) -> None:
    info = server.get(f"{API}/plugins/{RICH}_Rich/info", bearer(RICH)).json
    answer = server.get(f"{API}/plugins/{RICH}_Rich/modules", bearer(RICH))
    assert (answer.status, answer.json) == (200, {"modules": info["modules"]})


def test_one_module_is_that_of_modules(server: Server) -> None:
    url = f"{API}/plugins/{RICH}_Rich/modules/{RICH}_Rich_Widget"
    answer = server.get(url, bearer(RICH))
    assert (answer.status, answer.json) == (200, {**RICH_MODULE, "pluginId": f"{RICH}_Rich"})


def test_broken_modules_are_answered_with_defaults(server: Server) -> None:
    for end in ("info", "modules"):
        answer = server.get(f"{API}/plugins/{BROKEN}_Broken0/{end}", bearer(BROKEN))
        (module,) = answer.json["modules"]
        assert {key: module[key] for key in MODULE_JSON_DEFAULTS} == MODULE_JSON_DEFAULTS


def test_by_slug_is_the_bare_object_without_modules(server: Server) -> None:
    found = server.get(f"{API}/plugins/by-slug/Rich", bearer(RICH)).json
    assert set(found) - {"installation_metadata"} == PLUGIN_KEYS
    assert {key: found[key] for key in RICH_PLUGIN} == RICH_PLUGIN


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("by-slug/Unheard", "Plugin Unheard not found"),
        ("by-slug/Rich", "Plugin Rich not found"),
        ("Review/info", "Plugin Review not found"),
        (f"{RICH}_Rich/info", f"Plugin {RICH}_Rich not found"),
        ("Review/modules", "Plugin Review not found or you don't have permission"),
        (f"{RICH}_Rich/modules", f"Plugin {RICH}_Rich not found or you don't have permission"),
        (f"{ADA}_Review/modules/X", f"Module X not found in plugin {ADA}_Review"),
        (f"{RICH}_Rich/modules/Widget", f"Module Widget not found in plugin {RICH}_Rich"),
    ],
)
def test_what_is_not_the_callers_is_404_in_the_applications_words(
    server: Server, url: str, detail: str
) -> None:
    answer = server.get(f"{API}/plugins/{url}", bearer(ADA))
    assert (answer.status, answer.json) == (404, {"detail": detail, "code": "unknown_plugin"})
    assert answer.headers["cache-control"] == "no-store"


# Status


def status(server: Server, user: str, slug: str) -> dict[str, Any]:
    answer = server.get(f"{API}/plugins/{slug}/status", bearer(user))
    assert answer.status == 200
    envelope = answer.json
    assert set(envelope) == {"status", "data"}
    assert envelope["status"] == "success"
    data: dict[str, Any] = envelope["data"]
    return data


def test_status_tells_of_the_callers_own_version(site: Site, server: Server) -> None:
    """Not of the folder whose name sorts last, as the application does."""
    site.publish("Review", "1.0.10", {ENTRY: b"a much longer entry" * 100})
    for user, version in ((ADA, "1.0.0"), (BEN, "1.0.1")):
        entry = site.version_folder("Review", version) / ENTRY
        assert status(server, user, "Review") == {
            "plugin_slug": "Review",
            "exists": True,
            "status": "healthy",
            "plugin_id": f"{user}_Review",
            "plugin_info": {
                "id": f"{user}_Review",
                "name": "Review",
                "version": version,
                "enabled": 1,
                "created_at": "2026-01-02 03:04:05",
                "updated_at": "2026-01-02 03:04:05",
            },
            "health_details": {
                "bundle_exists": True,
                "bundle_size": entry.stat().st_size,
                "package_json_valid": True,
                "assets_present": True,
            },
            "installation_metadata": METADATA,
        }


def test_in_status_enabled_is_an_integer(server: Server) -> None:
    for user, slug, enabled in ((RICH, "Rich", b"1"), (CLEO, "Eyes", b"0")):
        body = server.get(f"{API}/plugins/{slug}/status", bearer(user)).body
        assert b'"enabled":' + enabled + b"," in body
        assert b'"exists":true' in body


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({ENTRY: "x", "package.json": "{}"}, ("healthy", True, 1, True, False)),
        ({ENTRY: "", "package.json": "{}"}, ("unhealthy", False, 0, True, False)),
        ({"package.json": "{}"}, ("unhealthy", False, 0, True, False)),
        ({ENTRY: "x"}, ("unhealthy", True, 1, False, False)),
        ({ENTRY: "x", "package.json": "{"}, ("unhealthy", True, 1, False, False)),
        ({ENTRY: "x", "package.json": "{}", "assets/a.svg": ""}, ("healthy", True, 1, True, True)),
        ({}, ("unhealthy", False, 0, False, False)),
    ],
    ids=["well", "empty entry", "no entry", "no package.json", "broken package.json", "assets",
         "no folder"],
)  # fmt: skip
def test_health_is_what_is_on_disk(
    site: Site, server: Server, files: dict[str, str | bytes], expected: tuple[Any, ...]
) -> None:
    slug = f"Health{abs(hash(json.dumps(sorted(files.items()), default=str)))}"
    site.publish(slug, "1.0.0", files)
    user = f"{abs(hash(slug)):032x}"
    site.give(user, slug, "1.0.0")
    data = status(server, user, slug)
    health = data["health_details"]
    assert (
        data["status"],
        health["bundle_exists"],
        health["bundle_size"],
        health["package_json_valid"],
        health["assets_present"],
    ) == expected
    assert data["exists"] is True


@pytest.mark.parametrize("slug", ["Unheard-of", "Eyes", f"{RICH}_Rich", "..", "%2e%2e"])
def test_without_a_row_the_status_is_not_installed(server: Server, slug: str) -> None:
    data = status(server, BEN, slug)
    assert (data["exists"], data["status"]) == (False, "not_installed")
    assert set(data) == {"plugin_slug", "exists", "status"}


def test_a_row_without_the_json_entry_is_not_healthy(server: Server) -> None:
    data = status(server, NO_FILE, "Review")
    assert data["status"] == "not_installed"


# Old and odd databases


@pytest.fixture(scope="module")
def old_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A database of an early migration: the optional columns are not there."""
    site = populated(tmp_path_factory.mktemp("old"))
    site.add_module(f"{ADA}_Review", "Widget", ADA)
    site.execute("UPDATE plugin SET enabled = 1 WHERE user_id = ?", CLEO)
    with closing(sqlite3.connect(site.database)) as connection:
        for table, required in REQUIRED_COLUMNS.items():
            kept = ", ".join(sorted(required))
            connection.executescript(
                f"ALTER TABLE {table} RENAME TO full_{table};"
                f"CREATE TABLE {table} AS SELECT {kept} FROM full_{table};"
                f"DROP TABLE full_{table};"
            )
    return site


@pytest.fixture(scope="module")
def old_server(old_site: Site) -> Iterator[Server]:
    with serving(old_site.environment) as running:
        yield running


def test_a_database_without_the_optional_columns_serves_files(old_server: Server) -> None:
    assert b"Review 1.0.0" in old_server.get(own("Review"), bearer(ADA)).body
    assert b"Review 1.0.1" in old_server.get(public(f"{BEN}_Review")).body


def test_a_database_without_the_optional_columns_has_manifests(old_server: Server) -> None:
    entry = manifest(old_server, ADA, DESIGNER)["Review"]
    assert set(entry) == MANIFEST_KEYS | {"modules"}
    assert (entry["version"], entry["name"], entry["bundlelocation"]) == ("1.0.0", None, None)
    assert {key: entry[key] for key in JSON_DEFAULTS} == JSON_DEFAULTS
    (module,) = entry["modules"]
    assert set(module) == MODULE_KEYS
    assert (module["name"], module["displayName"]) == ("Widget", None)
    assert status(old_server, ADA, "Review")["status"] == "healthy"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("description", sqlite3.Binary(b"\x00\xff")),
        ("icon", sqlite3.Binary(b"bytes")),
        ("config_fields", sqlite3.Binary(b"\xff\xfe")),
        ("bundle_location", sqlite3.Binary(b"dist/remoteEntry.js")),
        ("version", sqlite3.Binary(b"1.0.0")),
        ("bundle_location", "\x00/../.."),
        ("bundle_location", "a" * 5000),
        ("downloads", 1.5),
        ("downloads", "many"),
        ("last_updated", 20260102),
        ("last_update_check", 1767323045),
        ("enabled", "yes"),
        ("permissions", '"\\ud800"'),
        ("permissions", "[" * 3000 + "]" * 3000),
        ("permissions", "NaN"),
        ("permissions", "123456789012345678901234567890"),
    ],
)
def test_an_odd_value_in_one_row_does_not_spoil_the_answer(
    site: Site, server: Server, column: str, value: Any
) -> None:
    """SQLite keeps whatever it is given, whatever the column's type."""
    user = f"{abs(hash((column, str(value)))):032x}"
    site.give(user, "Review", "1.0.0")
    row_id = site.give(user, "Rich", "1.2.3")
    site.execute(f"UPDATE plugin SET {column} = ? WHERE id = ?", value, row_id)
    assert "Review" in manifest(server, user)
    assert "Review" in manifest(server, user, DESIGNER)
    assert server.get(f"{API}/plugins/{row_id}/info", bearer(user)).status == 200
    assert status(server, user, "Review")["status"] == "healthy"
    assert server.get(own("Review"), bearer(user)).status == 200


def test_text_that_is_not_utf_8_spoils_no_answer_and_keeps_no_lock(empty_site: Site) -> None:
    """A query that fails half-way must not hold SQLite's read lock: the application writes."""
    empty_site.publish("Review", "1.0.0")
    columns = ("description", "config_fields", "icon")
    for number, column in enumerate(columns):
        empty_site.give(f"{number:032x}", "Review", "1.0.0")
        row_id = empty_site.give(f"{number:032x}", "Odd", "1.0.0")
        text = "CAST(x'61ff62' AS TEXT)"
        empty_site.execute(f"UPDATE plugin SET {column} = {text} WHERE id = ?", row_id)
    with serving(empty_site.environment) as running:
        listed = {
            column: running.get(MANIFEST, bearer(f"{number:032x}"))
            for number, column in enumerate(columns)
        }
        for _ in range(2):
            assert running.get(own("Review"), bearer(f"{0:032x}")).status == 200
            empty_site.execute("UPDATE plugin SET downloads = downloads + 1")
        assert {column: answer.status for column, answer in listed.items()} == dict.fromkeys(
            columns, 200
        )


# HTTP


@every_endpoint
def test_json_is_private_and_revalidated_by_its_etag(server: Server, url: str) -> None:
    whole = server.get(url, bearer(RICH))
    assert whole.status == 200
    assert whole.headers["content-type"] == "application/json"
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["x-content-type-options"] == "nosniff"
    etag = whole.headers["etag"]
    for held in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = server.get(url, {**bearer(RICH), "If-None-Match": held})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == etag
        assert answer.headers["cache-control"] == "private, no-cache"
    assert server.get(url, {**bearer(RICH), "If-None-Match": '"other"'}).body == whole.body


@every_endpoint
def test_json_wants_a_credential(server: Server, url: str) -> None:
    for headers, code in (
        ({}, "not_authenticated"),
        ({"Authorization": "Bearer nothing"}, "invalid_token"),
    ):
        answer = server.get(url, headers)
        assert (answer.status, answer.code) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["cache-control"] == "no-store"


@every_endpoint
def test_head_of_json_has_the_fields_of_get(server: Server, url: str) -> None:
    head = server.request("HEAD", url, bearer(RICH))
    get = server.get(url, bearer(RICH))
    assert (head.status, head.body) == (200, b"")
    assert _lasting(head) == _lasting(get)


def _lasting(answer: Answer) -> list[tuple[str, str]]:
    return sorted(field for field in answer.fields if field[0] != "date")


@every_endpoint
def test_other_methods_on_json_are_405(server: Server, url: str) -> None:
    for method in ("POST", "PUT"):
        answer = server.request(method, url, bearer(RICH))
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert {"GET", "HEAD"} <= set(answer.headers["allow"].replace(" ", "").split(","))
        assert answer.headers["cache-control"] == "no-store"


def test_a_changed_row_changes_the_etag(site: Site, server: Server) -> None:
    before = server.get(MANIFEST, bearer(BARE)).headers["etag"]
    site.execute("UPDATE plugin SET name = 'Renamed' WHERE user_id = ?", BARE)
    after = eventually(
        lambda: server.get(MANIFEST, {**bearer(BARE), "If-None-Match": before}),
        lambda answer: answer.status == 200,
    )
    assert after.json["Bare"]["name"] == "Renamed"
    assert after.headers["etag"] != before


def test_a_plugin_with_the_name_of_an_endpoint_can_still_be_served(
    site: Site, server: Server
) -> None:
    for slug in ("manifest", "by-slug", "public"):
        site.publish(slug, "1.0.0", {ENTRY: slug})
        site.give(f"{9:032x}", slug, "1.0.0")
    for slug in ("manifest", "by-slug", "public"):
        answer = server.get(own(slug), bearer(f"{9:032x}"))
        assert (answer.status, answer.body) == (200, slug.encode())
