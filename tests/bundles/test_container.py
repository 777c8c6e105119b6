"""The container in an entry: its name and what it exposes, in the output of each bundler."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bundles.container import container_name, exposed_modules, imported_entry, is_module
from gateway.bundles.literals import object_keys
from tests.bundles.support import NAMES, build

ENTRIES = [name for name in NAMES if name != "vite-preload"]
MODULES = {"new-vite-container", "originjs", "vite-module", "webpack-module"}
EXPOSED = {"new-webpack": {"./WebOne"}, "new-vite-container": {"./MyCard"}}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_script_leaves_its_container_in_a_global_variable_and_a_module_in_none(name: str) -> None:
    assert container_name(build(name)) == (
        None if name in MODULES else "WebOne" if name == "new-webpack" else "MyCard"
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_an_es_module_is_told_from_a_script(name: str) -> None:
    assert is_module(build(name)) == (name in MODULES)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_exposed_modules_are_read(name: str) -> None:
    is_in_another_file = name in {"new-vite", "vite-script"}
    expected = None if is_in_another_file else EXPOSED.get(name, {"./Card", "./List"})
    assert exposed_modules(build(name)) == expected


def test_the_script_of_vite_says_which_module_it_imports() -> None:
    assert imported_entry(build("vite-script")) == "remoteEntry.js"
    assert imported_entry(build("new-vite")) == "container-CUf8RH2r.js"
    assert imported_entry(build("webpack")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "var MyCard;",
        # An application, not a container, that ends as webpack's do.
        "(()=>{var e={1(e,t,r){}};function r(n){}window.App=r(1)})();",
        "(()=>{does not exist in container; var app = r(1);})();",
        # JupyterLab's extensions: the container is a member of the variable.
        "var _LAB;(()=>{does not exist in container;(_LAB=void 0===_LAB?{}:_LAB).x=n})();",
        "(()=>{does not exist in container; __webpack_exports__ = r(1);})();",
        'does not exist in container;var e={"./a":()=>r.e(1),"b":()=>r.e(2)}',
        "(()=>{does not exist in container; var a=1,b=r(1)})();",
        # A table of webpack's modules, by their paths, is no table of exposed modules.
        '"does not exist in container";var e={"./src/a.js":(e,t)=>{},"./src/b.js":()=>{}}',
    ],
)
def test_of_another_form_nothing_is_said(text: str) -> None:
    assert container_name(text) is None
    assert exposed_modules(text) is None
    assert not is_module(text)


def test_two_tables_that_could_be_the_exposed_modules_are_none() -> None:
    table = '{"./Card":()=>r.e(1)}'
    text = f"does not exist in container;var a={table},b={table}"
    assert exposed_modules(text) is None


@pytest.mark.parametrize("quote", ['["My-Card"]', "['My-Card']"])
def test_a_name_that_is_no_identifier_is_read_too(quote: str) -> None:
    text = build("webpack-window").replace("window.MyCard=", f"window{quote}=")
    assert container_name(text) == "My-Card"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("{}", []),
        ('{"a":1,"b":{"c":2}}', ["a", "b"]),
        ('{\'a\': () => x(\'b\', {"c": 1}), /* "d": */ "e": `}"f":`}', ["a", "e"]),
        ('{"a": x ? "b" : "c", "d": 1}', ["a", "d"]),
        (r'{"a\"b": "}"}', [r"a\"b"]),
        ('{"a": [1, 2', None),
    ],
)
def test_the_keys_of_an_object_literal(text: str, keys: list[str] | None) -> None:
    assert object_keys(text, 0) == keys


@given(st.text(alphabet="{}()[]\"'`\\/*:,.=;\n ab"), st.integers(0, 5))
def test_no_text_is_too_odd(text: str, start: int) -> None:
    entry = f"does not exist in container {text}"
    container_name(entry)
    exposed_modules(entry)
    object_keys(text, min(start, len(text)))
