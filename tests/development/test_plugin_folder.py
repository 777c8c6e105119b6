"""Which files of a developer's folder are a build, and what they are called in the version."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.development.plugin_folder import PluginFolder
from gateway.errors import PublishingError
from tests.development.folders import METADATA, built, plugin_folder, write

IN_ROOT = {**METADATA, "bundle_location": "remoteEntry.js"}
IN_BUILD = {**METADATA, "bundle_location": "build/web/remoteEntry.js"}


@pytest.mark.parametrize(
    ("files", "given", "names"),
    [
        pytest.param(
            {
                "plugin.json": METADATA,
                **built(""),
                "assets/icon.svg": "",
                "src/a.js": "",
                "b.md": "",
            },
            ".",
            {"plugin.json", "dist/1.js", "dist/remoteEntry.js", "assets/icon.svg"},
            id="the plugin's folder: metadata, the entry's folder and assets, no sources",
        ),
        pytest.param(
            {"plugin.json": METADATA, "package.json": {}, **built("")},
            "dist",
            {"plugin.json", "package.json", "dist/1.js", "dist/remoteEntry.js"},
            id="the bundler's folder, with plugin.json above it",
        ),
        pytest.param(
            {"plugin.json": METADATA, "out/remoteEntry.js": "x", "out/1.js": ""},
            "out",
            {"plugin.json", "dist/remoteEntry.js", "dist/1.js"},
            id="the bundler's folder under another name",
        ),
        pytest.param(
            {"out/plugin.json": METADATA, "out/remoteEntry.js": "x"},
            "out",
            {"plugin.json", "dist/plugin.json", "dist/remoteEntry.js"},
            id="the bundler's folder, with a copy of plugin.json in it",
        ),
        pytest.param(
            {"plugin.json": IN_ROOT, "out/remoteEntry.js": "x", "out/js/1.js": ""},
            "out",
            {"plugin.json", "remoteEntry.js", "js/1.js"},
            id="an entry in the version's own folder",
        ),
        pytest.param(
            {"plugin.json": IN_ROOT, "remoteEntry.js": "x", "js/1.js": "", "node_modules/a.js": ""},
            ".",
            {"plugin.json", "remoteEntry.js", "js/1.js"},
            id="a plugin's folder that is the bundler's too",
        ),
        pytest.param(
            {"plugin.json": IN_BUILD, "build/web/remoteEntry.js": "x", "build/a.js": ""},
            "build/web",
            {"plugin.json", "build/web/remoteEntry.js"},
            id="plugin.json two levels above",
        ),
        pytest.param(
            {"package.json": {"name": "mine"}, "dist/remoteEntry.js": "x", "dist/.cache/a": ""},
            ".",
            {"package.json", "dist/remoteEntry.js"},
            id="package.json alone",
        ),
        pytest.param(
            {"remoteEntry.js": "x"}, ".", {"dist/remoteEntry.js"}, id="no metadata at all"
        ),
    ],
)
def test_files_of_a_build_and_their_names(
    tmp_path: Path, files: Mapping[str, str | Mapping[str, Any]], given: str, names: set[str]
) -> None:
    folder = write(tmp_path / "a" / "b" / "mine", files) / given
    look = PluginFolder(folder).look()
    assert set(look.sizes) == names
    assert look.has_entry


def test_before_the_first_build_there_is_no_entry_and_its_place_is_known(tmp_path: Path) -> None:
    folder = PluginFolder(plugin_folder(tmp_path))
    assert not folder.look().has_entry
    assert folder.missing() == str(tmp_path / "dist" / "remoteEntry.js")


def test_an_empty_entry_is_no_build(tmp_path: Path) -> None:
    write(plugin_folder(tmp_path), {"dist/remoteEntry.js": ""})
    assert not PluginFolder(tmp_path).look().has_entry


def test_the_slug_is_that_of_the_metadata(tmp_path: Path) -> None:
    assert PluginFolder(plugin_folder(tmp_path)).slug() == "Mine"


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.js": ""}, "no plugin.json in it or above it that names the plugin; --slug can"),
        ({"package.json": {"name": "@me/mine"}}, "not a plugin slug: '@me/mine'"),
        ({"plugin.json": "{"}, "plugin.json: not valid JSON"),
    ],
)
def test_without_a_usable_slug_one_line_says_what_is_missing(
    tmp_path: Path, files: Mapping[str, str | Mapping[str, Any]], problem: str
) -> None:
    with pytest.raises(PublishingError, match=problem.replace("(", r"\(")):
        PluginFolder(write(tmp_path / "a" / "b" / "mine", files)).slug()


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ("{", "plugin.json: not valid JSON"),
        ({"bundle_location": "https://cdn.example/remoteEntry.js"}, "on another host"),
        ({"bundle_location": "../other/remoteEntry.js"}, "bundle_location"),
    ],
)
def test_a_look_says_why_the_folder_can_hold_no_build(
    tmp_path: Path, metadata: str | Mapping[str, Any], problem: str
) -> None:
    write(plugin_folder(tmp_path, "1"), {"plugin.json": metadata})
    look = PluginFolder(tmp_path).look()
    assert look.layout is None
    assert problem in (look.problem or "")


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    folder = plugin_folder(tmp_path / "mine")
    (folder / "dist").symlink_to(plugin_folder(tmp_path / "other", "1") / "dist")
    assert "is a link" in (PluginFolder(folder).look().problem or "")


@pytest.mark.parametrize("change", ["content", "new", "removed", "renamed", "metadata"])
def test_looks_differ_after_any_change_of_a_build(tmp_path: Path, change: str) -> None:
    folder = PluginFolder(plugin_folder(tmp_path, "1"))
    before, chunk = folder.look(), tmp_path / "dist" / "1.js"
    assert folder.look() == before
    match change:
        case "content":
            chunk.write_text("/* other */")
        case "new":
            (tmp_path / "dist" / "2.js").touch()
        case "removed":
            chunk.unlink()
        case "renamed":
            chunk.rename(chunk.with_name("3.js"))
        case "metadata":
            write(tmp_path, {"plugin.json": {**METADATA, "version": "1.2.1"}})
    assert folder.look() != before


def test_a_saved_source_changes_no_look(tmp_path: Path) -> None:
    folder = PluginFolder(plugin_folder(tmp_path, "1"))
    before = folder.look()
    write(tmp_path, {"src/Panel.jsx": "changed", "notes.txt": "new"})
    assert folder.look() == before
