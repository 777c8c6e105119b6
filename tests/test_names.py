"""Text from outside becomes a name or is refused: gateway/names.py."""

import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import AssetNotFound, AssetTypeNotAllowed, RequestError
from gateway.names import (
    AssetPath,
    Build,
    Pin,
    Target,
    Version,
    newest_first,
    parse_asset_path,
    parse_new_version,
    parse_pin,
    parse_slug,
    parse_source_url,
    parse_target,
    parse_user_id,
    parse_version,
    portable_problem,
    suffix,
)

BUILD = "4f2a9c1b73d05e86"

_HEX = "0123456789abcdef"
_WORD = string.ascii_letters + string.digits + "_"
_PIECES = rb"Review / .. . %2e %2F %5c %00 @1.0~ % %c3 \ a.js %40 %7e // 4f2a9c1b73d05e86".split()
_DEVICES = ("con", "prn", "aux", "nul", *(f"com{n}" for n in "09"), *(f"lpt{n}" for n in "19"))

builds = st.text(_HEX, min_size=16, max_size=16).map(Build)
versions = (
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", fullmatch=True)
    .filter(lambda text: not text.endswith(".") and text.lower().split(".")[0] not in _DEVICES)
    .filter(lambda text: text.lower().split(".")[0][:3] not in {"com", "lpt"})
    .map(parse_version)
)
pins = st.builds(Pin, versions, builds)
segments = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='/\\:*?"<>|'),
    min_size=1,
    max_size=20,
).filter(lambda text: text[0] not in ".@")
asset_texts = st.lists(segments, min_size=1, max_size=4).map("/".join)


def in_url(text: str) -> bytes:
    """A path as a browser sends it."""
    return quote(text, safe="/@~!$&'()*+,;=").encode()


# Components: slug, version, user id


@pytest.mark.parametrize(
    "text",
    ["NetworkReview", "network-review", "a", "_x", "9lives", "a.b", "console", "com10", "x" * 100],
)
def test_a_slug_is_one_portable_component(text: str) -> None:
    assert parse_slug(text) == text


@pytest.mark.parametrize(
    "text", ["1.0.0", "1.0", "2.0.0-beta.1", "1.0.0+build.5", "2026-01-02", "x" * 64]
)
def test_a_version_is_one_portable_component(text: str) -> None:
    assert parse_version(text) == text


_REFUSED_EVERYWHERE = [
    pytest.param("", id="empty"),
    pytest.param(".", id="dot"),
    pytest.param("..", id="dot dot"),
    pytest.param(".hidden", id="dotfile"),
    pytest.param("a/b", id="separator"),
    pytest.param("a\\b", id="backslash"),
    pytest.param("a\x00b", id="NUL"),
    pytest.param("a b", id="space"),
    pytest.param("a\n", id="trailing newline"),
    pytest.param(" a", id="leading space"),
    pytest.param("-a", id="leading dash"),
    pytest.param("a.", id="trailing dot"),
    pytest.param("a...", id="trailing dots"),
    pytest.param("c:a", id="drive"),
    pytest.param("a~1", id="tilde"),
    pytest.param("%2e", id="percent"),
    pytest.param("é", id="not ASCII"),
    pytest.param("\u0661", id="digit of another script"),
    pytest.param("x" * 101, id="over-long"),
    pytest.param(None, id="NULL"),
    pytest.param(1, id="number"),
    pytest.param(b"a", id="bytes"),
    *(pytest.param(name, id=f"device {name}") for name in _DEVICES),
    *(pytest.param(name, id=f"device {name}") for name in ("NUL", "Con", "aux.1", "com1.0.0")),
]


@pytest.mark.parametrize("text", _REFUSED_EVERYWHERE)
def test_a_slug_that_is_no_portable_component_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a plugin slug"):
        parse_slug(text)


@pytest.mark.parametrize("text", _REFUSED_EVERYWHERE)
def test_a_version_that_is_no_portable_component_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version(text)


@pytest.mark.parametrize("text", ["v1.0.0", "V2", "v1"])
def test_a_version_that_is_named_with_the_v_of_its_folder_is_refused(text: str) -> None:
    """Its folder would be `vv1.0.0`. The application may have such a row, which is served."""
    assert parse_version(text) == text
    with pytest.raises(ValueError, match=f"belongs to the folder: {text[1:]}"):
        parse_new_version(text)


@pytest.mark.parametrize("text", ["1.0.0", "vendor-1", "version1", "x"])
def test_other_versions_are_named_as_they_are(text: str) -> None:
    assert parse_new_version(text) == text
    with pytest.raises(ValueError, match="not a version"):
        parse_new_version(f"../{text}")


@pytest.mark.parametrize(
    "text", ["https://example.org", "http://[::1]:8000/a?b=c#d", "HTTPS://example.org/ä"]
)
def test_a_source_is_a_url_of_the_web(text: str) -> None:
    assert parse_source_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "javascript:alert(1)", "javascript://example.org/%0aalert(1)", "data:text/html,x", "//x",
        "file:///etc/passwd", "ftp://example.org", "https:", "https://", "https:///x", "",
        " https://example.org", "https://exa mple.org", "https://example.org/\n", "java\tscript:x",
        "https://example.org/\ud800", "https://" + "x" * 2048, None, 7,
    ],
)  # fmt: skip
def test_a_source_that_a_page_must_not_link_to_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"not a URL|surrogates"):
        parse_source_url(text)


@pytest.mark.parametrize("text", _REFUSED_EVERYWHERE)
def test_a_user_id_that_is_no_portable_component_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a user id"):
        parse_user_id(text)


def test_a_version_that_would_make_its_folder_name_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version("1" * 65)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 32, "a" * 32),
        ("ada", "ada"),
        ("ada@example.org", "ada@example.org"),
        ("123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"),
        # BrainDrive-Core: dashes are removed before the look-up, case is kept.
        ("123E4567-E89B-12d3-A456-426614174000", "123E4567E89B12d3A456426614174000"),
        ("not-a-uuid", "not-a-uuid"),
        ("123e4567-e89b-12d3-a456-42661417400", "123e4567-e89b-12d3-a456-42661417400"),
        ("123e4567e89b-12d3-a456-426614174000", "123e4567e89b-12d3-a456-426614174000"),
    ],
)
def test_a_uuid_with_dashes_means_the_same_user_without_them(text: str, expected: str) -> None:
    assert parse_user_id(text) == expected


@given(st.text() | st.text(_WORD + ".-+~/\\", max_size=12))
@example("COM¹")
def test_a_component_that_passes_is_one_name_below_its_folder(text: str) -> None:
    for parse in (parse_slug, parse_version, parse_user_id):
        try:
            name = parse(text)
        except ValueError:
            continue
        assert (Path("folder") / name).parent == Path("folder")
        assert len(f"user_{name}.lock".encode()) <= 255
        assert set(name) <= set(_WORD + ".+-@")


# Asset paths


@pytest.mark.parametrize(
    "text",
    [
        "dist/remoteEntry.js",
        "1.js",
        "a/b/c/d/e.css",
        "dist/chunk~vendors.js",
        "fonts/Ünïcode 日本.woff2",
        "a..b/c...js",
        "@scope.js",
        "-/x.js",
        "x" * 252 + ".js",
    ],
)
def test_an_ordinary_asset_path_stays_as_it_is(text: str) -> None:
    assert parse_asset_path(text) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("..", id="dot dot"),
        pytest.param("../x.js", id="leading dot segment"),
        pytest.param("dist/../../x.js", id="inner dot segments"),
        pytest.param("dist/..", id="trailing dot segment"),
        pytest.param("./x.js", id="single dot"),
        pytest.param("dist/./x.js", id="inner single dot"),
        pytest.param("...", id="three dots"),
        pytest.param(".env", id="dotfile"),
        pytest.param(".git/config.json", id="dot folder"),
        pytest.param("dist/.hidden.js", id="inner dotfile"),
        pytest.param("/etc/x.js", id="absolute"),
        pytest.param("dist//x.js", id="empty segment"),
        pytest.param("..\\x.js", id="backslash climbing"),
        pytest.param("dist\\x.js", id="backslash"),
        pytest.param("x\x00.js", id="NUL"),
        pytest.param("x\n.js", id="newline"),
        pytest.param("x\x7f.js", id="DEL"),
        pytest.param("x\x85.js", id="next line"),
        pytest.param("x\x9b.js", id="control sequence introducer"),
        pytest.param("x" * 253 + ".js", id="name over 255 bytes"),
        pytest.param("é" * 127 + "x.js", id="name over 255 bytes in UTF-8"),
        pytest.param("x/" * 1023 + "x.js", id="path over 2048 bytes"),
    ],
)
def test_an_asset_path_that_leaves_hides_or_cannot_be_is_refused_as_absent(text: str) -> None:
    with pytest.raises(AssetNotFound):
        parse_asset_path(text)


ONLY_ELSEWHERE = [
    "x?.js",
    "x*.js",
    "c:x.js",
    "x.js::$DATA",
    'x".js',
    "<x>.js",
    "x|y.js",
    "?",
    "?v=1",
]


@pytest.mark.parametrize("text", ONLY_ELSEWHERE)
def test_a_name_that_only_windows_refuses_is_an_asset_path(text: str) -> None:
    assert parse_asset_path(text) == text
    assert parse_target(in_url(f"Review/dist/{text}")).asset_path == f"dist/{text}"


@pytest.mark.parametrize("text", ONLY_ELSEWHERE)
def test_a_name_that_windows_refuses_is_published_nowhere(text: str) -> None:
    assert portable_problem(f"dist/{text}") is not None


@pytest.mark.parametrize("text", ["", "dist/", "/", "a/b/"])
def test_a_folder_is_no_asset(text: str) -> None:
    # BrainDrive-Core: 403 also for `dist/` and the empty path.
    with pytest.raises(AssetTypeNotAllowed):
        parse_asset_path(text)


@given(st.text() | asset_texts | st.text(alphabet="./\\a:@\x00", max_size=12))
@example("a/../../b")
@example("a/..")
def test_an_asset_path_joined_to_a_folder_never_leaves_it(text: str) -> None:
    try:
        asset_path = parse_asset_path(text)
    except RequestError:
        return
    folder = Path("/plugins/shared/Review/v1.0")
    joined = folder / asset_path
    assert joined.is_relative_to(folder)
    assert joined != folder
    assert ".." not in joined.parts
    assert "/".join(joined.relative_to(folder).parts) == text


@given(asset_texts)
def test_every_path_of_ordinary_names_is_an_asset_path(text: str) -> None:
    assert parse_asset_path(text) == text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dist/remoteEntry.js", ".js"),
        ("X.JS", ".js"),
        ("a.tar.gz", ".gz"),
        ("dist.js/readme", ""),
        ("LICENSE", ""),
        ("trailing.", "."),
        ("dist/x.py ", ".py "),
    ],
)
def test_the_suffix_is_that_of_the_last_segment_in_lower_case(path: str, expected: str) -> None:
    assert suffix(AssetPath(path)) == expected


# Pins


@given(pins)
def test_a_formatted_pin_parses_to_itself(pin: Pin) -> None:
    assert parse_pin(str(pin)) == pin


def changed_at(text: str, place: int, character: str) -> str:
    return text[:place] + character + text[place + 1 :]


@given(
    st.builds(changed_at, pins.map(str), st.integers(0, 40), st.text(f"@~{_HEX}.vA", max_size=2))
)
def test_a_text_that_parses_as_a_pin_is_its_one_spelling(text: str) -> None:
    try:
        pin = parse_pin(text)
    except AssetNotFound:
        return
    assert str(pin) == text


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param("@1.0.0", id="no build"),
        pytest.param(f"1.0.0~{BUILD}", id="no at sign"),
        pytest.param(f"@@1.0.0~{BUILD}", id="two at signs"),
        pytest.param(f"@~{BUILD}", id="no version"),
        pytest.param("@1.0.0~", id="empty build"),
        pytest.param(f"@1.0.0~{BUILD[:-1]}", id="short build"),
        pytest.param(f"@1.0.0~{BUILD}0", id="long build"),
        pytest.param(f"@1.0.0~{BUILD.upper()}", id="upper case"),
        pytest.param(f"@1.0.0~{BUILD}\n", id="newline"),
        pytest.param(f"@..~{BUILD}", id="dot segment as version"),
        pytest.param(f"@nul~{BUILD}", id="device as version"),
        pytest.param(f"@1.0.0~{BUILD}~{BUILD}", id="two builds"),
        pytest.param("", id="empty"),
    ],
)
def test_a_segment_that_is_no_pin_is_refused_as_absent(segment: str) -> None:
    with pytest.raises(AssetNotFound):
        parse_pin(segment)


# Targets


@given(st.text(_WORD + "-.", min_size=1).filter(lambda text: text[0] != "."), asset_texts)
def test_an_unpinned_path_parses_to_its_parts(plugin: str, asset: str) -> None:
    expected = Target(plugin, None, AssetPath(asset), suffix(AssetPath(asset)))
    assert parse_target(in_url(f"{plugin}/{asset}")) == expected


@given(pins, asset_texts)
def test_a_pinned_path_parses_to_its_parts(pin: Pin, asset: str) -> None:
    target = parse_target(in_url(f"Review/{pin}/{asset}"))
    assert target == Target("Review", pin, AssetPath(asset), suffix(AssetPath(asset)))


@given(
    st.binary()
    | st.lists(
        st.sampled_from(_PIECES),
        max_size=10,
    ).map(b"".join)
)
@example(b"Review/%252e%252e/x.js")
@example(b"%")
def test_any_bytes_become_a_target_or_an_error_of_ours(raw: bytes) -> None:
    try:
        target = parse_target(raw)
    except (AssetNotFound, AssetTypeNotAllowed):
        return
    parts = target.asset_path.split("/")
    assert target.plugin
    assert not target.plugin.startswith(".")
    assert "/" not in target.plugin
    assert all(part and not part.startswith(".") for part in parts)
    assert not any(character in target.asset_path for character in "\\\x00")
    assert target.asset_path == parse_asset_path(target.asset_path)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"Review/../x.js", id="dot segment"),
        pytest.param(b"Review/%2e%2e/x.js", id="encoded dot segment"),
        pytest.param(b"Review/.%2E/x.js", id="half encoded dot segment"),
        pytest.param(b"Review/dist%2fx.js", id="encoded slash"),
        pytest.param(b"Review/..%2F..%2Fetc/x.js", id="encoded slash, climbing"),
        pytest.param(b"Review%2fx.js", id="encoded slash after the plugin"),
        pytest.param(b"Review/dist%5cx.js", id="encoded backslash"),
        pytest.param(b"Review/dist%5Cx.js", id="encoded backslash, upper case"),
        pytest.param(b"Review/dist\\x.js", id="backslash"),
        pytest.param(b"Review/x.js%00.png", id="NUL"),
        pytest.param(b"Rev%00iew/x.js", id="NUL in the plugin"),
        pytest.param(b"Review/%c3%28.js", id="not UTF-8"),
        pytest.param(b"Review/%c0%ae%c0%ae/x.js", id="overlong UTF-8 dots"),
        pytest.param(b"Review/%ed%a0%80.js", id="surrogate"),
        pytest.param(b"Review/.env", id="dotfile"),
        pytest.param(b"Review/%2eenv", id="encoded dotfile"),
        pytest.param(b"Review//x.js", id="empty segment"),
        pytest.param(b"/Review/x.js", id="empty plugin"),
        pytest.param(b"../Review/x.js", id="plugin that climbs"),
        pytest.param(b"%2e%2e/x.js", id="encoded plugin that climbs"),
        pytest.param(b"Review/@1.0.0/x.js", id="pin without a build"),
        pytest.param(b"Review/@1.0.0~xyz/x.js", id="pin with a bad build"),
        pytest.param(f"Review/@../~{BUILD}/x.js".encode(), id="pin that climbs"),
        pytest.param(b"Review/" + b"x" * 256, id="over-long name"),
        pytest.param(b"x" * 256 + b"/x.js", id="longer than any id of a plugin"),
    ],
)
def test_a_path_that_no_file_can_have_is_refused_as_absent(raw: bytes) -> None:
    with pytest.raises(AssetNotFound):
        parse_target(raw)


@pytest.mark.parametrize(
    "raw", [b"Review", b"Review/", b"Review/dist/", f"Review/@1.0.0~{BUILD}".encode()]
)
def test_a_path_of_a_folder_is_refused_as_a_type(raw: bytes) -> None:
    with pytest.raises(AssetTypeNotAllowed):
        parse_target(raw)


def test_a_path_is_decoded_exactly_once() -> None:
    target = parse_target(b"Review/%2541%20b.js")
    assert target.asset_path == "%41 b.js"


def test_a_pin_may_arrive_percent_encoded() -> None:
    target = parse_target(f"Review/%401.0.0%7E{BUILD}/x.js".encode())
    assert target.pin == Pin(parse_version("1.0.0"), Build(BUILD))


def test_an_at_sign_further_inside_is_part_of_the_asset_path() -> None:
    target = parse_target(b"Review/dist/@scope/x.js")
    assert (target.pin, target.asset_path) == (None, "dist/@scope/x.js")


def test_newest_first_puts_pre_releases_and_other_texts_after_the_releases() -> None:
    texts = ["1.9.0", "latest", "2.0.0-rc1", "1.10.0", "1.0.0"]
    order = newest_first(map(Version, texts))
    assert order == ["1.10.0", "1.9.0", "1.0.0", "2.0.0-rc1", "latest"]


def test_versions_that_share_a_prefix_stay_different_names() -> None:
    short = parse_target(f"Review/@1.0~{BUILD}/x.js".encode()).pin
    long = parse_target(f"Review/@1.0.1~{BUILD}/x.js".encode()).pin
    assert short is not None
    assert long is not None
    assert (short.version, long.version) == ("1.0", "1.0.1")
    folder = Path("/plugins/shared/Review")
    assert not (folder / f"v{long.version}").is_relative_to(folder / f"v{short.version}")
