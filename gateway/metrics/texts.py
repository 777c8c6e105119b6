"""Texts from outside as a line that people may read: no control characters, no credentials."""

import re

# Matched by its place, and by its form: a URL can spell the place differently (`/%73igned/`).
_SIGNED_TOKEN = re.compile(r"(?<=/signed/)[^/?\s]+|[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{43}(?![\w-])")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")
_MASK = "***"


def one_line(text: str, most: int) -> str:
    """`text` without control characters, tokens and passwords, cut at `most` characters."""
    # Cut twice: a text may be long, and a mask shorter than what it hides.
    line = mask_credentials(text[: 4 * most])
    if not line.isprintable():
        line = "".join(_printable(character) for character in line)
    return line if len(line) <= most else f"{line[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def mask_credentials(text: str) -> str:
    """Hides the tokens of signed URLs, and the user and password of other URLs."""
    return _PASSWORD.sub(_MASK, _SIGNED_TOKEN.sub(_MASK, text))


def _printable(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
