"""Is the plugin described, and described right?"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any

import orjson

from gateway.disk.metadata import SCHEMA_FILE, problems
from gateway.lint.contents import Contents
from gateway.lint.findings import Code, Finding

_DESCRIBING_KEYS = ("slug", "plugin_slug", "scope", "modules")
_SIMILARITY = 0.8
# A file of a megabyte can have a hundred thousand problems of one kind.
_MOST_PROBLEMS = 20
_MOST_KEYS = 200


def metadata_findings(contents: Contents) -> Iterator[Finding]:
    for problem in contents.problems[:_MOST_PROBLEMS]:
        yield Finding(Code.UNPUBLISHABLE, f"publish refuses it: {problem}")
    yield from _invalid(contents)
    yield from _undescribed(contents)
    yield from _misspelled(contents.stated.get("plugin.json", {}))
    yield from _other_version(contents)


def is_described(contents: Contents) -> bool:
    """Whether anything was written for the gateway, and not only for npm."""
    return any(contents.metadata.get(key) for key in _DESCRIBING_KEYS)


def _invalid(contents: Contents) -> Iterator[Finding]:
    for problem in contents.unreadable:
        name, _, text = problem.partition(": ")
        yield Finding(Code.INVALID_METADATA, text, [name])
    for name, metadata in contents.stated.items():
        for problem in islice(problems(metadata), _MOST_PROBLEMS):
            yield Finding(Code.INVALID_METADATA, problem, [name])


def _undescribed(contents: Contents) -> Iterator[Finding]:
    if "lifecycle_manager.py" in contents.sizes:
        text = "the gateway runs no code of a plugin; what this file says must be in plugin.json"
        yield Finding(Code.LIFECYCLE_MANAGER, text, ["lifecycle_manager.py"])
    if contents.unreadable:
        return
    if not is_described(contents):
        # BrainDrive makes the rows of such a plugin itself, from its lifecycle_manager.py.
        if "lifecycle_manager.py" not in contents.sizes:
            text = (
                "it is missing, and says what slug and modules are; "
                "write it (docs/reference/plugin-json.md)"
            )
            yield Finding(Code.NO_PLUGIN_JSON, text, ["plugin.json"])
    elif not contents.metadata.get("modules"):
        text = (
            "it has no modules, so nothing will be shown; list what the container exposes, as in"
            ' "modules": [{"name": "Board"}]'
        )
        yield Finding(Code.NO_MODULES, text, ["plugin.json"])


def _misspelled(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    schema = _schema()
    yield from _misspelled_keys("", metadata, schema["properties"])
    modules = metadata.get("modules")
    some = modules[:_MOST_KEYS] if isinstance(modules, list) else ()
    for number, module in enumerate(some):
        if isinstance(module, dict):
            keys = schema["$defs"]["module"]["properties"]
            yield from _misspelled_keys(f"modules[{number}].", module, keys)


def _misspelled_keys(
    where: str, metadata: Mapping[str, Any], known: Mapping[str, Any]
) -> Iterator[Finding]:
    by_letters = {_letters(key): key for key in known}
    for key in islice(metadata, _MOST_KEYS):
        if key in known or key == "plugin_slug":
            continue
        for near in get_close_matches(_letters(key), by_letters, 1, _SIMILARITY):
            if (meant := by_letters[near]) not in metadata:
                text = f"{where}{key} means nothing to the gateway; did you mean {meant}?"
                yield Finding(Code.MISSPELLED_KEY, text, ["plugin.json"])


def _letters(key: str) -> str:
    """The manifest calls many keys otherwise than plugin.json: bundlelocation, displayName."""
    return key.replace("_", "").replace("-", "").lower()


@cache
def _schema() -> Any:
    return orjson.loads(SCHEMA_FILE.read_bytes())


def _other_version(contents: Contents) -> Iterator[Finding]:
    stated = [
        contents.stated.get(name, {}).get("version") for name in ("plugin.json", "package.json")
    ]
    if None not in stated and stated[0] != stated[1]:
        text = f"version is {stated[1]!r}, but that of plugin.json counts, {stated[0]!r};"
        yield Finding(Code.VERSION_MISMATCH, f"{text} make them equal", ["package.json"])
