"""Conditional requests: RFC 9110 §8.8 (validators) and §13 (preconditions). Pure.

`evaluate` reads like §13.2.2. An absent field is None, never False.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from enum import Enum


@dataclass(frozen=True, slots=True)
class ETag:
    """An entity tag (§8.8.3); ours are strong and made from content."""

    opaque: str
    weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.opaque}"'

    def strongly_equals(self, other: "ETag") -> bool:
        """§8.8.3.2"""
        return not self.weak and not other.weak and self.opaque == other.opaque

    def weakly_equals(self, other: "ETag") -> bool:
        """§8.8.3.2"""
        return self.opaque == other.opaque


class Evaluation(Enum):
    """The result of all preconditions, and the status that it leads to."""

    PROCEED = 200
    NOT_MODIFIED = 304
    FAILED = 412


ANY = "*"
_ETAG_IN_LIST = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$)')
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
_HTTP_DATE = re.compile(
    rf"{_DAY}, [0-9]{{2}} {_MONTH} [0-9]{{4}} {_TIME} GMT"  # IMF-fixdate
    rf"|{_LONG_DAY}, [0-9]{{2}}-{_MONTH}-[0-9]{{2}} {_TIME} GMT"  # RFC 850
    rf"|{_DAY} {_MONTH} [0-9 ][0-9] {_TIME} [0-9]{{4}}"  # asctime
)
_ANYTHING_LEFT = re.compile(r"[^ \t,]")


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditional fields of a request; None: absent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    @classmethod
    def of(cls, headers: Mapping[bytes, bytes]) -> "Preconditions | None":
        """None: the request has no precondition. `headers`: names in lower case."""
        fields = {
            attribute: headers[name].decode("latin-1")
            for name, attribute in _FIELDS.items()
            if name in headers
        }
        return cls(**fields) if fields else None


_FIELDS = {
    b"if-match": "if_match",
    b"if-none-match": "if_none_match",
    b"if-modified-since": "if_modified_since",
    b"if-unmodified-since": "if_unmodified_since",
}


def is_plain(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request has no range and no condition but If-None-Match, which makes
    If-Modified-Since void (§13.1.3).
    """
    if b"range" in headers or b"if-match" in headers or b"if-unmodified-since" in headers:
        return False
    return b"if-modified-since" not in headers or b"if-none-match" in headers


def evaluate(
    conditions: Preconditions, *, etag: ETag, last_modified_s: int | None, safe: bool = True
) -> Evaluation:
    """The result of all preconditions, in the order of §13.2.2. `safe`: GET or HEAD.

    Without a modification date (None) conditions on dates are ignored (§13.1.3, §13.1.4).
    """
    if conditions.if_match is not None:
        if not matches(conditions.if_match, etag, strongly=True):
            return Evaluation.FAILED
    elif (since := parse_http_date(conditions.if_unmodified_since)) is not None and (
        last_modified_s is not None and last_modified_s > since
    ):
        return Evaluation.FAILED
    if conditions.if_none_match is not None:
        if matches(conditions.if_none_match, etag, strongly=False):
            return Evaluation.NOT_MODIFIED if safe else Evaluation.FAILED
    elif (
        safe
        and last_modified_s is not None
        and (since := parse_http_date(conditions.if_modified_since)) is not None
        and last_modified_s <= since
    ):
        return Evaluation.NOT_MODIFIED
    return Evaluation.PROCEED


def parse_etags(text: str) -> list[ETag] | None:
    """The entity tags of a list (§13.1.1, §13.1.2); None if it is malformed."""
    etags = []
    position = 0
    while _ANYTHING_LEFT.search(text, position):
        match = _ETAG_IN_LIST.match(text, position)
        if match is None:
            return None
        etags.append(ETag(match[2], weak=match[1] is not None))
        position = match.end()
    return etags


def matches(field: str, etag: ETag, *, strongly: bool) -> bool:
    """§13.1.1 and §13.1.2. A malformed list matches nothing."""
    if field.strip(" \t") == ANY:
        return True
    compare = etag.strongly_equals if strongly else etag.weakly_equals
    return any(compare(other) for other in parse_etags(field) or ())


def is_known(etag_field: bytes, if_none_match: bytes) -> bool:
    """Whether a client holds the content whose strong ETag is sent as `etag_field` (§13.1.2)."""
    # Nearly always the client repeats our ETag as it is: no list is parsed then.
    return if_none_match == etag_field or matches(
        if_none_match.decode("latin-1"), ETag(etag_field[1:-1].decode()), strongly=False
    )


def parse_http_date(text: str | None) -> int | None:
    """Seconds since the epoch; None: not an HTTP-date (§5.6.7), and to be ignored."""
    if text is None or not _HTTP_DATE.fullmatch(text):
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError):  # a day or an hour that does not exist
        return None
    if moment.tzinfo is None:  # asctime names no zone: GMT
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def format_http_date(moment_s: float) -> str:
    """An IMF-fixdate (§5.6.7)."""
    return formatdate(moment_s, usegmt=True)
