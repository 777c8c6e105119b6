"""What lint says about the entry: will a page find the container, and each module in it?"""

from pathlib import Path
from typing import Any

import pytest

from gateway.lint.findings import Code
from tests.bundles.support import NAMES, build
from tests.lint.support import ENTRY, findings, make_plugin, sentences

WRONG = "dist/remoteEntry.js leaves its container in window.MyCard"
# Of these the entry alone is no plugin, or their container is called otherwise.
OTHERS = {"vite-preload", "new-vite-container", "new-vite", "new-webpack", "vite-script"}
MODULES = {"originjs", "vite-module", "webpack-module"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - OTHERS))
def test_of_a_right_plugin_of_any_bundler_no_error_is_found(tmp_path: Path, name: str) -> None:
    found = findings(make_plugin(tmp_path, name))
    assert [it for it in found if it.severity == "error"] == []
    assert (Code.MODULE_ENTRY in [it.code for it in found]) == (name in MODULES)


@pytest.mark.parametrize("name", sorted(set(NAMES) - OTHERS - MODULES))
def test_of_any_bundler_a_wrong_scope_and_a_wrong_module_are_found(
    tmp_path: Path, name: str
) -> None:
    folder = make_plugin(tmp_path, name, scope="Other", modules=[{"name": "Kard"}])
    codes = [it.code for it in findings(folder) if it.severity == "error"]
    assert codes == [Code.WRONG_SCOPE, Code.MODULE_NOT_EXPOSED]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"scope": "Card"},
            f"wrong_scope: plugin.json: scope is 'Card', but {WRONG};"
            ' write "scope": "MyCard", or name the container \'Card\' where it is built',
        ),
        (
            {"slug": "my-card"},
            f"wrong_scope: plugin.json: it has no scope, so the slug 'my-card' counts, but {WRONG};"
            ' write "scope": "MyCard", or name the container \'my-card\' where it is built',
        ),
        (
            {"modules": [{"name": "card"}, {"name": "List"}]},
            "module_not_exposed: plugin.json: module 'card' is not exposed by dist/remoteEntry.js,"
            ' which has ./Card, ./List; expose "./card" where it is built, or correct the name',
        ),
        (
            {"modules": [{"name": "Card"}]},
            "exposed_not_listed: dist/remoteEntry.js: it exposes ./List, which plugin.json does not"
            " list in modules; list it to have it shown",
        ),
        (
            {"bundle_location": "build/entry.js"},
            "no_entry: build/entry.js: the entry is missing; build the plugin, or set"
            " bundle_location in plugin.json",
        ),
        (
            {"bundle_location": "../entry.js"},
            "no_entry: ../entry.js: bundle_location cannot be this: the path has a dot segment or a"
            " dotfile",
        ),
        (
            {"bundle_location": "http://localhost:3003/remoteEntry.js"},
            "remote_entry: plugin.json: bundle_location 'http://localhost:3003/remoteEntry.js' is"
            " on another host, so the gateway serves no file of it; make it a path in this folder",
        ),
        ({"slug": "my-card", "scope": "MyCard"}, None),
        ({"bundle_location": "/dist/remoteEntry.js"}, None),
    ],
)
def test_what_pages_will_not_find(
    tmp_path: Path, metadata: dict[str, Any], expected: str | None
) -> None:
    found = sentences(findings(make_plugin(tmp_path, **metadata)))
    assert found == ([] if expected is None else [expected])


def test_an_empty_entry_and_one_of_a_type_that_is_not_served_are_none(tmp_path: Path) -> None:
    (found,) = findings(make_plugin(tmp_path / "empty", files={ENTRY: ""}))
    assert (found.code, "is empty" in found.text) == (Code.NO_ENTRY, True)
    files = {"dist/entry.html": "<script>"}
    folder = make_plugin(tmp_path / "page", files=files, bundle_location="dist/entry.html")
    found = findings(folder)[0]
    assert (found.code, "http.allowed_suffixes" in found.text) == (Code.NO_ENTRY, True)


def test_the_slug_that_publish_is_given_is_the_scope(tmp_path: Path) -> None:
    folder = make_plugin(tmp_path, slug=None)
    assert findings(folder, slug="MyCard") == []
    assert [it.code for it in findings(folder, slug="Card")] == [Code.WRONG_SCOPE]


def test_the_modules_of_a_script_that_vite_made_are_looked_for_in_what_it_imports(
    tmp_path: Path,
) -> None:
    script = {"dist/script.js": build("vite-script"), ENTRY: build("vite-module")}
    good = make_plugin(tmp_path / "good", files=script, bundle_location="dist/script.js")
    assert [it.code for it in findings(good) if it.severity != "note"] == []
    modules = [{"name": "Kard"}]
    bad = make_plugin(
        tmp_path / "bad", files=script, bundle_location="dist/script.js", modules=modules
    )
    assert [it.code for it in findings(bad) if it.severity == "error"] == [Code.MODULE_NOT_EXPOSED]


def test_what_gateway_new_makes_has_no_finding(tmp_path: Path) -> None:
    container = {"dist/container-CUf8RH2r.js": build("new-vite-container")}
    folder = make_plugin(
        tmp_path / "vite", "new-vite", files=container, modules=[{"name": "MyCard"}]
    )
    assert findings(folder) == []
    modules = [{"name": "WebOne"}]
    folder = make_plugin(tmp_path / "web", "new-webpack", slug="WebOne", modules=modules)
    assert findings(folder) == []


@pytest.mark.parametrize("name", ["webpack-fixed", "rspack-fixed", "webpack-development-fixed"])
def test_a_fixed_public_path_is_a_warning(tmp_path: Path, name: str) -> None:
    found = findings(make_plugin(tmp_path, name))
    (sentence,) = [it.sentence for it in found if it.code == Code.FIXED_PUBLIC_PATH]
    assert sentence.startswith("dist/remoteEntry.js: publicPath is '")
    assert 'set output.publicPath to "auto"' in sentence
    # The public path itself is not reported twice.
    assert Code.LOCAL_URL not in [it.code for it in found]


def test_of_a_bundle_of_another_form_nothing_is_said(tmp_path: Path) -> None:
    text = "(function(){window.Thing={get:function(){},init:function(){}}})();"
    assert findings(make_plugin(tmp_path, files={ENTRY: text})) == []
