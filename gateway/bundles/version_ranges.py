"""Ranges of versions as npm writes them: do two of them have a version in common?

Pre-releases count as their release: `^19.0.0-rc.1` as `^19.0.0`.
"""

import re

Release = tuple[int, int, int]
Interval = tuple[Release, Release]
"""From the first release on, up to but without the second."""

_FIRST, _END = (0, 0, 0), (1 << 62, 0, 0)
_PART = r"(?:\d{1,9}|[xX*])"
_COMPARATOR = re.compile(
    rf"(\^|~>?|>=|<=|>|<|=)?v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?(?:[-+][0-9A-Za-z.+-]*)?"
)
_OPERATOR_AND_SPACE = re.compile(r"([<>=~^])\s+")
_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")


def exclude_each_other(one: str, other: str) -> bool:
    """Whether no version is in both ranges; False if one of them cannot be read."""
    try:
        intervals = [(_intervals(one)), _intervals(other)]
    except ValueError:
        return False
    return not any(max(a[0], b[0]) < min(a[1], b[1]) for a in intervals[0] for b in intervals[1])


def _intervals(text: str) -> list[Interval]:
    """Raises: ValueError."""
    return [_alternative(alternative.strip()) for alternative in text.split("||")]


def _alternative(text: str) -> Interval:
    text = _HYPHEN.sub(r">=\1 <=\2", text)
    low, high = _FIRST, _END
    for word in _OPERATOR_AND_SPACE.sub(r"\1", text).split():
        from_, to = _comparator(word)
        low, high = max(low, from_), min(high, to)
    return low, high


def _comparator(word: str) -> Interval:
    match = _COMPARATOR.fullmatch(word)
    if match is None:
        raise ValueError(f"not a range of versions: {word!r}")
    numbers: list[int] = []
    for part in match.groups()[1:]:
        if part is None or not part.isdigit():
            break
        numbers.append(int(part))
    first, after_all = _release(numbers), _after(numbers, len(numbers))
    # "^": the first number that is not zero may not change.
    significant = next((place for place, number in enumerate(numbers, 1) if number), len(numbers))
    return {
        ">=": (first, _END),
        ">": (after_all, _END),
        "<": (_FIRST, first),
        "<=": (_FIRST, after_all),
        "^": (first, _after(numbers, significant)),
        "~": (first, _after(numbers, min(len(numbers), 2))),
        "~>": (first, _after(numbers, min(len(numbers), 2))),
    }.get(match[1], (first, after_all))


def _release(numbers: list[int]) -> Release:
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def _after(numbers: list[int], fixed: int) -> Release:
    """The first release whose first `fixed` numbers are higher."""
    if not fixed:
        return _END
    return _release([*numbers[: fixed - 1], numbers[fixed - 1] + 1])
