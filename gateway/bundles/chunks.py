"""The chunks that a page loads as soon as it asks a container for its modules.

webpack's and rspack's container loads them by `e(id)`, and makes a file name of each id by `u`, a
sum of texts: `"js/" + id + "." + {7: "4d046bc2"}[id] + ".js"`. If any part has another form than
those that bundlers write, no name is certain. An id without a file stands for a module that the
page shares: the caller knows which files there are.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from gateway.bundles.building import fixed_public_path
from gateway.bundles.container import exposed_object, is_module

_LOADED = re.compile(r"""\.e\(\s*(?:"([^"\\\n]*)"|'([^'\\\n]*)'|(\d+))\s*\)""")
_VARIABLE = r"[A-Za-z_$][\w$]*"
_COMMENT = r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|//[^\n]*\n"
_FILE_NAME = re.compile(
    rf"(?<![\w$]){_VARIABLE}\.u\s*=\s*(?:\(({_VARIABLE})\)|({_VARIABLE}))\s*=>\s*"
    rf"(?:\{{(?:\s|{_COMMENT})*return\s)?"
)
_TEXT = r'"[^"\\\n]*"'
_KEY = rf"(?:{_TEXT}|\d+|{_VARIABLE})"
_OBJECT = rf"\{{(?:\s*{_KEY}\s*:\s*{_TEXT}\s*,?)*\s*\}}"
_NAMES = rf"(?:{_OBJECT}|\({_OBJECT}\))"
_PAIR = re.compile(rf"({_KEY})\s*:\s*({_TEXT})")
_PLUS = re.compile(r"\s*\+\s*")
_END = re.compile(r"\s*(?:[;,)}\n]|$)")
# A thousand chunks with names and hashes.
_MAX_SUM_CHARACTERS = 1 << 17

Part = Callable[[str], str | None]
"""A piece of a file's name for the id of a chunk; None: the bundler made no file of it."""


def chunks_of_modules(text: str) -> Sequence[str]:
    """Names of files, relative to the entry, that the exposed modules need at once.

    Nothing, if they are not certain, or not beside the entry.
    """
    exposed = exposed_object(text)
    parts = _parts_of_names(text)
    if exposed is None or parts is None or is_module(text) or fixed_public_path(text) is not None:
        return ()
    ids = dict.fromkeys("".join(match) for match in _LOADED.findall(exposed))
    names = [[part(chunk) for part in parts] for chunk in ids]
    return ["".join(filter(None, name)) for name in names if None not in name]


def _parts_of_names(text: str) -> Sequence[Part] | None:
    match = _FILE_NAME.search(text)
    if match is None:
        return None
    source = text[match.end() : match.end() + _MAX_SUM_CHARACTERS]
    variable = match[1] or match[2]
    return _parts_of_sum(source, variable) or _parts_of_sum(source.removeprefix("("), variable)


def _parts_of_sum(source: str, variable: str) -> Sequence[Part] | None:
    """`variable` holds the id."""
    id_ = re.escape(variable)
    pattern = re.compile(
        rf"(?P<constant>{_TEXT})"
        rf"|(?P<for_each>{_NAMES})\[{id_}\]"
        rf"|\((?P<for_some>{_NAMES})\[{id_}\]\s*\|\|\s*{id_}\)"
        rf"|\((?P<only>{_TEXT}|\d+)\s*===\s*{id_}\s*\?\s*(?P<name>{_TEXT})\s*:\s*{id_}\)"
        rf"|(?P<id>{id_})(?![\w$])"
    )
    parts: list[Part] = []
    at = 0
    while match := pattern.match(source, at):
        parts.append(_part(match))
        plus = _PLUS.match(source, match.end())
        if plus is None:
            return parts if _END.match(source, match.end()) else None
        at = plus.end()
    return None


def _part(match: re.Match[str]) -> Part:
    if (constant := match["constant"]) is not None:
        return lambda _chunk: constant[1:-1]
    if match["for_each"] is not None:
        return dict(_pairs(match["for_each"])).get
    names = dict(_pairs(match["for_some"] or ""))
    if match["only"] is not None:
        names = {match["only"].strip('"'): match["name"][1:-1]}
    return lambda chunk: names.get(chunk, chunk)


def _pairs(names: str) -> Iterator[tuple[str, str]]:
    for key, text in _PAIR.findall(names):
        yield key.strip('"'), text[1:-1]
