"""Content codings and which of them a request accepts: RFC 9110 §8.4.1, §12.4.2, §12.5.3. Pure."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

IDENTITY = "identity"

_MEMBER = re.compile(
    r"(?P<coding>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)"
    r"(?:[ \t]*;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
# Identity that nobody mentions is acceptable (§12.5.3), but after all that was asked for.
_UNMENTIONED_IDENTITY = 0.0001
_X_ALIASES = {"x-gzip": "gzip"}  # §8.4.1.3
# Browsers send 23 bytes. Reading 40 KiB of members takes 20 ms, and anybody may send them.
_LONGEST_FIELD = 256


def parse_accept_encoding(field: str | None) -> Mapping[str, float]:
    """Weight of each coding named, `*` included. Malformed members are passed over.

    An absent field accepts anything; identity is then what no client misreads. A field that is
    longer than any client needs counts as absent.
    """
    weights: dict[str, float] = {}
    if field is None or len(field) > _LONGEST_FIELD:
        return weights
    for member in field.split(","):
        match = _MEMBER.fullmatch(member.strip(" \t"))
        if match:
            coding = match["coding"].lower()
            weights[_X_ALIASES.get(coding, coding)] = float(match["weight"] or 1)
    return weights


def weight_of(coding: str, weights: Mapping[str, float]) -> float:
    """0: not acceptable."""
    if coding in weights:
        return weights[coding]
    if coding != IDENTITY:
        return weights.get("*", 0.0)
    return 0.0 if weights.get("*") == 0 else _UNMENTIONED_IDENTITY


def choose(available: Iterable[str], weights: Mapping[str, float]) -> str:
    """The available coding with the highest weight; of equals the first.

    Identity where none is acceptable: §12.5.3 allows it, and it serves more than a 406.
    """
    best, best_weight = IDENTITY, weight_of(IDENTITY, weights)
    for coding in available:
        weight = weight_of(coding, weights)
        if weight > best_weight:
            best, best_weight = coding, weight
    return best


def choose_for(available: tuple[str, ...], field: bytes | None) -> str:
    """As `choose`, for an Accept-Encoding as it came. Browsers send few different ones."""
    if field is None or len(field) > _LONGEST_FIELD or not available:
        return IDENTITY
    return _choose_for(available, field)


@lru_cache(maxsize=1024)  # half a KiB each
def _choose_for(available: tuple[str, ...], field: bytes) -> str:
    weights = parse_accept_encoding(field.decode("latin-1"))
    return choose(available, weights) if weights else IDENTITY
