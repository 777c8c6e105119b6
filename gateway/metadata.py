"""What a version says of itself: plugin.json, and package.json where that is silent.

Read, never run: BrainDrive-Core's versions also bring a lifecycle_manager.py, which is left
alone. Blocking.
"""

from pathlib import Path
from typing import Any

import orjson

from gateway.errors import PublishingError

METADATA_FILES = ("package.json", "plugin.json")
"""What the later says wins."""

Metadata = dict[str, Any]
"""Keys are columns of table `plugin`; `modules` is a list of objects with a `name`."""

_LISTS = ("permissions", "dependencies", "required_services_runtime", "backend_dependencies")
_OBJECTS = ("config_fields", "messages")


def read_metadata(folder: Path) -> Metadata:
    """Empty where the folder has neither file.

    Raises: PublishingError, which names the file, the key and what was expected; OSError.
    """
    merged: Metadata = {}
    for name in METADATA_FILES:
        path = folder / name
        if path.is_file():
            merged |= _checked(name, _object(name, path.read_bytes()))
    return merged


def _object(name: str, content: bytes) -> Metadata:
    try:
        stated = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise PublishingError(f"{name}: not valid JSON: {error}") from None
    if not isinstance(stated, dict):
        raise PublishingError(f"{name}: expected a JSON object")
    return stated


def _checked(name: str, stated: Metadata) -> Metadata:
    if name == "package.json":  # npm's own meaning of these words
        stated = {key: value for key, value in stated.items() if key not in _LISTS}
        author = stated.get("author")
        if isinstance(author, dict):
            stated["author"] = author.get("name")
    for keys, kind, expected in ((_LISTS, list, "a list"), (_OBJECTS, dict, "an object")):
        for key in keys:
            if not isinstance(stated.get(key), kind | None):
                raise PublishingError(f"{name}: {key}: expected {expected}")
    modules = stated.get("modules")
    if modules is not None:
        _check_modules(name, modules)
    return stated


def _check_modules(name: str, modules: Any) -> None:
    if not isinstance(modules, list):
        raise PublishingError(f"{name}: modules: expected a list")
    names = [module.get("name") if isinstance(module, dict) else None for module in modules]
    for number, module_name in enumerate(names):
        if not isinstance(module_name, str) or not module_name:
            raise PublishingError(f"{name}: modules[{number}]: expected an object with a name")
        if module_name in names[:number]:
            raise PublishingError(f"{name}: modules[{number}]: a second {module_name!r}")
        if not isinstance(modules[number].get("config_fields"), dict | None):
            raise PublishingError(f"{name}: modules[{number}].config_fields: expected an object")
