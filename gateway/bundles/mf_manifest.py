"""`mf-manifest.json`, which @module-federation/enhanced and rspack write beside the entry.

It names the files of each exposed and each shared module. `sync` are those that the module needs at
once; `async` are loaded later, or never.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

MF_MANIFEST = "mf-manifest.json"


def scripts_of_modules(text: bytes) -> Sequence[str] | None:
    """Names of scripts, relative to the manifest, that the exposed modules need at once.

    A shared module counts if it is no singleton: of a singleton the page usually has its own, and
    then the plugin's is never loaded. None: the text is no such manifest.
    """
    try:
        content = orjson.loads(text)
        shared = [it for it in content["shared"] if not it.get("singleton")]
        modules = [*content["exposes"], *shared]
        return list(dict.fromkeys(name for module in modules for name in _sync(module)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _sync(module: Any) -> Iterator[str]:
    """Raises: KeyError, TypeError, ValueError."""
    for name in module["assets"]["js"]["sync"]:
        if not isinstance(name, str):
            raise TypeError(f"{name!r} names no file")
        yield name
