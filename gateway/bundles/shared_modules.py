"""The modules that a container shares as singletons, and the versions of them that it requires."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# webpack's: load("default", "react", false, [1,18,2,0]). The array is a range of versions.
_LOADED = re.compile(
    r"""(?<![\w$])([\w$]+)\(\s*"[^"]*",\s*"([^"]+)",\s*(?:(?:!0|!1|true|false),\s*)?"""
    r"""(\[[-+\d.,\s"'a-zA-Z\[\]]{1,500}\])\s*[,)]"""
)
_NAMED_SINGLETON = ("loadSingletonVersion", "loadStrictSingletonVersion")
_NAMED_OTHER = re.compile(r"load\w+")
# Minified, the functions have no names. But the one for singletons contains this text, and each
# of the others that take a range contains the other one.
_SINGLETON_TEXT = "of shared singleton module"
_OTHER_TEXT = "No satisfying version"
# @module-federation/enhanced, and rspack: an object for each shared module.
_TRUE = r"(?:!0|true)"
_IN_OBJECTS = (
    re.compile(
        rf"""\bsingleton:\s*{_TRUE},\s*requiredVersion:\s*"([^"]+)"[^{{}}]{{0,200}}?"""
        r"""\bshareKey:\s*"([^"]+)\""""
    ),
    re.compile(
        r"""\bshareKey:\s*"([^"]+)"[^{}]{0,400}?\brequiredVersion:\s*"([^"]+)","""
        rf"""\s*strictVersion:\s*[\w!]+,\s*singleton:\s*{_TRUE}"""
    ),
)
_OPERATORS = {0: ">=", -1: "<", 1: "^", 2: "~"}
_OR, _AND = 1, 2
_ANY_VERSION = "*"


def required_singletons(text: str) -> Mapping[str, str]:
    """The range of versions, as npm writes it, by the shared module's name. `*` is left out."""
    required = {key: range_ for key, range_ in _loaded(text) if range_ is not None}
    by_range, by_key = _IN_OBJECTS
    required |= {key: range_ for range_, key in by_range.findall(text)}
    required |= dict(by_key.findall(text))
    return {key: range_ for key, range_ in required.items() if range_ != _ANY_VERSION}


def _loaded(text: str) -> Iterator[tuple[str, str | None]]:
    only_singletons = _SINGLETON_TEXT in text and _OTHER_TEXT not in text
    for function, key, array in _LOADED.findall(text):
        if function in _NAMED_SINGLETON or (
            only_singletons and not _NAMED_OTHER.fullmatch(function)
        ):
            yield key, range_text(array)


def range_text(array: str) -> str | None:
    """webpack's array for a range, as npm writes the range; None if it has another form."""
    try:
        alternatives = _alternatives(json.loads(re.sub(r"\[\s*,", "[null,", array)))
    except (ValueError, TypeError, IndexError, RecursionError):
        return None
    return " || ".join(alternatives)


def _alternatives(parsed: list[Any]) -> list[str]:
    """Ranges, one of which is to be met. Raises: ValueError, TypeError, IndexError."""
    operator, *rest = parsed
    if operator is not None:
        if operator not in _OPERATORS and operator <= 0:
            raise ValueError("a version that is excluded")
        if not rest:
            return [_ANY_VERSION]
        # The number says how many parts are fixed, if it is none of the operators.
        return [_OPERATORS.get(operator, "=") + _version_text(rest)]
    stack: list[list[str]] = []  # an expression in reverse Polish notation
    for item in rest:
        if isinstance(item, list):
            stack.append(_alternatives(item))
            continue
        last, first = stack.pop(), stack.pop()
        if item == _OR:
            stack.append([*last, *first])
        elif item == _AND:
            stack.append([f"{one} {other}" for one in last for other in first])
        else:
            raise ValueError("a range that is excluded")
    (alternatives,) = stack
    return alternatives


def _version_text(parts: list[Any]) -> str:
    """Raises: ValueError, for a version with a pre-release."""
    if not all(type(part) is int for part in parts):
        raise ValueError("not only numbers")
    return ".".join(map(str, parts))
