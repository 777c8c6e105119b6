"""What lint says about the files of a bundle."""

from pathlib import Path

import pytest

from gateway.lint import contents
from gateway.lint.findings import Code
from tests.bundles.support import BUILDS, build
from tests.lint.support import ENTRY, Files, findings, make_plugin, sentences


def codes(folder: Path) -> list[Code]:
    return [finding.code for finding in findings(folder)]


def test_a_development_build_and_its_eval_are_warnings(tmp_path: Path) -> None:
    assert sentences(findings(make_plugin(tmp_path, "webpack-development"))) == [
        "development_build: dist/remoteEntry.js: a development build, larger and slower than"
        ' needed; build it with mode "production"',
        "eval_source_map: dist/remoteEntry.js: its modules are texts in eval(), which a"
        ' Content-Security-Policy refuses; set devtool to "source-map"',
    ]


def test_a_base_of_vite_is_a_fixed_public_path(tmp_path: Path) -> None:
    files = {"dist/index-RsKIUyGm.js": build("vite-preload"), ENTRY: build("originjs")}
    found = findings(make_plugin(tmp_path, files=files))
    (finding,) = [it for it in found if it.code == Code.FIXED_PUBLIC_PATH]
    assert finding.files == ["dist/index-RsKIUyGm.js"]
    assert "base is '/plugins/card/'" in finding.text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"dist/104.js": "", "dist/345.js": ""}, ["dist/104.js", "dist/345.js"]),
        ({"dist/104.js": "", "dist/345.19fbc5c6.js": ""}, ["dist/104.js"]),
        ({"dist/js/Card.3f2a1b.js": "", "dist/List-BVRxT2N5.js": ""}, []),
        ({"dist/List-wuMKoqQY.js": "", "dist/a1b2c3d4e5f6.mjs": ""}, []),
        ({"dist/feedback.js": ""}, ["dist/feedback.js"]),
        ({"src/104.js": "", "dist/104.js.map": "", "dist/104.css": ""}, []),
    ],
)
def test_chunks_without_a_hash_in_their_name_are_noted(
    tmp_path: Path, files: Files, expected: list[str]
) -> None:
    found = findings(make_plugin(tmp_path, files=files))
    assert [it.files for it in found if it.code == Code.UNHASHED_CHUNKS] == (
        [expected] if expected else []
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dist/104.js", ""),  # `e+".js"` makes its name, and r.e(104) says its number
        ("dist/Card.104.js", ""),
        ("dist/logo.svg", ""),  # the chunk below names it
        ("dist/104.js.map", ""),
        ("dist/104.js.LICENSE.txt", ""),
        ("dist/index.html", ""),
        ("dist/@mf-types.zip", ""),
        ("dist/mf-manifest.json", ""),
        ("src/Unused.jsx", ""),
        ("README.md", ""),
    ],
)
def test_a_file_that_may_be_loaded_is_not_called_unreferenced(
    tmp_path: Path, name: str, text: str
) -> None:
    files = {"dist/345.js": 'import("./logo.svg")', name: text}
    assert Code.UNREFERENCED_FILES not in codes(make_plugin(tmp_path, files=files))


MF_MANIFEST = (BUILDS / "mf-manifest.json").read_text()
SCRIPTS = ("__federation_expose_Card.js", "__federation_expose_List.js", "13.js")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MF_MANIFEST, None),
        ("{", "it is no manifest of Module Federation"),
        (MF_MANIFEST.replace("13.js", "14.js"), "it names 14.js, which is not there"),
    ],
)
def test_an_mf_manifest_that_preloads_nothing_is_noted(
    tmp_path: Path, text: str, problem: str | None
) -> None:
    files = {f"dist/{name}": "" for name in SCRIPTS} | {"dist/mf-manifest.json": text}
    found = [
        it.sentence
        for it in findings(make_plugin(tmp_path, files=files))
        if it.code is Code.UNUSABLE_MF_MANIFEST
    ]
    expected = f"dist/mf-manifest.json: {problem}, so pages preload less than they could;"
    assert found == ([f"{expected} build the plugin again"] if problem else [])


def test_what_an_earlier_build_left_is_noted(tmp_path: Path) -> None:
    files = {
        "dist/104.aabbcc11.js": "//# sourceMappingURL=104.aabbcc11.js.map",
        "dist/old.css": "",
    }
    found = findings(make_plugin(tmp_path, files=files))
    assert [it.files for it in found] == [["dist/104.aabbcc11.js", "dist/old.css"]]
    assert found[0].text == (
        "no file of the bundle names it; if an earlier build left it, let the bundler clean its"
        " folder"
    )


def test_beside_an_entry_at_the_top_sources_are_not_taken_for_its_chunks(tmp_path: Path) -> None:
    files = {"remoteEntry.js": build("webpack"), "src/a.jsx": "", "webpack.config.js": ""}
    folder = make_plugin(tmp_path, files={**files, ENTRY: None}, bundle_location="remoteEntry.js")
    assert codes(folder) == []


def test_a_type_that_is_not_served_is_found_only_where_the_bundle_names_the_file(
    tmp_path: Path,
) -> None:
    files = {
        "dist/345.mjs": 'fetch("model.onnx")',
        "dist/model.onnx": "x",
        "dist/notes.docx": "x",
        "dist/remoteEntry.js.LICENSE.txt": "x",
        "model2.onnx": "x",
    }
    found = [it for it in findings(make_plugin(tmp_path, files=files)) if it.severity != "note"]
    assert sentences(found) == [
        "not_served: dist/model.onnx: the bundle names it, but it is not served: .onnx is not in"
        " http.allowed_suffixes; add it there, or use another type"
    ]


def test_urls_of_the_developers_own_machine_are_noted_together(tmp_path: Path) -> None:
    files = {
        "dist/345.0011aabb.js": 'fetch("http://localhost:11434/api")',
        "dist/104.0011aabb.js": 'fetch("http://localhost:11434/api", "http://127.0.0.1:80")',
        "dist/x.html": "http://localhost:1",
    }
    (finding,) = [
        it for it in findings(make_plugin(tmp_path, files=files)) if it.code == Code.LOCAL_URL
    ]
    assert sentences([finding]) == [
        "local_url: dist/104.0011aabb.js, dist/345.0011aabb.js: http://127.0.0.1:80,"
        " http://localhost:11434 is another machine for each user; make sure that it is a default"
        " only"
    ]
    assert finding.severity == "note"


def test_reading_is_bounded_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_FILE_BYTES", 10_000)
    monkeypatch.setattr(contents, "MAX_TEXT_BYTES", 25_000)
    files = {f"dist/{number}.js": " " * 9_000 for number in (104, 345, 572)}
    folder = make_plugin(tmp_path, files={**files, "dist/104.js": b"\xff" * 11_000})
    read = contents.read_contents(folder)
    assert {name: len(text) for name, text in read.texts.items()} == {
        ENTRY: len(build("webpack")),  # the entry has its own room
        "dist/104.js": 10_000,
        "dist/345.js": 9_000,
        "dist/572.js": 0,
    }
    (finding,) = [it for it in findings(folder) if it.code == Code.PARTLY_READ]
    assert finding.files == ["dist/104.js", "dist/572.js"]


def test_of_an_entry_that_is_too_large_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MAX_FILE_BYTES", 1_000)
    files = {"dist/unread.aabbcc11.js": "", "dist/it.css": ""}
    folder = make_plugin(tmp_path, scope="Other", modules=[{"name": "Kard"}], files=files)
    assert codes(folder) == [Code.PARTLY_READ]
