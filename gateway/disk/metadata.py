"""The metadata of a version: its plugin.json, and its package.json for what that lacks.

No code of a plugin is run: the lifecycle_manager.py of BrainDrive-Core's versions is ignored.
Blocking.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from gateway.disk.files import read_regular
from gateway.errors import PublishingError

PLUGIN_TEXTS = (
    "name", "description", "type", "plugin_type", "icon", "category", "author", "compatibility",
    "scope", "bundle_method", "bundle_location", "long_description", "source_type", "source_url",
    "update_check_url", "endpoints_file", "route_prefix",
)  # fmt: skip
MODULE_TEXTS = ("name", "display_name", "description", "icon", "category")

METADATA_FILES = ("package.json", "plugin.json")
"""A value in a later file wins."""

MAX_METADATA_BYTES = 1 << 20
"""Of one file. BrainDrive's largest is 20 KiB; a megabyte of JSON takes up to 30 MB parsed."""

SCHEMA_FILE = Path(__file__).with_name("plugin.schema.json")
"""The JSON Schema of plugin.json. It accepts what `problems` and the parsers of names accept, as
far as a schema can say it: change both together."""

DEFAULT_ENTRY = "dist/remoteEntry.js"
"""The file that a page loads first, if the metadata names none."""

Metadata = dict[str, Any]
"""Keys are columns of table `plugin`; `modules` is a list of objects with a `name`."""

_LISTS = ("permissions", "dependencies", "required_services_runtime", "backend_dependencies")
_OBJECTS = ("config_fields", "messages")
# orjson writes 254 levels, and a manifest adds some.
_MAX_DEPTH = 100
_MAX_INTEGER = 2**31 - 1  # PostgreSQL's INTEGER
_NPM_WORDS = ("name", "description", "author")
"""Keys of package.json that describe the package, and the plugin if nothing else does."""


def read_metadata(folder: Path, *, npm_words: bool = True) -> Metadata:
    """The merged metadata; empty if the folder has neither file.

    Raises: PublishingError, which names the file, the key and what was expected; OSError.
    """
    merged: Metadata = {}
    for name in METADATA_FILES:
        try:
            content = read_regular(folder / name, MAX_METADATA_BYTES)
        except ValueError as error:
            raise PublishingError(str(error)) from None
        if content is not None:
            metadata = parse_metadata(name, content, npm_words=npm_words)
            for problem in problems(metadata):
                raise PublishingError(f"{name}: {problem}")
            merged |= metadata
    return merged


def entry_file(metadata: Metadata) -> str | None:
    """The file that pages load first, according to the metadata; None: it is on another host."""
    entry = str(metadata.get("bundle_location") or DEFAULT_ENTRY)
    return None if "://" in entry else entry.removeprefix("/")


def parse_metadata(name: str, content: bytes, *, npm_words: bool = True) -> Metadata:
    """What the file says about the plugin; `problems` says whether its values are right.

    `npm_words`: whether the package's name, description and author count as the plugin's.

    Raises: PublishingError, which names the file.
    """
    try:
        metadata = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise PublishingError(f"{name}: not valid JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise PublishingError(f"{name}: expected a JSON object")
    if _depth(metadata) > _MAX_DEPTH:
        raise PublishingError(f"{name}: nested in more than {_MAX_DEPTH} levels")
    if name == "package.json":
        return _without_npm(metadata, () if npm_words else _NPM_WORDS)
    return metadata


def _depth(value: Any) -> int:
    """The number of levels of lists and objects."""
    depth, level = 0, [value]
    while level := [outer for outer in level if isinstance(outer, dict | list)]:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def _without_npm(package: Metadata, words: tuple[str, ...]) -> Metadata:
    """A package.json without the keys that mean something else to npm."""
    metadata = {
        key: value for key, value in package.items() if key not in (*_LISTS, "type", *words)
    }
    author = metadata.get("author")
    if isinstance(author, dict):
        metadata["author"] = author.get("name")
    odd = [key for key in PLUGIN_TEXTS if not isinstance(metadata.get(key), str | None)]
    return {key: value for key, value in metadata.items() if key not in odd}


def problems(metadata: Metadata) -> Iterator[str]:
    """What is wrong with the values: key, and what was expected. SCHEMA_FILE says the same.

    A key that is not mentioned here may have any value.
    """
    for keys, kind, expected in ((_LISTS, list, "a list"), (_OBJECTS, dict, "an object")):
        for key in keys:
            if not isinstance(metadata.get(key), kind | None):
                yield f"{key}: expected {expected}"
    yield from _text_problems("", metadata, PLUGIN_TEXTS)
    modules = metadata.get("modules")
    if isinstance(modules, list):
        yield from _module_problems(modules)
    elif modules is not None:
        yield "modules: expected a list"


def _module_problems(modules: list[Any]) -> Iterator[str]:
    names: set[str] = set()
    for number, module in enumerate(modules):
        where = f"modules[{number}]"
        name = module.get("name") if isinstance(module, dict) else None
        if not isinstance(name, str) or not name:
            yield f"{where}: expected an object with a name"
            continue
        if name in names:
            yield f"{where}: a second {name!r}"
        names.add(name)
        if not isinstance(module.get("config_fields"), dict | None):
            yield f"{where}.config_fields: expected an object"
        priority = module.get("priority")
        if type(priority) not in (int, type(None)) or abs(priority or 0) > _MAX_INTEGER:
            yield f"{where}.priority: expected a whole number of 32 bits"
        yield from _text_problems(f"{where}.", module, MODULE_TEXTS)


def _text_problems(where: str, metadata: Metadata, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        value = metadata.get(key)
        # PostgreSQL's text holds no NUL.
        if not isinstance(value, str | None) or "\0" in (value or ""):
            yield f"{where}{key}: expected text"
