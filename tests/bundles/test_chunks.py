"""Which chunks the modules of a container need at once, in real builds."""

import json

import pytest

from gateway.bundles.chunks import chunks_of_modules
from gateway.bundles.mf_manifest import scripts_of_modules
from tests.bundles.support import BUILDS, NAMES, build

CHUNKS = {
    "enhanced": ["297.js", "104.js", "338.js", "804.js"],
    "new-webpack": ["module-WebOne.19fbc5c6.js"],
    "rspack": ["397.js", "185.js", "207.js", "102.js"],
    "rspack-window": ["467.js", "185.js", "207.js", "572.js"],
    "webpack": ["345.js", "104.js", "338.js", "572.js"],
    "webpack-5.88": ["29.js", "574.js", "376.js"],
    "webpack-assign": ["104.js", "338.js", "130.js"],
    "webpack-bundled": ["575.js", "104.js", "338.js", "905.js"],
    "webpack-development": [
        "webpack_sharing_consume_default_react.js",
        "src_Card_jsx.js",
        "vendors-node_modules_react-dom_client_js.js",
        "src_List_jsx-webpack_sharing_consume_default_react-dom.js",
    ],
    "webpack-umd": ["104.js", "338.js", "130.js"],
    "webpack-window": ["345.js", "104.js", "338.js", "572.js"],
}
"""Fixed builds have their chunks elsewhere; Vite's are ES modules."""


@pytest.mark.parametrize("name", NAMES)
def test_the_chunks_of_a_real_build(name: str) -> None:
    assert list(chunks_of_modules(build(name))) == CHUNKS.get(name, [])


CONTAINER = """var A;(()=>{var t={"./X":()=>r.e(7).then(()=>()=>r(1)),
"./Y":()=>Promise.all([r.e("a-b"),r.e(7)]).then(()=>()=>r(2))};
throw new Error("does not exist in container.");r.u=%s;A=n})()"""


@pytest.mark.parametrize(
    ("file_name", "names"),
    [
        ('e=>e+".js"', ["7.js", "a-b.js"]),
        ('(chunkId) => (chunkId + ".js")', ["7.js", "a-b.js"]),
        ('(id) => {\n// a comment\n/* { */ return "" + id + ".js";\n}', ["7.js", "a-b.js"]),
        ('e=>"js/"+e+".js?v=1"', ["js/7.js?v=1", "js/a-b.js?v=1"]),
        ('e=>e+"."+{7:"0a","a-b":"1b"}[e]+".js"', ["7.0a.js", "a-b.1b.js"]),
        ('e=>e+"."+{7:"0a"}[e]+".js"', ["7.0a.js"]),
        ('e=>({7:"seven"}[e]||e)+".js"', ["seven.js", "a-b.js"]),
        ('e=>(({7:"seven"})[e] || e)+".js"', ["seven.js", "a-b.js"]),
        ('e=>(7===e?"seven":e)+"."+{7:"0a",other:"1b"}[e]+".js"', ["seven.0a.js"]),
        ('e=>("a-b"===e?"both":e)+".js"', ["7.js", "both.js"]),
        # Other forms
        ('function(e){return e+".js"}', []),
        ('e=>e+".js"+x', []),
        ('e=>e+".js".concat(x)', []),
        ('e=>e||"x"', []),
        ("e=>f(e)", []),
        ("e=>`${e}.js`", []),
        ('e=>({7:"seven"}[x]||e)+".js"', []),
        ('e=>e+{7:"a\\"b"}[e]', []),
    ],
)
def test_how_a_bundler_names_the_files_of_chunks(file_name: str, names: list[str]) -> None:
    assert list(chunks_of_modules(CONTAINER % file_name)) == names


def test_an_entry_of_a_megabyte_is_read_in_a_moment() -> None:
    """Patterns that try everywhere take linear time; a quadratic one would take minutes."""
    for filler in ("r.u=e=>{", 'r.u=e=>"a"+{', "{a:{", '.e("', "(((", "/*"):
        assert chunks_of_modules(CONTAINER % (filler * (2**20 // len(filler)))) == ()


def manifest(**changed: object) -> bytes:
    return json.dumps({"exposes": [], "shared": [], **changed}).encode()


def module(*sync: object, **keys: object) -> dict[str, object]:
    return {"assets": {"js": {"sync": sync, "async": ["late.js"]}}, **keys}


def test_the_manifest_of_a_real_build() -> None:
    """`540.js` is React, a singleton, and `930.js` is loaded later."""
    content = (BUILDS / "mf-manifest.json").read_bytes()
    names = ["__federation_expose_Card.js", "__federation_expose_List.js", "13.js"]
    assert scripts_of_modules(content) == names


def test_each_script_of_a_manifest_is_named_once() -> None:
    content = manifest(exposes=[module("a.js", "b.js"), module("b.js")], shared=[module("a.js")])
    assert scripts_of_modules(content) == ["a.js", "b.js"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"{}",
        manifest(exposes=None),
        manifest(exposes=["x"]),
        manifest(exposes=[{}]),
        manifest(exposes=[{"assets": []}]),
        manifest(exposes=[module(7)]),
        manifest(shared=["x"]),
        b"\xff",
    ],
)
def test_what_is_no_manifest_names_nothing(content: bytes) -> None:
    assert scripts_of_modules(content) is None
