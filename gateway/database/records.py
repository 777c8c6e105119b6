"""What a lookup keeps of a user's rows of `plugin`.

Users who have the same version share its record, and users who have the same versions share all
records: less memory, and what a lookup reads is in the CPU's caches.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.database.connections import Row
from gateway.database.tables import is_true
from gateway.names import Slug, UserId, Version, parse_or_none, parse_slug, parse_version

# NULL unless the id differs from `<user_id>_<slug>`: users with the same plugins then have equal
# rows, and share one object.
RECORD_COLUMNS = (
    "plugin_slug, version, enabled,"
    " CASE WHEN id = user_id || '_' || plugin_slug THEN NULL ELSE id END"
)
"""The columns that `SharedRecords.of_user` takes of each row."""
# A record takes 300 bytes with its key, the rows of a user with 20 plugins 4 KiB.
_MAX_RECORDS = 16_384
_MAX_USERS_ROWS = 4_096

_Rows = tuple[tuple[Any, ...], ...]
"""A user's rows, with the RECORD_COLUMNS."""


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """What serving a file needs of a row of `plugin`. Knows no user: many users share it."""

    slug: Slug
    version: Version | None
    """None: the row holds a text that cannot name a folder."""
    enabled: bool


@dataclass(frozen=True, slots=True)
class UserRecords:
    """A user's usable rows, enabled or not."""

    user: UserId
    by_slug: Mapping[str, PluginRecord]
    """The first row of each slug."""
    by_id: Mapping[str, PluginRecord] | None
    """None if every row has the id `<user_id>_<slug>`, as is usual."""

    def find(self, plugin: str) -> PluginRecord | None:
        """The row that `plugin` names: by slug first, then by database id."""
        record = self.by_slug.get(plugin)
        return self.find_by_id(plugin) if record is None else record

    def find_by_id(self, database_id: str) -> PluginRecord | None:
        if self.by_id is not None:
            return self.by_id.get(database_id)
        prefix = f"{self.user}_"
        if not database_id.startswith(prefix):
            return None
        return self.by_slug.get(database_id.removeprefix(prefix))


class SharedRecords:
    """Makes records. Users who have the same versions get the same objects."""

    def __init__(self) -> None:
        self.record = lru_cache(_MAX_RECORDS)(_record)
        self._rows = lru_cache(_MAX_USERS_ROWS)(self._by_slug)

    def of_user(self, user: UserId, rows: Iterable[Row]) -> UserRecords:
        """From the RECORD_COLUMNS of all of a user's rows."""
        key = tuple(map(tuple, rows))
        by_slug, has_usual_ids = self._rows(key)
        return UserRecords(user, by_slug, None if has_usual_ids else self._by_id(user, key))

    def _by_slug(self, rows: _Rows) -> tuple[Mapping[str, PluginRecord], bool]:
        """Records by slug; whether user and slug name each of them."""
        by_slug: dict[str, PluginRecord] = {}
        has_usual_ids = True
        for *columns, odd_id in rows:
            record = self.record(*columns)
            if record is not None:
                has_usual_ids &= odd_id is None
                has_usual_ids &= by_slug.setdefault(record.slug, record) is record
        return by_slug, has_usual_ids

    def _by_id(self, user: UserId, rows: _Rows) -> Mapping[str, PluginRecord]:
        return {
            str(f"{user}_{record.slug}" if odd_id is None else odd_id): record
            for *columns, odd_id in rows
            if (record := self.record(*columns)) is not None
        }


def _record(slug_text: object, version_text: object, enabled: object) -> PluginRecord | None:
    """From columns of a row; None if the slug is not one: then no folder can be meant."""
    slug = parse_or_none(parse_slug, slug_text)
    if slug is None:  # NULL in old rows, or the empty string
        return None
    return PluginRecord(slug, parse_or_none(parse_version, version_text), is_true(enabled))
