"""Content codings and which of them a request accepts: RFC 9110 §8.4.1, §12.4.2, §12.5.3. Pure."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

IDENTITY = "identity"

_MEMBER = re.compile(
    r"(?P<coding>[!#$%&'*+\-.^_`|~0-9A-Za-z]+)"
    r"(?:[ \t]*;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?"
)
# An identity that the field does not mention is acceptable (§12.5.3), after all that it mentions.
_UNMENTIONED_IDENTITY = 0.0001
_X_ALIASES = {"x-gzip": "gzip"}  # §8.4.1.3
# Browsers send 23 bytes. Anybody may send 40 KiB of members, which take 20 ms to parse.
_MAX_FIELD_BYTES = 256


def parse_accept_encoding(field: str | None) -> Mapping[str, float]:
    """The weights of the codings in the field, `*` included. Malformed members are ignored.

    Empty: the field is absent, or longer than any client needs. That accepts anything (§12.5.3),
    and identity is what every client can read.
    """
    weights: dict[str, float] = {}
    if field is None or len(field) > _MAX_FIELD_BYTES:
        return weights
    for member in field.split(","):
        match = _MEMBER.fullmatch(member.strip(" \t"))
        if match:
            coding = match["coding"].lower()
            weights[_X_ALIASES.get(coding, coding)] = float(match["weight"] or 1)
    return weights


def weight_of(coding: str, weights: Mapping[str, float]) -> float:
    """From 0, not acceptable, to 1."""
    if coding in weights:
        return weights[coding]
    if coding != IDENTITY:
        return weights.get("*", 0.0)
    return 0.0 if weights.get("*") == 0 else _UNMENTIONED_IDENTITY


def choose(available: Iterable[str], weights: Mapping[str, float]) -> str:
    """The available coding with the highest weight; the first of several.

    Identity, if none is acceptable: §12.5.3 allows that, and it is of more use than a 406.
    """
    best, best_weight = IDENTITY, weight_of(IDENTITY, weights)
    for coding in available:
        weight = weight_of(coding, weights)
        if weight > best_weight:
            best, best_weight = coding, weight
    return best


def choose_for(available: tuple[str, ...], field: bytes | None) -> str:
    """As `choose`, for an Accept-Encoding as received. Browsers send few different ones."""
    if field is None or len(field) > _MAX_FIELD_BYTES or not available:
        return IDENTITY
    return _choose_for(available, field)


@lru_cache(maxsize=1024)  # half a KiB an entry
def _choose_for(available: tuple[str, ...], field: bytes) -> str:
    weights = parse_accept_encoding(field.decode("latin-1"))
    return choose(available, weights) if weights else IDENTITY
