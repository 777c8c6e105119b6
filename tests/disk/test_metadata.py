"""plugin.json: what the check refuses, and that the JSON Schema says the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.disk.metadata import MODULE_TEXTS, PLUGIN_TEXTS, SCHEMA_FILE, problems
from gateway.names import parse_new_version, parse_or_none, parse_slug

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference" / "plugin-json.md").read_text()
SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
MODULE = SCHEMA["$defs"]["module"]["properties"]

# No letters that make the name of a device of Windows: a schema does not say that.
TEXTS = st.text(alphabet="aV1._-+/ \0é", max_size=5)
# JSON Schema counts 1.0 as an integer; the check, which sees the text, does not.
NUMBERS = st.integers(-(2**33), 2**33) | st.floats(0.1, 0.9) | st.just(2**31 - 1)
VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | NUMBERS | TEXTS | st.just([]) | st.just({}) | st.just(["a"])
)
MODULES = st.fixed_dictionaries({}, optional=dict.fromkeys(MODULE, VALUES)) | VALUES
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(SCHEMA["properties"], VALUES),
        "modules": VALUES
        | st.lists(
            MODULES,
            max_size=3,
            # That names differ is more than a schema can say.
            unique_by=lambda module: str(module.get("name") if isinstance(module, dict) else ""),
        ),
        "other": VALUES,
    },
)


def is_accepted(metadata: dict[str, Any]) -> bool:
    names = (("slug", parse_slug), ("version", parse_new_version))
    return not list(problems(metadata)) and all(
        metadata.get(key) is None or parse_or_none(parse, metadata[key]) is not None
        for key, parse in names
    )


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@settings(max_examples=300)
@given(DOCUMENTS)
@example({"modules": [{"name": "A", "priority": -(2**31)}]})
@example({"modules": [{"name": "A", "priority": 2**31}]})
@example({"modules": [{"name": "A", "priority": True}]})
@example({"name": "A\0"})
@example({"slug": "a.", "version": "v1"})
@example({"slug": "a" * 101})
@example({"$schema": 5, "other": {"deep": []}})
def test_the_schema_accepts_what_the_check_accepts(metadata: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(metadata) == is_accepted(metadata)


@settings(max_examples=200)
@given(st.sampled_from([*SCHEMA["properties"]]), VALUES)
def test_they_agree_about_each_key_alone(key: str, value: object) -> None:
    assert VALIDATOR.is_valid({key: value}) == is_accepted({key: value})


@settings(max_examples=200)
@given(st.sampled_from([*MODULE]), VALUES)
def test_they_agree_about_each_key_of_a_module_alone(key: str, value: object) -> None:
    metadata = {"modules": [{"name": "A", key: value}]}
    assert VALIDATOR.is_valid(metadata) == is_accepted(metadata)


def test_all_problems_are_named_not_only_the_first() -> None:
    metadata = {
        "name": 1,
        "permissions": {},
        "modules": ["A", {"name": "B", "priority": "1", "icon": 2}, {"name": "B"}],
    }
    assert list(problems(metadata)) == [
        "permissions: expected a list",
        "name: expected text",
        "modules[0]: expected an object with a name",
        "modules[1].priority: expected a whole number of 32 bits",
        "modules[1].icon: expected text",
        "modules[2]: a second 'B'",
    ]


def test_the_schema_has_every_key_that_the_gateway_reads() -> None:
    assert {*PLUGIN_TEXTS, "slug", "version", "modules"} <= set(SCHEMA["properties"])
    assert set(MODULE_TEXTS) <= set(MODULE)


@pytest.mark.parametrize(("key", "value"), [*SCHEMA["properties"].items(), *MODULE.items()])
def test_an_editor_shows_a_sentence_for_each_key(key: str, value: dict[str, str]) -> None:
    assert re.fullmatch(r"[A-Z].+\.", value["description"]), key


def kind_of(value: dict[str, Any]) -> str:
    names = {"text": "text", "list": "list", "object": "object"}
    if "$ref" in value:
        return names[value["$ref"].rpartition("/")[2]]
    kinds = {"string": "text", "array": "list", "integer": "whole number"}
    stated = value.get("type", "any")
    return kinds.get(stated if isinstance(stated, str) else stated[0], "any")


@pytest.mark.parametrize(
    ("heading", "keys"), [("The plugin", SCHEMA["properties"]), ("A module", MODULE)]
)
def test_the_reference_says_what_the_schema_says(heading: str, keys: dict[str, Any]) -> None:
    (section,) = re.findall(rf"(?ms)^## {heading}\n(.*?)(?=^## |\Z)", REFERENCE)
    rows = re.findall(r"(?m)^\| `([^`]+)` \| ([^|]+) \| (.+) \|$", section)
    expected = [(key, kind_of(value), value["description"]) for key, value in keys.items()]
    assert rows == expected


def test_the_demos_plugins_are_valid() -> None:
    for file in (ROOT / "plugins" / "shared").glob("*/*/plugin.json"):
        VALIDATOR.validate(json.loads(file.read_text()))
