"""What leaves an entry of the old format, and what the file alone holds."""

from typing import Any

import pytest

from gateway.database.survey import PluginRow
from gateway.upkeep.old_format import Contradiction, minimise
from tests.support.site import ADA

HELD = {"installation_type": "migrated"}
ROW = PluginRow(
    id=f"{ADA}_Review",
    plugin_slug="Review",
    version="1.0.28",
    enabled=True,
    installation_type="local",
    source_url=None,
    created_at="2026-01-02 03:04:05",
    user_id=ADA,
)
CONFIG = {
    ROW.id: [
        '{"theme": {"type": "select", "default": "auto", "value": "dark"}, "rows": 6}',
        '{"interval": {"type": "number", "default": 30}, "theme": "light"}',
        "broken {",
        None,
    ]
}
OLD = {
    "version": "1.0.28",
    "shared_path": "/abs/plugins/shared/Review/v1.0.28",
    "installed_at": "2025-06-16T10:11:12.131415",
    "enabled": True,
    "user_config": {"theme": "dark"},
    "installation_metadata": HELD,
}


def contradiction(key: str, value: object, kept_in: str, kept: object) -> Contradiction:
    return Contradiction("Review", key, value, kept_in, kept)


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param({"version": "1.0.28"}, id="version"),
        pytest.param({"version": None}, id="no version"),
        pytest.param({"enabled": True}, id="enabled"),
        pytest.param({"enabled": 1}, id="enabled as a number"),
        pytest.param({"shared_path": "/a/b/shared/Review/v1.0.28"}, id="path"),
        pytest.param({"shared_path": "/a/b/shared/Review/v1.0.28/"}, id="path with a slash"),
        pytest.param({"shared_path": "C:\\a\\shared\\Review\\v1.0.28"}, id="path of Windows"),
        pytest.param({"shared_path": "shared/Review/v1.0.28"}, id="relative path"),
        pytest.param({"user_config": {}}, id="no configuration"),
        pytest.param({"user_config": None}, id="null configuration"),
        pytest.param({"user_config": {"theme": "dark"}}, id="the value of a field"),
        pytest.param({"user_config": {"theme": "light"}}, id="a field that is its value"),
        pytest.param({"user_config": {"interval": 30, "rows": 6}}, id="the default of a field"),
        pytest.param({"installation_type": "migrated"}, id="what the metadata say too"),
    ],
)
def test_what_is_said_elsewhere_leaves_the_file(beside: dict[str, Any]) -> None:
    document = {"Review": {**beside, "installation_metadata": HELD}}
    minimised = minimise(document, [ROW], CONFIG)
    assert minimised.document == {"Review": {"installation_metadata": HELD}}
    assert minimised.dropped == {"Review": list(beside)}
    assert (minimised.moved, minimised.contradictions) == ({}, [])


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        pytest.param(
            {"version": "1.0.27"},
            [contradiction("version", "1.0.27", "plugin.version", "1.0.28")],
            id="version",
        ),
        pytest.param(
            {"enabled": False},
            [contradiction("enabled", False, "plugin.enabled", True)],
            id="enabled",
        ),
        pytest.param(
            {"enabled": "yes"},
            [contradiction("enabled", "yes", "plugin.enabled", True)],
            id="enabled as text",
        ),
        *(
            pytest.param(
                {"shared_path": path},
                [contradiction("shared_path", path, "plugin.version", "shared/Review/v1.0.28")],
                id=f"path {path}",
            )
            for path in (
                "/a/shared/Review/v1.0.27",
                "/a/shared/Eyes/v1.0.28",
                "/a/other/Review/v1.0.28",
                "/a/shared/Review/v1.0.28/dist",
                "/etc",
                7,
            )
        ),
        pytest.param(
            {"user_config": {"theme": "blue", "rows": 6, "unknown": [1]}},
            [
                contradiction("user_config.theme", "blue", "module.config_fields", "dark"),
                contradiction("user_config.unknown", [1], "module.config_fields", None),
            ],
            id="configuration, each value",
        ),
        pytest.param(
            {"user_config": ["dark"]},
            [contradiction("user_config", ["dark"], "module.config_fields", None)],
            id="configuration that is no object",
        ),
        pytest.param(
            {"installation_type": "remote"},
            [
                contradiction(
                    "installation_type",
                    "remote",
                    "installation_metadata.installation_type",
                    "migrated",
                )
            ],
            id="another value in the metadata",
        ),
    ],
)
def test_what_contradicts_is_the_only_copy(
    beside: dict[str, Any], expected: list[Contradiction]
) -> None:
    minimised = minimise({"Review": {**beside, "installation_metadata": HELD}}, [ROW], CONFIG)
    assert minimised.contradictions == expected


@pytest.mark.parametrize("key", ["version", "shared_path", "enabled", "user_config"])
def test_a_copy_without_a_row_is_the_only_one(key: str) -> None:
    minimised = minimise({"Review": {key: OLD[key]}}, [], {})
    assert minimised.contradictions == [contradiction(key, OLD[key], "", None)]


def test_metadata_that_are_no_object_are_the_only_copy() -> None:
    minimised = minimise({"Review": {"version": "1.0.28", "installation_metadata": [1]}}, [ROW], {})
    place = "the minimal format"
    assert minimised.contradictions == [contradiction("installation_metadata", [1], place, {})]


def test_other_keys_move_into_the_metadata() -> None:
    beside = {"installed_at": "2025-06-16", "by": "me", "free": {"a": [1]}}
    minimised = minimise({"Review": {**beside, "installation_metadata": HELD}}, [], {})
    assert minimised.document == {"Review": {"installation_metadata": {**HELD, **beside}}}
    assert minimised.moved == {"Review": list(beside)}
    assert not minimised.contradictions


@pytest.mark.parametrize(
    "entry", [None, {}, "x", [], {"installation_metadata": None}, {"installation_metadata": HELD}]
)
def test_an_entry_with_nothing_beside_its_metadata_stays_as_it_is(entry: object) -> None:
    minimised = minimise({"Review": entry}, [ROW], CONFIG)
    assert minimised.document == {"Review": entry}
    assert not minimised.changed


def test_a_minimal_document_stays_minimal() -> None:
    once = minimise({"Review": OLD}, [ROW], CONFIG)
    assert once.changed
    assert not minimise(once.document, [ROW], CONFIG).changed
