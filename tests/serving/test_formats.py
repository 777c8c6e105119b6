"""Rows as the application's front end (BrainDrive-Core) expects them."""

from dataclasses import fields
from datetime import datetime
from typing import Any

import pytest

from gateway.database.details import ModuleDetails, PluginDetails
from gateway.database.tables import is_true
from gateway.serving.formats import (
    bare_plugin,
    module_objects,
    plugin_info,
    relative_bundle_location,
    verbatim_bundle_location,
)

USER = "a" * 32
PLUGIN_ID = f"{USER}_PluginTemplate"

# The keys of BrainDrive-Core, in its order; `id` comes first.
PLUGIN_KEYS = [
    "plugin_slug", "name", "description", "version", "type", "pluginType", "enabled", "icon",
    "category", "status", "official", "author", "lastUpdated", "compatibility", "downloads",
    "scope", "bundlemethod", "bundlelocation", "islocal", "longDescription", "userId",
    "sourceType", "sourceUrl", "updateCheckUrl", "lastUpdateCheck", "updateAvailable",
    "latestVersion", "installationType", "endpointsFile", "routePrefix", "configFields",
    "messages", "dependencies", "permissions", "requiredServicesRuntime", "backendDependencies",
]  # fmt: skip
MODULE_KEYS = [
    "id", "pluginId", "name", "displayName", "description", "icon", "category", "enabled",
    "priority", "userId", "props", "configFields", "requiredServices", "layout", "dependencies",
    "tags", "messages",
]  # fmt: skip


def plugin(**columns: Any) -> PluginDetails:
    """A row as BrainDrive-Core has it; columns that it does not name are NULL."""
    row = dict.fromkeys(field.name for field in fields(PluginDetails))
    enabled = is_true(columns.pop("enabled", 1))  # as tables.py reads it
    return PluginDetails(
        **{
            **row,
            "id": PLUGIN_ID,
            "plugin_slug": "PluginTemplate",
            "name": "Template",
            "description": "",
            "version": "1.0.0",
            "type": "frontend",
            "enabled": enabled,
            "official": 0,
            "is_local": 0,
            "update_available": 0,
            "downloads": 0,
            "user_id": USER,
            **columns,
        }
    )


def module(**columns: Any) -> ModuleDetails:
    row = dict.fromkeys(field.name for field in fields(ModuleDetails))
    enabled = is_true(columns.pop("enabled", 1))
    return ModuleDetails(
        **{
            **row,
            "id": f"{PLUGIN_ID}_Settings",
            "plugin_id": PLUGIN_ID,
            "name": "Settings",
            "enabled": enabled,
            "user_id": USER,
            **columns,
        }
    )


def one_plugin(**columns: Any) -> dict[str, Any]:
    return dict(bare_plugin(plugin(**columns)))


def one_module(**columns: Any) -> dict[str, Any]:
    (answer,) = module_objects([module(**columns)], "PluginTemplate")
    return dict(answer)


# Keys and values


def test_the_bare_plugin_has_the_row_id_as_its_id() -> None:
    answer = one_plugin()
    assert list(answer) == ["id", *PLUGIN_KEYS]
    assert answer["id"] == PLUGIN_ID


@pytest.mark.parametrize("location", ["/dist/x.js", "dist/x.js", "https://cdn.example/x.js", None])
def test_the_bare_plugin_has_its_bundle_location_verbatim(location: str | None) -> None:
    assert one_plugin(bundle_location=location)["bundlelocation"] == location


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("plugin_slug", "plugin_slug"), ("name", "name"), ("description", "description"),
        ("version", "version"), ("type", "type"), ("plugin_type", "pluginType"), ("icon", "icon"),
        ("category", "category"), ("status", "status"), ("author", "author"),
        ("last_updated", "lastUpdated"), ("compatibility", "compatibility"), ("scope", "scope"),
        ("bundle_method", "bundlemethod"), ("bundle_location", "bundlelocation"),
        ("long_description", "longDescription"), ("user_id", "userId"),
        ("source_type", "sourceType"), ("source_url", "sourceUrl"),
        ("update_check_url", "updateCheckUrl"), ("last_update_check", "lastUpdateCheck"),
        ("latest_version", "latestVersion"), ("installation_type", "installationType"),
        ("endpoints_file", "endpointsFile"), ("route_prefix", "routePrefix"),
    ],
)  # fmt: skip
def test_each_text_column_arrives_under_its_key(column: str, key: str) -> None:
    assert one_plugin(**{column: f"text-of-{column}"})[key] == f"text-of-{column}"


@pytest.mark.parametrize(
    "column",
    [
        "plugin_type", "icon", "category", "status", "author", "last_updated", "compatibility",
        "downloads", "scope", "bundle_method", "bundle_location", "long_description",
        "source_type", "source_url", "update_check_url", "last_update_check", "update_available",
        "latest_version", "installation_type", "endpoints_file", "route_prefix",
    ],
)  # fmt: skip
def test_a_null_column_is_null(column: str) -> None:
    filled, empty = one_plugin(**{column: "x"}), one_plugin(**{column: None})
    changed = [key for key in PLUGIN_KEYS if filled[key] != empty[key]]
    assert [empty[key] for key in changed] == [None]


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("enabled", "enabled"), ("official", "official"), ("is_local", "islocal"),
        ("update_available", "updateAvailable"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("stored", "expected"), [(0, False), (1, True), (False, False), ("false", False)]
)
def test_a_flag_is_a_boolean_whatever_the_driver_returns(
    column: str, key: str, stored: object, expected: bool
) -> None:
    assert one_plugin(**{column: stored})[key] is expected


def test_enabled_that_is_null_counts_as_disabled() -> None:
    assert one_plugin(enabled=None)["enabled"] is False
    assert one_module(enabled=None)["enabled"] is False


def test_downloads_stay_a_number() -> None:
    assert one_plugin(downloads=12)["downloads"] == 12


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02 03:04:05.678901", "2026-01-02T03:04:05.678901"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001 (as asyncpg does)
        (None, None),
    ],
)
def test_the_last_update_check_is_shown_with_a_t(stored: object, expected: str | None) -> None:
    assert one_plugin(last_update_check=stored)["lastUpdateCheck"] == expected


@pytest.mark.parametrize("stored", ["2026-01-02 03:04:05", "2025-03-06", "last summer"])
def test_last_updated_is_free_text_and_stays_as_it_is(stored: str) -> None:
    assert one_plugin(last_updated=stored)["lastUpdated"] == stored


# JSON columns

BROKEN = ["", "{", "[1, 2", "not json", "{'a': 1}", '{"a": 1} x', b"\xff"]


@pytest.mark.parametrize(
    ("column", "key", "default"),
    [
        ("config_fields", "configFields", {}),
        ("messages", "messages", {}),
        ("dependencies", "dependencies", []),
        ("permissions", "permissions", []),
        ("required_services_runtime", "requiredServicesRuntime", []),
        ("backend_dependencies", "backendDependencies", []),
    ],
)
@pytest.mark.parametrize("stored", [None, "null", *BROKEN])
def test_a_json_column_of_a_plugin_that_is_null_or_broken_is_its_default(
    column: str, key: str, default: object, stored: object
) -> None:
    assert one_plugin(**{column: stored})[key] == default


@pytest.mark.parametrize(
    ("column", "key", "default"),
    [
        ("props", "props", {}),
        ("config_fields", "configFields", {}),
        ("required_services", "requiredServices", {}),
        ("layout", "layout", {}),
        ("dependencies", "dependencies", []),
        ("tags", "tags", []),
        ("messages", "messages", {"sends": [], "receives": []}),
    ],
)
@pytest.mark.parametrize("stored", [None, "null", *BROKEN])
def test_a_json_column_of_a_module_that_is_null_or_broken_is_its_default(
    column: str, key: str, default: object, stored: object
) -> None:
    assert one_module(**{column: stored})[key] == default


def test_a_json_column_arrives_as_it_is_stored() -> None:
    stored = '{"theme":{"type":"select","options":["auto","light"],"default":null}}'
    expected = {"theme": {"type": "select", "options": ["auto", "light"], "default": None}}
    assert one_plugin(config_fields=stored)["configFields"] == expected
    assert one_module(config_fields=stored)["configFields"] == expected


def test_a_json_column_that_the_driver_has_parsed_already_is_passed_on() -> None:
    assert one_plugin(permissions=["api.access"])["permissions"] == ["api.access"]


def test_keys_inside_config_fields_are_the_plugins_own() -> None:
    answer = one_module(config_fields='{"refresh_interval": null}')
    assert answer["configFields"] == {"refresh_interval": None}


def test_messages_of_a_module_that_are_stored_empty_stay_empty() -> None:
    assert one_module(messages="{}")["messages"] == {}


def test_two_answers_share_no_default() -> None:
    one_module()["messages"]["sends"].append("x")
    one_plugin()["permissions"].append("x")
    assert one_module()["messages"] == {"sends": [], "receives": []}
    assert one_plugin()["permissions"] == []


# Modules


def test_a_module_has_the_keys_of_the_application_in_order() -> None:
    assert list(one_module()) == MODULE_KEYS


@pytest.mark.parametrize("reference", ["PluginTemplate", PLUGIN_ID])
def test_the_plugin_id_of_a_module_is_what_its_answer_wants(reference: str) -> None:
    answers = module_objects([module(), module(id="other")], reference)
    assert [answer["pluginId"] for answer in answers] == [reference, reference]
    assert [answer["id"] for answer in answers] == [f"{PLUGIN_ID}_Settings", "other"]


def test_a_disabled_module_is_shown_as_such() -> None:
    assert one_module(enabled=0)["enabled"] is False


@pytest.mark.parametrize(
    ("column", "key", "value"),
    [
        ("name", "name", "Settings"),
        ("display_name", "displayName", "The settings"),
        ("description", "description", "x"),
        ("icon", "icon", "x"),
        ("category", "category", "x"),
        ("priority", "priority", 2),
        ("priority", "priority", None),
        ("user_id", "userId", USER),
    ],
)
def test_each_plain_column_of_a_module_arrives_under_its_key(
    column: str, key: str, value: object
) -> None:
    assert one_module(**{column: value})[key] == value


def test_one_broken_module_does_not_spoil_the_others() -> None:
    answers = module_objects([module(layout="{", tags="]"), module(layout='{"minWidth": 6}')], "x")
    assert [answer["layout"] for answer in answers] == [{}, {"minWidth": 6}]


# Status


@pytest.mark.parametrize(("stored", "expected"), [(1, 1), (0, 0), (True, 1), (None, 0)])
def test_enabled_is_an_integer_in_a_status_and_only_there(stored: object, expected: int) -> None:
    enabled = plugin_info(plugin(enabled=stored))["enabled"]
    assert enabled == expected
    assert type(enabled) is int


def test_the_facts_of_a_status() -> None:
    row = plugin(created_at="2026-01-02 03:04:05", updated_at="2026-02-03 04:05:06")
    assert plugin_info(row) == {
        "id": PLUGIN_ID,
        "name": "Template",
        "version": "1.0.0",
        "enabled": 1,
        "created_at": "2026-01-02 03:04:05",
        "updated_at": "2026-02-03 04:05:06",
    }
    assert list(plugin_info(row)) == [
        "id", "name", "version", "enabled", "created_at", "updated_at",
    ]  # fmt: skip


def test_dates_of_a_status_may_be_null() -> None:
    facts = plugin_info(plugin())
    assert (facts["created_at"], facts["updated_at"]) == (None, None)


# Bundle location


@pytest.mark.parametrize(
    ("stored", "verbatim", "relative"),
    [
        ("dist/remoteEntry.js", "dist/remoteEntry.js", "dist/remoteEntry.js"),
        ("/dist/remoteEntry.js", "dist/remoteEntry.js", "dist/remoteEntry.js"),
        ("remoteEntry.js", "remoteEntry.js", "remoteEntry.js"),
        ("https://cdn.example/r.js", "https://cdn.example/r.js", None),
        ("http://cdn.example/r.js", "http://cdn.example/r.js", None),
        ("//cdn.example/r.js", "//cdn.example/r.js", None),
        ("", "", None),
        (None, None, None),
    ],
)
def test_the_location_in_a_manifest_loses_one_leading_slash_and_nothing_else(
    stored: str | None, verbatim: str | None, relative: str | None
) -> None:
    row = plugin(bundle_location=stored)
    assert verbatim_bundle_location(row) == verbatim
    assert relative_bundle_location(row) == relative


def test_a_row_without_a_slug_keeps_the_leading_slash() -> None:
    assert verbatim_bundle_location(plugin(plugin_slug="", bundle_location="/d/r.js")) == "/d/r.js"
