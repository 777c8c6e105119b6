"""Texts from outside as a line that people may read: no control characters, no credentials."""

import re

from gateway.names import printable

CUT = "\N{HORIZONTAL ELLIPSIS}"
"""Where the rest of a text is left out: half of a token may stand before it."""
# A signed URL is a credential. Its token is found by its place, and by its form: a URL can spell
# the place differently (`/%73igned/`), or the token (`%2E`). No alternative begins within a word:
# of a word of 64 KiB, each letter would be a beginning.
_LETTER = r"[A-Za-z0-9_-]"
_DOT = r"(?:\.|%2[Ee])"
_CREDENTIALS = re.compile(
    rf"""(?<=/signed/)[^/?\s]+
    | (?<!{_LETTER}) (?:[0-9A-F]{{2}})? eyJ{_LETTER}+ (?:{_DOT}{_LETTER}*){{1,2}}
    | (?<!{_LETTER}) {_LETTER}{{16,}} {_DOT} (?: {_LETTER}{{43}} (?!{_LETTER}) | {_LETTER}*{CUT})
    | (?<=[Bb]earer[ ])\S+
    | (?<=://) [^/\s:@]{{0,64}} : [^/\s@]{{1,256}} (?=@)""",
    re.VERBOSE,
)
# Most lines have none of them, and this takes a quarter of the time.
_HINT = re.compile(rf"/signed/|eyJ|earer |://|[.%](?:2[Ee])?{_LETTER}{{43}}|{CUT}")
_MASK = "***"


def one_line(text: str, most: int) -> str:
    """`text` without control characters, tokens and passwords, cut at `most` characters."""
    # Cut twice: a text may be long, and a mask shorter than what it hides.
    line = mask_credentials(text[: 2 * most])
    if not line.isprintable():
        line = printable(line)
    return line if len(line) <= most else line[: most - 1] + CUT


def mask_credentials(text: str) -> str:
    """Hides tokens, and the user and password of URLs."""
    return _CREDENTIALS.sub(_MASK, text) if _HINT.search(text) else text
