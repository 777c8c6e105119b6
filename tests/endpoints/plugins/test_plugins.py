"""One plugin, its modules, and the manifest that has both."""

from typing import Any

import pytest

from tests.endpoints.plugins.rows import (
    BARE,
    BROKEN,
    DESIGNER,
    LOCATIONS,
    MODULE_JSON_DEFAULTS,
    MODULE_KEYS,
    PLACES,
    PLUGIN_KEYS,
    RICH,
    RICH_PLUGIN,
    manifest,
)
from tests.support.server import Server
from tests.support.site import ADA, CLEO, bearer
from tests.support.urls import API

pytestmark = pytest.mark.slow

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
