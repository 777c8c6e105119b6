"""Which singletons a container requires in which versions, and whether two ranges meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bundles.shared_modules import range_text, required_singletons
from gateway.bundles.version_ranges import exclude_each_other
from tests.bundles.support import NAMES, build

REQUIRED = {"react": "^18.2.0", "react-dom": ">=17 <19 || ~19.1.2"}
BUNDLED = {"react": "^19.0.0"}
EXPECTED = {
    **dict.fromkeys(
        ["enhanced", "rspack", "webpack", "webpack-5.88", "webpack-development", "webpack-es5",
         "webpack-window"],
        REQUIRED,
    ),
    "new-webpack": {"react": "^18.0.0"},
    "rspack-window": BUNDLED,
    "webpack-bundled": BUNDLED,  # react-dom is shared too, and is no singleton
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_singletons_that_a_build_requires(name: str) -> None:
    assert required_singletons(build(name)) == EXPECTED.get(name, {})


def test_where_the_function_for_singletons_cannot_be_told_nothing_is_said() -> None:
    text = build("webpack") + '"No satisfying version"'
    assert required_singletons(text) == {}


@pytest.mark.parametrize(
    ("array", "text"),
    [
        ("[1,18,2,0]", "^18.2.0"),
        ("[2,1,2]", "~1.2"),
        ("[0,17]", ">=17"),
        ("[-1,19]", "<19"),
        ("[4,19,3,1]", "=19.3.1"),
        ("[0]", "*"),
        ("[,[1,17],[1,18],1]", "^18 || ^17"),
        ("[,[-1,19],[0,17],2]", ">=17 <19"),
        ("[,[2,19,1,2],[-1,19],[0,17],2,1]", ">=17 <19 || ~19.1.2"),
        ("[,[1,17],0]", None),  # not
        ('[1,19,0,0,,"rc"]', None),
        ("[-4,1,2,3]", None),  # !=
        ("[", None),
        ("[]", None),
        ('["a"]', None),
    ],
)
def test_webpacks_arrays_are_ranges(array: str, text: str | None) -> None:
    assert range_text(array) == text


@given(st.text(alphabet='[],-0123456789 "a'))
def test_no_array_is_too_odd(array: str) -> None:
    assert isinstance(range_text(array), str | None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("^17.0.0", "^18.0.0"),
        ("17", "18.x"),
        ("^18.2.0", "<18"),
        ("<=17", ">=18"),
        (">18", "<=18"),
        ("~1.2.3", "^1.3"),
        ("^0.2.3", "^0.3.0"),
        ("^0.0.3", "^0.0.4"),
        ("1.2.3 - 1.4", ">=1.5.0"),
        ("^16 || ^17", "^18 || ^19"),
        (">= 19.0.0", "~ 18"),
        ("=18.2.0", "^18.3"),
    ],
)
def test_ranges_that_exclude_each_other(one: str, other: str) -> None:
    assert exclude_each_other(one, other)
    assert exclude_each_other(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("^18.2.0", "^18.0.0"),
        ("^18", "18.2.0"),
        (">=17", "^19"),
        ("*", "^1"),
        ("", "^1"),
        ("^16 || ^18", "^17 || 18.1"),
        ("^0", "0.5"),
        ("~1", "1.9.9"),
        ("1.2.3 - 1.4", "1.4.9"),
        ("^19.0.0-rc.1", "^19.0.0"),
        ("<=18.2", "18.2.5"),
        # Who cannot be read excludes nobody.
        ("workspace:*", "^1"),
        ("latest", "^1"),
        ("^1", "1.2.3.4"),
    ],
)
def test_ranges_that_meet_or_cannot_be_read(one: str, other: str) -> None:
    assert not exclude_each_other(one, other)
    assert not exclude_each_other(other, one)


@given(st.text(alphabet="0123456789.xX*^~<>=|- v"), st.text(alphabet="0123456789.^|<"))
def test_no_range_is_too_odd(one: str, other: str) -> None:
    assert exclude_each_other(one, other) == exclude_each_other(other, one)
