"""The little JavaScript that is parsed: the keys of an object literal, and texts in `eval`."""

import json
import re
from collections.abc import Iterator

# A text, a comment, or what changes the depth. Each alternative is linear in its length.
_PIECE = re.compile(
    r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`(?:\\.|[^`\\])*`'
    r"|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|//[^\n]*|[{}()\[\],:]",
    re.DOTALL,
)
_EVAL = re.compile(r'\beval\("((?:\\.|[^"\\])*)"\)')
# Far above the object literal of a plugin with a thousand modules.
_MAX_LITERAL_CHARACTERS = 1 << 20


def object_keys(text: str, start: int) -> list[str] | None:
    """The quoted keys of the object literal that begins with the brace at `start`.

    None if the literal does not end.
    """
    keys: list[str] = []
    depth, before, key = 0, "", ""
    for match in _PIECE.finditer(text, start, start + _MAX_LITERAL_CHARACTERS):
        piece = match[0]
        if piece.startswith(("/*", "//")):
            continue
        if piece in "{[(":
            depth += 1
        elif piece in ")]}":
            depth -= 1
            if depth == 0:
                return keys
        elif depth == 1 and piece == ":" and key:
            keys.append(key)
        key = piece[1:-1] if depth == 1 and before in ("{", ",") and piece[0] in "\"'" else ""
        before = piece
    return None


def object_text(text: str, start: int) -> str | None:
    """The object literal that begins with the brace at `start`; None if it does not end."""
    depth = 0
    for match in _PIECE.finditer(text, start, start + _MAX_LITERAL_CHARACTERS):
        depth += (match[0] in ("{", "[", "(")) - (match[0] in ("}", "]", ")"))
        if depth == 0:
            return text[start : match.end()]
    return None


def evaluated_texts(text: str) -> Iterator[str]:
    """The sources that a development build of webpack passes to `eval`."""
    for match in _EVAL.finditer(text):
        try:
            yield json.loads(f'"{match[1]}"', strict=False)
        except ValueError:  # JavaScript has escapes that JSON lacks
            continue
