"""RFC 9842: dictionaries that a request names, and the URLs that a dictionary is for."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.dictionaries import (
    accepts_dcz,
    match_pattern,
    parse_available_dictionary,
    stem,
    use_as_dictionary,
)
from gateway.names import AssetPath, Slug

SLUG = Slug("One")
DIGEST = bytes(range(32))
TEXT = base64.b64encode(DIGEST)


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"::",
        TEXT,  # no byte sequence without colons
        b":" + TEXT,
        TEXT + b":",
        b":" + TEXT + b":, :" + TEXT + b":",  # a field that was repeated
        b":" + TEXT + b":;a=1",  # a parameter
        b" :" + TEXT + b":",
        b":" + TEXT + b":\n",
        b":" + TEXT.rstrip(b"=") + b":",
        b":" + TEXT[:-2] + b"9=:",  # bits after the end: another spelling of one digest
        b":" + base64.b64encode(DIGEST[:31]) + b":",
        b":" + base64.b64encode(DIGEST + b"a") + b":",
        b":" + base64.urlsafe_b64encode(b"\xff" * 32) + b":",
        b'"' + TEXT + b'"',
        b"*",
    ],
)
def test_anything_but_one_digest_names_no_dictionary(field: bytes) -> None:
    assert parse_available_dictionary(field) is None


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_is_read_as_it_was_written(digest: bytes) -> None:
    field = b":" + base64.b64encode(digest) + b":"
    assert parse_available_dictionary(field) == digest


@given(st.binary(max_size=60))
def test_any_field_is_one_digest_or_none(field: bytes) -> None:
    digest = parse_available_dictionary(field)
    assert digest is None or field == b":" + base64.b64encode(digest) + b":"


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        (b"gzip, br, zstd, dcb, dcz", True),
        (b"dcz", True),
        (b"DCZ", True),
        (b"dcz;q=0.5", True),
        (b"br;q=1.0, dcz;q=0.001", True),
        (b"dcz;q=0", False),
        (b"dcz;q=0.000", False),
        (b"*", False),  # RFC 9842 §6.1: nobody can read it without the dictionary
        (b"*, dcz;q=0", False),
        (b"gzip, br, zstd, dcb", False),
        (b"", False),
        (b"dcz2", False),
        (b"dcz;q=2", False),
        (b"dcz" + b", br" * 100, False),  # longer than any client needs
    ],
)
def test_dcz_is_accepted_by_name_alone(field: bytes, accepted: bool) -> None:
    assert accepts_dcz(field) is accepted


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dist/remoteEntry.js", "dist/remoteEntry.js"),
        ("plugin.json", "plugin.json"),
        # webpack, Rspack, Parcel
        ("dist/123.4f2a9c1b.js", "dist/123.*.js"),
        ("dist/src_App_js.4f2a9c1b73d05e86.chunk.js", "dist/src_App_js.*.chunk.js"),
        ("dist/4f2a9c1b.js", "dist/*.js"),
        ("dist/main-4f2a9c1b.css", "dist/main-*.css"),
        ("dist/123.4f2a9c1b.js.map", "dist/123.*.js.map"),
        ("dist/a.4f2a9c1b.b.73d05e86.js", "dist/a.*.b.*.js"),
        ("assets/logo_4f2a9c1b.svg", "assets/logo_*.svg"),
        # Vite, Rollup 4, esbuild
        ("assets/index-BfNk3a_x.js", "assets/index-*.js"),
        ("assets/index-BfNk3a_x.js.map", "assets/index-*.js.map"),
        ("assets/__federation_expose_App-DcX-1-_k.js", "assets/__federation_expose_App-*.js"),
        ("assets/my-widget-C4fQ9aZz.css", "assets/my-widget-*.css"),
        ("out/chunk-6QJ2WVXN.js", "out/chunk-*.js"),
        # No hashes
        ("dist/my-elements.js", "dist/my-elements.js"),
        ("dist/deadbeef.js", "dist/deadbeef.js"),
        ("dist/4f2a9c1.js", "dist/4f2a9c1.js"),
        ("dist/x4f2a9c1b.js", "dist/x4f2a9c1b.js"),
        ("dist/index-BfNk3a_xy.js", "dist/index-BfNk3a_xy.js"),
        ("dist/index-BfNk3a_x", "dist/index-BfNk3a_x"),
        # Only the name of the file has a hash that counts.
        ("4f2a9c1b/remoteEntry.js", "4f2a9c1b/remoteEntry.js"),
    ],
)
def test_files_with_one_stem_are_versions_of_one_file(path: str, expected: str) -> None:
    assert stem(AssetPath(path)) == expected


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("remoteEntry.js", "../One/../{@*/}?remoteEntry.js"),
        ("dist/remoteEntry.js", "../../One/../{@*/}?dist/remoteEntry.js"),
        ("dist/a/b.123.4f2a9c1b.js", "../../../One/../{@*/}?dist/a/b.123.*.js"),
        ("dist/vendors~main.js", "../../One/../{@*/}?dist/vendors~main.js"),
        ("dist/@scope+name.js", r"../../One/../{@*/}?dist/@scope\+name.js"),
        ("dist/(group)/a:b*.js", r"../../../One/../{@*/}?dist/\(group\)/a\:b\*.js"),
        # A browser would percent-encode these, or a pattern reads them in a way of its own.
        ("dist/a b.js", None),
        ("dist/é.js", None),
        ("dist/{a}.js", None),
        ("dist/a?.js", None),
        ("dist/a#b.js", None),
        ("dist/100%.js", None),
        ('dist/"a".js', None),
        ("dist/[slug].js", None),
        ("dist/a|b.js", None),
        ("dist/\ud800.js", None),
    ],
)
def test_a_dictionary_is_for_one_file_of_its_plugin(path: str, pattern: str | None) -> None:
    assert match_pattern(SLUG, AssetPath(path)) == pattern


def test_plugins_with_files_of_one_name_have_different_patterns() -> None:
    path = AssetPath("dist/remoteEntry.js")
    assert match_pattern(SLUG, path) != match_pattern(Slug("Two"), path)


def test_the_field_is_a_string_of_structured_fields() -> None:
    assert (
        use_as_dictionary(SLUG, AssetPath("dist/a+b.js"))
        == rb'match="../../One/../{@*/}?dist/a\\+b.js"'
    )
    assert use_as_dictionary(SLUG, AssetPath("dist/a b.js")) is None


_TOKEN = re.compile(r"\\(.)|(\{@\*/\}\?)|(\*)|(.)", re.DOTALL)


def _as_regex(pattern: str) -> str:
    """What a browser makes of a pattern, for the four forms that are used here."""
    return "".join(
        "(?:@.*/)?" if group else ".*" if star else re.escape(escaped or literal)
        for escaped, group, star, literal in _TOKEN.findall(pattern)
    )


def _matches(path: AssetPath, url: str) -> bool:
    """`url`: below `/plugins/`."""
    pattern = match_pattern(SLUG, path)
    assert pattern is not None
    ups = "../" * (path.count("/") + 1) + "One/../"
    assert pattern.startswith(ups)
    below = _as_regex(pattern.removeprefix(ups))
    return re.fullmatch(f"One/{below}", url) is not None


_SEGMENT = st.text("abAB09.@!$&'()*+,:;=_~-", min_size=1, max_size=12).filter(
    lambda text: text[0] not in ".@"
)
_PATHS = st.lists(_SEGMENT, min_size=1, max_size=4).map(lambda parts: AssetPath("/".join(parts)))
_PIN = "@1.0.0~0123456789abcdef"


@given(_PATHS)
def test_a_pattern_covers_the_file_itself_pinned_and_not(path: AssetPath) -> None:
    assert _matches(path, f"One/{path}")
    assert _matches(path, f"One/{_PIN}/{path}")
    assert not _matches(path, f"Two/{path}")
    assert not _matches(path, f"Two/{_PIN}/{path}")
    assert not _matches(path, path)


@given(_PATHS, _PATHS)
def test_a_pattern_covers_no_file_with_another_stem(path: AssetPath, other: AssetPath) -> None:
    if stem(path) == path and other != path:
        assert not _matches(path, f"One/{other}")
        assert not _matches(path, f"One/{_PIN}/{other}") or other.endswith(f"/{path}")
