"""Our own table of media types, the same on every host."""

import mimetypes

import pytest

from gateway.http.media_types import media_type
from gateway.names import AssetPath
from gateway.settings import DEFAULT_SUFFIXES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dist/remoteEntry.js", "text/javascript; charset=utf-8"),  # RFC 9239 §6
        ("dist/x.mjs", "text/javascript; charset=utf-8"),
        ("x.css", "text/css; charset=utf-8"),
        ("x.json", "application/json"),
        ("x.js.map", "application/json"),
        ("x.webmanifest", "application/manifest+json"),
        ("x.wasm", "application/wasm"),
        ("x.svg", "image/svg+xml"),
        ("x.woff", "font/woff"),
        ("x.woff2", "font/woff2"),
        ("x.ttf", "font/ttf"),
        ("x.otf", "font/otf"),
        ("x.eot", "application/vnd.ms-fontobject"),
        ("x.png", "image/png"),
        ("x.jpg", "image/jpeg"),
        ("x.jpeg", "image/jpeg"),
        ("x.avif", "image/avif"),
        ("X.JS", "text/javascript; charset=utf-8"),
        ("x.unheard", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
        ("dist.js/LICENSE", "application/octet-stream"),
    ],
)
def test_the_media_type_of_a_suffix(name: str, expected: str) -> None:
    assert media_type(AssetPath(name)).content_type == expected


@pytest.mark.parametrize("ending", DEFAULT_SUFFIXES)
def test_every_suffix_that_is_served_by_default_has_a_type(ending: str) -> None:
    assert media_type(AssetPath(f"x.{ending}")).content_type != "application/octet-stream"


@pytest.mark.parametrize(
    ("ending", "compressible"),
    [("js", True), ("svg", True), ("wasm", True), ("map", True), ("woff2", False), ("png", False)],
)
def test_formats_that_are_compressed_already_are_left_alone(
    ending: str, compressible: bool
) -> None:
    assert media_type(AssetPath(f"x.{ending}")).compressible is compressible


def test_the_table_of_the_host_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_args, **_options: ("text/wrong", None))
    monkeypatch.setitem(mimetypes.types_map, ".js", "text/wrong")
    assert media_type(AssetPath("x.js")).content_type.startswith("text/javascript")
