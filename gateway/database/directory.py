"""Which users have which plugins at which versions, a page at a time, for administrators.

It asks on a connection of its own: a search that reads the whole table delays no request for a
file, and one that takes too long is no reason to believe that the database fails.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gateway.database.connections import DatabaseConnection
from gateway.database.tables import Tables, is_true

MAX_ROWS = 5_000
"""Of a page: 100 users with 50 plugins each."""
# Longer than any id, slug, version or name that means something.
_MAX_TEXT = 255
# Both ignore the case of ASCII letters. For others, SQLite does not.
_LIKE = {"sqlite": "LIKE", "postgresql": "ILIKE"}
# SQLite keeps BLOBs in text columns, beyond all texts.
_IS_TEXT = {"sqlite": "typeof(user_id) = 'text'", "postgresql": "user_id IS NOT NULL"}


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A row of `plugin`; texts as they are stored, at most 255 characters of each."""

    id: str | None
    plugin_slug: str | None
    name: str | None
    version: str | None
    enabled: bool
    updated_at: str | None


@dataclass(frozen=True, slots=True)
class ListedUser:
    id: str
    """As it is stored: perhaps with dashes, perhaps no usable id."""
    rows: Sequence[ListedRow]
    """Sorted by slug and id."""
    has_more_rows: bool
    """Whether there are more than fit into a page."""


@dataclass(frozen=True, slots=True)
class UsersPage:
    users: Sequence[ListedUser]
    after: str | None
    """Where the next page begins; None: this is the last one."""


class UserDirectory:
    """Lists and finds users who have rows."""

    def __init__(self, tables: Tables, connection: DatabaseConnection) -> None:
        """`tables` knows the columns, and is not asked. `connection`: for this object alone."""
        self._tables = tables
        self._connection = connection

    async def open(self) -> None:
        """Raises: ConfigurationError, if the database cannot be reached."""
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    def close_at_exit(self) -> None:
        self._connection.close_at_exit()

    async def read_page(self, search: str | None, after: str | None, limit: int) -> UsersPage:
        """The next users, in the order of the database, with all of their rows.

        `search`: a part of the id (dashes do not count), or of the slug or the name of a plugin;
        the case of ASCII letters does not count. It has no NUL character. `after`: of the page
        before. A search reads the whole table in the worst case.

        Raises: SourceUnavailable, if the database fails or takes too long.
        """
        users = await self._read_users(search, after, limit + 1)
        shown = users[:limit]
        rows = await self._read_rows(shown)
        listed = _listed(shown, rows)
        is_last = len(listed) == len(users)
        return UsersPage(listed, None if is_last or not listed else listed[-1].id)

    async def _read_users(self, search: str | None, after: str | None, limit: int) -> list[str]:
        values: list[Any] = [limit]
        conditions = [_IS_TEXT[self._connection.dialect]]
        if after is not None:
            values.append(after)
            conditions.append(f"user_id > ${len(values)}")
        if search is not None:
            conditions.append(self._matches(search, values))
        found = await self._connection.fetch(
            "SELECT DISTINCT user_id FROM plugin"  # noqa: S608
            f" WHERE {' AND '.join(conditions)} ORDER BY user_id LIMIT $1",
            *values,
        )
        return [str(row[0]) for row in found]

    def _matches(self, search: str, values: list[Any]) -> str:
        """The condition of a search, whose patterns are appended to `values`."""
        like = _LIKE[self._connection.dialect]
        values.append(_pattern(search))
        text = f"{like} ${len(values)} ESCAPE '!'"
        columns = [name for name in ("plugin_slug", "name") if self._has(name)]
        alternatives = [f"{name} {text}" for name in columns]
        if undashed := search.replace("-", ""):
            values.append(_pattern(undashed))
            user = "replace(CAST(user_id AS TEXT), '-', '')"
            alternatives.append(f"{user} {like} ${len(values)} ESCAPE '!'")
        return f"({' OR '.join(alternatives)})"

    async def _read_rows(self, users: Sequence[str]) -> list[tuple[str, ListedRow]]:
        """One row more than fits, if there is one; by user, in the order of the database."""
        columns = ", ".join(map(self._text, ("id", "plugin_slug", "name", "version", "updated_at")))
        found = await self._connection.fetch_among(
            f"SELECT user_id, enabled, {columns} FROM plugin WHERE user_id = ANY($1)"  # noqa: S608
            f" ORDER BY user_id, plugin_slug, id LIMIT {MAX_ROWS + 1}",
            users,
        )
        return [
            (str(user), ListedRow(id_, slug, name, version, is_true(enabled), updated_at))
            for user, enabled, id_, slug, name, version, updated_at in found
        ]

    def _text(self, column: str) -> str:
        return f"substr(CAST({column} AS TEXT), 1, {_MAX_TEXT})" if self._has(column) else "NULL"

    def _has(self, column: str) -> bool:
        return self._tables.has_column("plugin", column)


def _listed(users: Sequence[str], rows: Iterable[tuple[str, ListedRow]]) -> list[ListedUser]:
    """The users whose rows all fit; the first user in any case."""
    by_user = {
        user: [row for _, row in group] for user, group in groupby(rows, key=lambda pair: pair[0])
    }
    cut = next(reversed(by_user)) if sum(map(len, by_user.values())) > MAX_ROWS else None
    listed: list[ListedUser] = []
    for user in users:
        if user == cut:
            if not listed:
                listed.append(ListedUser(user, by_user[user][:MAX_ROWS], has_more_rows=True))
            break
        listed.append(ListedUser(user, by_user.get(user, []), has_more_rows=False))
    return listed


def _pattern(text: str) -> str:
    """A pattern of LIKE for what contains the text, with "!" before what means something in it."""
    escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"
