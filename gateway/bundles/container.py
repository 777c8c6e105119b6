"""The federation container that an entry file makes: its global name, and what it exposes."""

import re
from itertools import islice

from gateway.bundles.literals import evaluated_texts, object_keys, object_text

# Each is in every container of its bundler.
_WEBPACK = "does not exist in container"
_RSPACK = "initializeExposesData"

_NAME = r"[A-Za-z_$][\w$]*"
_MEMBER = rf"""(?:\.({_NAME})|\[["']([^"'\]]+)["']\])"""
_COMMENT = r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|//[^\n]*\n"
_VAR = re.compile(rf"""(?:\s|{_COMMENT}|["']use strict["'];)*(?:var|let)\s+({_NAME})\s*;""")
_FIRST_ASSIGNMENT = re.compile(rf"\s*(?:window|self|globalThis){_MEMBER}\s*=[\s(]")
_VALUE_AT_THE_END = r"\s*=\s*[\w$]+(?:\([^()]*\))?[\s;]*\}\)?\(\)"
# The last statement of webpack's and rspack's function: `window.Name = exports`, or `Name = …`. A
# name of one or two letters, or one that is declared there, is the minifier's.
_LAST_ASSIGNMENT = re.compile(
    rf"(?:\b(?:window|self|globalThis|this){_MEMBER}"
    r"|(?<![\w$.])(?<!var )(?<!let )(?<!const )((?!__)[A-Za-z_$][\w$]{2,}))" + _VALUE_AT_THE_END
)
_UMD = re.compile(rf"\bexports{_MEMBER}\s*=\s*[\w$]+\(\)\s*:\s*[\w$]+{_MEMBER}\s*=")
_END_CHARACTERS = 2048
_HEAD_CHARACTERS = 4096

# Scripts that import what Vite built: @module-federation/vite's, and that of `gateway new`.
_VITE_ENTRY = re.compile(
    r"""getScriptUrl\(\)\s*\+\s*["']([^"']+)["']"""
    r"""|new URL\(["']\./([^"']+)["'],\s*document\.currentScript\.src\)"""
)
_IMPORT = re.compile(rf"""(?:\s|{_COMMENT})*import\s*(?:["'{{*]|{_NAME}\s+from\b)""")
_EXPORT = re.compile(r"(?:^|[;}\s])export\s*\{[^{}]{0,4096}\bget\b")
# A container's module is a function without parameters that loads something.
_FIRST_EXPOSED = re.compile(
    r"""\{\s*["']\.(?:/[^"'\n]*)?["']\s*:\s*(?:async\s*)?(?:\(\)\s*=>|function\s*\(\s*\))"""
)


def container_name(text: str) -> str | None:
    """The global variable in which a script leaves the container."""
    if not _is_container(text):
        return None
    head = text[:_HEAD_CHARACTERS]
    # webpack begins each line of a development build with this comment.
    end = text[-_END_CHARACTERS:].replace("/******/", "")
    if declared := _VAR.match(head):
        is_assigned = re.search(rf"(?<![\w$.]){re.escape(declared[1])}{_VALUE_AT_THE_END}", end)
        return declared[1] if is_assigned or imported_entry(text) else None
    match = (
        _UMD.search(head)
        or (_FIRST_ASSIGNMENT.match(head) if imported_entry(text) else None)
        or next(reversed([*_LAST_ASSIGNMENT.finditer(end)]), None)
    )
    return next(filter(None, match.groups()), None) if match else None


def is_module(text: str) -> bool:
    """Whether the entry is an ES module, which a plain script tag cannot load."""
    return _IMPORT.match(text) is not None or _EXPORT.search(text) is not None


def imported_entry(text: str) -> str | None:
    """The ES module beside it that a script made by Vite imports."""
    match = _VITE_ENTRY.search(text)
    return match[1] or match[2] if match else None


def exposed_modules(text: str) -> frozenset[str] | None:
    """The keys of `exposes`, such as `./Board`."""
    exposed = exposed_object(text)
    keys = None if exposed is None else object_keys(exposed, 0)
    return frozenset(keys) if keys else None


def exposed_object(text: str) -> str | None:
    """The object literal of `exposes`: what loads a module, by its key.

    None if it is not certain which object literal of the text it is.
    """
    if not (_is_container(text) or is_module(text)):
        return None
    if (found := _exposed_in(text)) is not None:
        return found
    for source in evaluated_texts(text):
        if _WEBPACK in source:
            return _exposed_in(source)
    return None


def _exposed_in(text: str) -> str | None:
    starts = [match.start() for match in islice(_FIRST_EXPOSED.finditer(text), 2)]
    exposed = object_text(text, starts[0]) if len(starts) == 1 else None
    keys = None if exposed is None else object_keys(exposed, 0)
    if not keys or not all(key.startswith(".") for key in keys):
        return None
    return exposed


def _is_container(text: str) -> bool:
    return _WEBPACK in text or _RSPACK in text or imported_entry(text) is not None
