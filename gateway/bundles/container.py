"""The federation container that an entry file makes: its global name, and what it exposes."""

import re

from gateway.bundles.literals import evaluated_texts, object_keys

# Each is in every container of its bundler: webpack, rspack, and the plugins of Vite.
_WEBPACK = "does not exist in container"
_RSPACK = "initializeExposesData"
_VITE_SCRIPT = "getScriptUrl()"
_CONTAINER_MARKS = (_WEBPACK, _RSPACK, _VITE_SCRIPT)

_NAME = r"[A-Za-z_$][\w$]*"
_MEMBER = rf"""(?:\.({_NAME})|\[["']([^"'\]]+)["']\])"""
_COMMENT = r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|//[^\n]*\n"
_VAR = re.compile(rf"""(?:\s|{_COMMENT}|["']use strict["'];)*(?:var|let)\s+({_NAME})\s*;""")
# The last statement of webpack's and rspack's function: `window.Name = exports`.
_LAST_ASSIGNMENT = re.compile(
    rf"(?:\b(?:window|self|globalThis|this){_MEMBER}|(?<![\w$.])({_NAME}))"
    r"\s*=\s*[\w$]+(?:\([^()]*\))?[\s;]*\}\)\(\)"
)
_UMD = re.compile(rf"\bexports{_MEMBER}\s*=\s*[\w$]+\(\)\s*:\s*[\w$]+{_MEMBER}\s*=")
_END_CHARACTERS = 2048
_HEAD_CHARACTERS = 4096

_VITE_ENTRY = re.compile(r"""getScriptUrl\(\)\s*\+\s*["']([^"']+)["']""")
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
    if leading := _VAR.match(text[:_HEAD_CHARACTERS]):
        return leading[1]
    if umd := _UMD.search(text[:_HEAD_CHARACTERS]):
        return umd[1] or umd[2]
    # webpack begins each line of a development build with this comment.
    end = text[-_END_CHARACTERS:].replace("/******/", "")
    assignments = list(_LAST_ASSIGNMENT.finditer(end))
    return next(filter(None, assignments[-1].groups()), None) if assignments else None


def is_module(text: str) -> bool:
    """Whether the entry is an ES module, which a plain script tag cannot load."""
    return _IMPORT.match(text) is not None or _EXPORT.search(text) is not None


def imported_entry(text: str) -> str | None:
    """The ES module beside it that a script made by Vite imports."""
    match = _VITE_ENTRY.search(text)
    return match[1] if match else None


def exposed_modules(text: str) -> frozenset[str] | None:
    """The keys of `exposes`, such as `./Board`."""
    if not (_is_container(text) or is_module(text)):
        return None
    if (found := _exposed_in(text)) is not None:
        return found
    for source in evaluated_texts(text):
        if _WEBPACK in source:
            return _exposed_in(source)
    return None


def _exposed_in(text: str) -> frozenset[str] | None:
    """None if it is not certain which object literal of the text it is."""
    literals = [object_keys(text, match.start()) for match in _FIRST_EXPOSED.finditer(text)]
    keys = literals[0] if len(literals) == 1 else None
    if not keys or not all(key.startswith(".") for key in keys):
        return None
    return frozenset(keys)


def _is_container(text: str) -> bool:
    return any(mark in text for mark in _CONTAINER_MARKS)
