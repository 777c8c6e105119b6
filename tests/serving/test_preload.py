"""`preload`: what a page may ask for in the same round trip as the entry."""

import json
from pathlib import Path

import pytest

from gateway.disk.builds import FolderState, look_at
from gateway.serving import preloading
from gateway.serving.preloading import scripts_beside
from tests.bundles.support import BUILDS, build
from tests.support.server import serving
from tests.support.site import ADA, Site, bearer
from tests.support.urls import ENTRY, MANIFEST, integrity_of, public

WEBPACK = build("webpack")
"""Its modules need 345, 104, 338 and 572. 345 is React, which the page shares: it has no file."""
FILES = {ENTRY: WEBPACK, **{f"dist/{name}.js": f"/* {name} */" for name in (104, 338, 572, 999)}}
CHUNKS = ("dist/104.js", "dist/338.js", "dist/572.js")


def written(folder: Path, files: dict[str, str]) -> tuple[Path, FolderState]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    state = look_at(folder, None)
    assert state is not None
    return folder, state


def mf_manifest(*names: object) -> str:
    exposed = {"assets": {"js": {"sync": names, "async": []}}}
    return json.dumps({"exposes": [exposed], "shared": []})


@pytest.mark.parametrize("manifest", [MANIFEST, f"{MANIFEST}/designer"])
def test_a_manifest_names_the_entry_and_its_chunks_with_their_integrity(
    tmp_path: Path, manifest: str
) -> None:
    site = Site(tmp_path)
    site.publish("MyCard", "1.0.0", FILES)
    site.record("MyCard", "1.0.0")
    site.give(ADA, "MyCard", "1.0.0")
    with serving(site.environment) as server:
        plugin = server.get(manifest, bearer(ADA)).json["MyCard"]
        pin = plugin["bundlelocation"].removesuffix(ENTRY)
        preload = plugin["preload"]
        assert [it["href"] for it in preload] == [pin + path for path in (ENTRY, *CHUNKS)]
        for script in preload:
            body = server.get(public("MyCard", script["href"])).body
            assert script["integrity"] == integrity_of(body)


def test_without_integrity_there_is_no_preload(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish("MyCard", "1.0.0", FILES)
    site.give(ADA, "MyCard", "1.0.0")
    with serving(site.environment) as server:
        assert "preload" not in server.get(MANIFEST, bearer(ADA)).json["MyCard"]


def test_the_manifest_of_the_bundler_counts_before_the_text_of_the_entry(tmp_path: Path) -> None:
    files = {**FILES, "dist/mf-manifest.json": mf_manifest("999.js", "104.js")}
    assert scripts_beside(*written(tmp_path, files), ENTRY) == ("dist/999.js", "dist/104.js")


def test_the_real_manifest_of_a_real_build(tmp_path: Path) -> None:
    names = ("__federation_expose_Card.js", "__federation_expose_List.js", "13.js")
    files = {
        "remoteEntry.js": build("enhanced"),
        "mf-manifest.json": (BUILDS / "mf-manifest.json").read_text(),
        **dict.fromkeys((*names, "540.js", "930.js"), "/* */"),
    }
    assert scripts_beside(*written(tmp_path, files), "remoteEntry.js") == names


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        mf_manifest("../plugin.js"),
        mf_manifest("none.js", "style.css", "", "/104.js"),
    ],
)
def test_a_manifest_that_is_broken_or_lies_adds_nothing(tmp_path: Path, content: str) -> None:
    files = {**FILES, "plugin.js": "", "dist/style.css": "", "dist/mf-manifest.json": content}
    assert scripts_beside(*written(tmp_path, files), ENTRY) == ()


def test_it_is_bounded(tmp_path: Path) -> None:
    names = [f"{number}.js" for number in range(100)]
    files = {ENTRY: WEBPACK, **{f"dist/{name}": name for name in names}}
    files["dist/mf-manifest.json"] = mf_manifest(*names)
    found = scripts_beside(*written(tmp_path, files), ENTRY)
    assert found == tuple(f"dist/{name}" for name in names[:19])


@pytest.mark.parametrize("name", [ENTRY, "dist/mf-manifest.json"])
def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**FILES, "dist/mf-manifest.json": mf_manifest("999.js")}
    monkeypatch.setattr(preloading, "_MAX_BYTES", len(files[name]) - 1)
    assert scripts_beside(*written(tmp_path, files), ENTRY) == ()


def test_a_file_that_changed_since_the_look_says_nothing(tmp_path: Path) -> None:
    folder, state = written(tmp_path, FILES)
    assert scripts_beside(folder, state, ENTRY) == CHUNKS
    (folder / ENTRY).write_text(build("webpack-5.88"))
    assert scripts_beside(folder, state, ENTRY) == ()


@pytest.mark.parametrize("name", ["vite-script", "vite-module", "new-vite", "originjs"])
def test_of_containers_made_of_es_modules_the_entry_alone_is_named(
    tmp_path: Path, name: str
) -> None:
    files = {**FILES, ENTRY: build(name), "dist/mf-manifest.json": mf_manifest("104.js")}
    assert scripts_beside(*written(tmp_path, files), ENTRY) == ()


def test_an_entry_that_is_missing_has_nothing_beside_it(tmp_path: Path) -> None:
    assert scripts_beside(*written(tmp_path, FILES), "dist/none.js") == ()
