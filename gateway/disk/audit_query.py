"""Which audit records are asked for: the same words on the command line and over HTTP."""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.disk.audit_log import AuditLog
from gateway.names import Slug, UserId

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# Writers take the time before they write the line, so neighbours may stand in the wrong order.
_DISORDER = timedelta(minutes=1)


def parse_since(text: object) -> datetime:
    """Raises: ValueError."""
    try:
        if match := _DURATION.fullmatch(str(text)):
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        moment = datetime.fromisoformat(str(text))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r}: expected a date, a time in ISO 8601, or a duration such as 2h or 7d"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """What is given must be equal; `since`: or later."""

    user: UserId | None = None
    plugin: Slug | None = None
    since: datetime | None = None

    def records(self, log: AuditLog) -> Iterator[dict[str, Any]]:
        """The newest last. Blocking. Raises: OSError."""
        return (record for record in log.records() if self._matches(record))

    def newest_records(self, log: AuditLog) -> Generator[dict[str, Any], None, None]:
        """The newest first. Whoever takes few of them has few read, unless a user or a plugin with
        few records is asked for: that reads all, 70 MiB at most. Blocking. Raises: OSError.
        """
        for record in log.newest_records(self._may_match):
            if self.since is not None and self.since - _moment(record) > _DISORDER:
                return
            if self._matches(record):
                yield record

    def _may_match(self, line: bytes) -> bool:
        """Spares the parsing of most lines that do not match."""
        return all(text.encode() in line for text in (self.user, self.plugin) if text)

    def _matches(self, record: dict[str, Any]) -> bool:
        return (
            self.user in (None, record.get("user"))
            and self.plugin in (None, record.get("plugin"))
            and (self.since is None or _moment(record) >= self.since)
        )


def _moment(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["time"])
