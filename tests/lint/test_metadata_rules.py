"""What lint says about plugin.json and package.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.lint.findings import Code
from tests.lint.support import findings, make_plugin, sentences

LIFECYCLE = {"lifecycle_manager.py": "raise SystemExit"}


def codes(folder: Path) -> list[Code]:
    return [finding.code for finding in findings(folder)]


def test_a_plugin_without_a_flaw_has_no_finding(tmp_path: Path) -> None:
    assert codes(make_plugin(tmp_path)) == []


def test_the_schemas_address_is_a_key_like_any_other(tmp_path: Path) -> None:
    schema: dict[str, Any] = {"$schema": "https://plugins.example/-/plugin.schema.json"}
    assert codes(make_plugin(tmp_path, **schema)) == []


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"permissions": {}, "modules": [{"name": ""}]},
            [
                "invalid_metadata: plugin.json: permissions: expected a list",
                "invalid_metadata: plugin.json: modules[0]: expected an object with a name",
            ],
        ),
        (
            {"slug": "My Card"},
            [
                "invalid_name: plugin.json or package.json: not a plugin slug: 'My Card' (letters,"
                " digits, '_', '-', '.'); --slug and --version can say it"
            ],
        ),
        (
            {"version": "v1.0.0"},
            [
                "invalid_name: plugin.json or package.json: not a version: 'v1.0.0' (the 'v'"
                " belongs to the folder: 1.0.0); --slug and --version can say it"
            ],
        ),
        (
            {"modules": []},
            [
                "no_modules: plugin.json: it has no modules, so nothing will be shown; list what"
                ' the container exposes, as in "modules": [{"name": "Board"}]'
            ],
        ),
        (
            {
                "bundlelocation": "x",
                "modules": [{"name": "Card", "displayName": "x"}, {"name": "List"}],
            },
            [
                "misspelled_key: plugin.json: bundlelocation means nothing to the gateway;"
                " did you mean bundle_location?",
                "misspelled_key: plugin.json: modules[0].displayName means nothing to the gateway;"
                " did you mean display_name?",
            ],
        ),
        # A key of one's own, and one that is there as it should be beside.
        ({"homepage": "x", "display_name": "x", "Scope": "x", "scope": "MyCard"}, []),
    ],
)
def test_what_is_wrong_in_plugin_json(
    tmp_path: Path, metadata: dict[str, Any], expected: list[str]
) -> None:
    assert sentences(findings(make_plugin(tmp_path, **metadata))) == expected


@pytest.mark.parametrize("text", ["{", "[]", "", "\0", '{"a": ' * 200 + "1" + "}" * 200])
def test_a_plugin_json_that_cannot_be_read_is_the_only_finding(tmp_path: Path, text: str) -> None:
    folder = make_plugin(tmp_path, files={"plugin.json": text})
    (finding,) = findings(folder)
    assert (finding.code, finding.files) == (Code.INVALID_METADATA, ["plugin.json"])


def test_without_plugin_json_it_says_only_that(tmp_path: Path) -> None:
    package = json.dumps({"name": "my-card", "version": "1.0.0"})
    folder = make_plugin(tmp_path, files={"plugin.json": None, "package.json": package})
    assert codes(folder) == [Code.NO_PLUGIN_JSON]


def test_a_plugin_may_be_described_in_package_json(tmp_path: Path) -> None:
    package = json.dumps(
        {
            "name": "my-card",
            "version": "1.0.0",
            "modules": [{"name": "Card"}, {"name": "List"}],
            "scope": "MyCard",
        }
    )
    folder = make_plugin(tmp_path, files={"plugin.json": None, "package.json": package})
    assert codes(folder) == []


def test_of_a_plugin_in_braindrives_shape_it_only_notes_that_its_code_does_not_run(
    tmp_path: Path,
) -> None:
    package = json.dumps({"name": "plugin-template", "version": "1.0.0"})
    files = {**LIFECYCLE, "plugin.json": None, "package.json": package, "dist/index.html": "<html>"}
    assert codes(make_plugin(tmp_path, files=files)) == [Code.LIFECYCLE_MANAGER]


def test_the_version_of_package_json_should_be_that_of_plugin_json(tmp_path: Path) -> None:
    package = json.dumps({"name": "my-card", "version": "0.9.0"})
    folder = make_plugin(tmp_path, files={"package.json": package})
    assert sentences(findings(folder)) == [
        "version_mismatch: package.json: version is '0.9.0', but that of plugin.json counts,"
        " '1.0.0'; make them equal"
    ]


def test_names_that_cannot_be_published_are_all_named(tmp_path: Path) -> None:
    files = {"Read.me": "", "read.me": "", "a:b.js": ""}
    assert sentences(findings(make_plugin(tmp_path, files=files))) == [
        "unpublishable: publish refuses it: 'a:b.js': 'a:b.js' has a character that Windows"
        " refuses",
        "unpublishable: publish refuses it: 'read.me' and 'Read.me' are one file on some systems",
    ]


def test_a_plugin_json_of_nothing_but_problems_is_read_in_a_moment(tmp_path: Path) -> None:
    modules = [{"displayname": 1, **{f"k{key}": 1 for key in range(20)}}] * 4_000
    found = findings(make_plugin(tmp_path, modules=modules))
    assert len(found) < 300
