"""How a bundle was built, read from real builds."""

import pytest

from gateway.bundles.building import (
    evaluates_its_modules,
    fixed_base,
    fixed_public_path,
    is_development_build,
    local_urls,
)
from tests.bundles.support import NAMES, build

FIXED = {
    "webpack-fixed": "http://localhost:3003/",
    "webpack-development-fixed": "http://localhost:3003/",
    "rspack-fixed": "/plugins/card/",
}
DEVELOPMENT = {"webpack-development", "webpack-development-fixed"}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_path_that_is_not_automatic_is_read(name: str) -> None:
    assert fixed_public_path(build(name)) == FIXED.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_base_of_vite_is_read_where_it_preloads(name: str) -> None:
    assert fixed_base(build(name)) == ("/plugins/card/" if name == "vite-preload" else None)


@pytest.mark.parametrize("name", NAMES)
def test_a_development_build_is_told_from_the_others(name: str) -> None:
    assert is_development_build(build(name)) == (name in DEVELOPMENT)
    assert evaluates_its_modules(build(name)) == (name == "webpack-development")


def test_an_empty_public_path_is_a_fixed_one() -> None:
    text = build("webpack-fixed").replace("http://localhost:3003/", "")
    assert fixed_public_path(text) == ""


def test_beside_an_automatic_public_path_a_text_in_p_is_something_else() -> None:
    assert fixed_public_path(build("webpack") + ';r.p="/x/"') is None


@pytest.mark.parametrize(
    "text",
    [
        't.p="/plugins/card/"',  # of an object that loads no chunks
        'r.p="paragraph",r.u=e=>e',  # no path
        'a.r.p="/x/",r.u=e=>e',
    ],
)
def test_another_property_p_is_no_public_path(text: str) -> None:
    assert fixed_public_path(text) is None


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ('fetch("http://localhost:3003/x")', ["http://localhost:3003"]),
        ("ws://127.0.0.1:8080/ws wss://[::1]:1", ["ws://127.0.0.1:8080", "wss://[::1]:1"]),
        ("http://localhost:1 http://localhost:1", ["http://localhost:1"]),
        ('new URL(path,"http://localhost")', []),
        ("http://localhost.example:80 https://localhost:123456 http://example:80", []),
    ],
)
def test_urls_of_the_developers_own_machine(text: str, urls: list[str]) -> None:
    assert local_urls(text) == urls
