"""The tables `plugin` and `module` of the application, as they are.

The application owns them: a column that its older migrations lack reads as NULL. No HTTP, no disk.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from numbers import Number
from typing import Any

from gateway.caching.breaker import CircuitBreaker
from gateway.database.connections import DatabaseConnection, Row
from gateway.database.patience import patiently
from gateway.errors import ConfigurationError
from gateway.metrics.sources import SourceCounts
from gateway.names import UserId
from gateway.tracing import query_span

REQUIRED_COLUMNS = {
    "plugin": frozenset({"id", "plugin_slug", "version", "enabled", "user_id"}),
    "module": frozenset({"id", "plugin_id", "name"}),
}

_TABLE_NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}
# As `parse_user_id` writes a UUID of the database.
_UUID = re.compile(r"[0-9a-f]{32}")
# As PostgreSQL reads texts as booleans.
_TRUE_TEXTS = frozenset({"1", "t", "true", "y", "yes", "on"})


def is_true(value: object) -> bool:
    """What a value means in a boolean column, `enabled` above all.

    SQLite stores whatever is written there. A number is true unless it is 0, a text is true only
    if it says so. Anything else, such as NULL or a BLOB, is false: an odd value must not give
    a plugin to a user who may not have it.
    """
    if isinstance(value, str):
        return value.strip().lower() in _TRUE_TEXTS
    return isinstance(value, Number) and bool(value)


async def table_names(connection: DatabaseConnection) -> frozenset[str]:
    """Of all tables that the database has. Raises: SourceUnavailable."""
    return frozenset(row[0] for row in await connection.fetch(_TABLE_NAMES[connection.dialect]))


async def has_other_tables(connection: DatabaseConnection) -> bool:
    """Whether the database is an application's: it has tables beside ours.

    Raises: SourceUnavailable.
    """
    return not await table_names(connection) <= REQUIRED_COLUMNS.keys()


class GuardedConnection:
    """A connection behind a circuit breaker. Its methods raise SourceUnavailable."""

    def __init__(
        self, connection: DatabaseConnection, name: str, counts: SourceCounts | None = None
    ) -> None:
        """`name`: for the log. `counts`: of the database; None: nobody reads them."""
        self.connection = connection
        self.queries = 0
        """How many were made since the start."""
        self._breaker = CircuitBreaker(name)
        self._counts = SourceCounts.alone("database") if counts is None else counts
        self._counts.guarded_by(self._breaker)

    @property
    def failing_for_s(self) -> float | None:
        """Seconds since the queries began to fail; None if the last one did not fail."""
        return self._breaker.failing_for_s

    async def open(self) -> None:
        """Waits for a database that is busy. Raises: ConfigurationError, if it stays so, or cannot
        be reached."""
        await patiently(self.connection.open)

    async def close(self) -> None:
        await self.connection.close()

    def close_circuit(self) -> None:
        """The next query is made, whatever failed before."""
        self._breaker.close()

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        span = query_span(self.connection.dialect, statement)
        with self._counts.load(), self._breaker.guarding(), span:
            self.queries += 1
            return await self.connection.fetch(statement, *values)

    async def fetch_among(self, statement: str, values: Sequence[str]) -> Sequence[Row]:
        span = query_span(self.connection.dialect, statement)
        with self._counts.load(), self._breaker.guarding(), span:
            self.queries += 1
            return await self.connection.fetch_among(statement, values)


class Tables(GuardedConnection):
    """A connection to a database that holds the two tables."""

    def __init__(self, connection: DatabaseConnection, counts: SourceCounts | None = None) -> None:
        super().__init__(connection, "the database", counts)
        self._columns: dict[str, frozenset[str]] = {}
        self._users_are_uuids = False

    async def open(self) -> None:
        """Raises: ConfigurationError, if the database or a table is not what it should be."""
        await super().open()
        try:
            for table, required in REQUIRED_COLUMNS.items():
                columns = await patiently(partial(self.connection.columns, table))
                if not columns:
                    raise ConfigurationError(
                        f"database.url: the database has no table '{table}'"
                        " (gateway init makes the tables in an empty database)"
                    )
                if missing := sorted(required - columns):
                    raise ConfigurationError(
                        f"database.url: table '{table}' has no column {', '.join(missing)}"
                    )
                self._columns[table] = columns
            has_uuids = partial(self.connection.has_uuids, "plugin", "user_id")
            self._users_are_uuids = await patiently(has_uuids)
        except BaseException:  # cancelled too: an open connection keeps the process alive
            await self.close()
            raise

    def has_column(self, table: str, column: str) -> bool:
        """`column`: also `rowid` or `ctid`, where the rows of the table have a place."""
        return column in self._columns[table]

    def with_possible_rows(self, users: Sequence[UserId]) -> Sequence[UserId]:
        """Without the users of whom the column can hold no row. One of them would fail the query
        for all."""
        if not self._users_are_uuids:
            return users
        return [user for user in users if _UUID.fullmatch(user)]

    def select_list(self, table: str, row_type: type) -> str:
        """The columns that the fields of a dataclass name; NULL for those that the table lacks."""
        return ", ".join(
            field.name if self.has_column(table, field.name) else f"NULL AS {field.name}"
            for field in fields(row_type)
        )
