"""What serving asks of the two tables. Commands that look at all users ask survey.py."""

from collections.abc import Callable, Sequence
from typing import Any

from gateway.database.connections import DatabaseConnection, Row
from gateway.database.details import (
    ModuleDetails,
    PluginDetails,
    read_row,
    record_columns,
    sorted_by_slug,
)
from gateway.database.records import RECORD_COLUMNS, SharedRecords, UserRecords
from gateway.database.tables import GuardedConnection, Tables, is_true
from gateway.metrics.sources import SourceCounts
from gateway.names import UserId, Version, parse_or_none, parse_user_id, parse_version

_ROW_ORDERS = ("rowid", "ctid")
"""The column that gives a row's place in its table, of each dialect."""

BringRecords = Callable[[UserId, UserRecords], None]


class PluginDatabase:
    """Questions to the two tables. The methods that ask raise SourceUnavailable."""

    def __init__(
        self,
        connection: DatabaseConnection,
        strangers: DatabaseConnection | None = None,
        counts: SourceCounts | None = None,
    ) -> None:
        """`strangers`: a second connection, for questions that requests without a credential
        cause. Such questions wait for each other there, and open a breaker of their own: no
        number of them delays a user. `counts` takes the questions on both.
        """
        self._counts = SourceCounts.alone("database") if counts is None else counts
        self.tables = Tables(connection, self._counts)
        self.strangers: GuardedConnection = self.tables
        self._connections: list[GuardedConnection] = [self.tables]
        if strangers is not None:
            self.strangers = GuardedConnection(
                strangers, "the database for strangers", self._counts
            )
            self._connections.append(self.strangers)
        self.records = SharedRecords()

    async def open(self) -> None:
        """Raises: ConfigurationError, if the database or a table is not what it should be."""
        try:
            for connection in self._connections:
                await connection.open()
        except BaseException:  # cancelled too: an open connection keeps the process alive
            await self.close()
            raise

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    def close_at_exit(self) -> None:
        for guarded in self._connections:
            guarded.connection.close_at_exit()

    @property
    def queries(self) -> int:
        """How many were made since the start."""
        return sum(connection.queries for connection in self._connections)

    @property
    def failing_for_s(self) -> float | None:
        """As `GuardedConnection.failing_for_s`, for users."""
        return self.tables.failing_for_s

    def close_circuits(self) -> None:
        """The database has answered somebody else: the next queries are made."""
        self._counts.answers()
        for connection in self._connections:
            connection.close_circuit()

    async def ping(self) -> None:
        await self.tables.fetch("SELECT 1 FROM plugin LIMIT 1")

    async def fetch_of_users(
        self, columns: str, users: Sequence[UserId]
    ) -> dict[UserId, list[Row]]:
        """These columns of the users' rows of `plugin`, by user; one query.

        A user without rows has an empty list.
        """
        of_user: dict[UserId, list[Row]] = {user: [] for user in users}
        find: Callable[[Any], list[Row] | None] = of_user.get
        for row in await self.tables.fetch_among(
            f"SELECT user_id, {columns} FROM plugin WHERE user_id = ANY($1)",  # noqa: S608
            self.tables.with_possible_rows(users),
        ):
            if (rows := find(row[0])) is None:
                rows = find(_user_of_column(row[0]))
            if rows is not None:
                rows.append(row[1:])
        return of_user

    async def read_records(self, users: Sequence[UserId]) -> dict[UserId, UserRecords]:
        """The users' rows that have a usable slug, enabled or not, by user; one query."""
        of_user = await self.fetch_of_users(RECORD_COLUMNS, users)
        return {user: self.records.of_user(user, rows) for user, rows in of_user.items()}

    async def read_owner(self, database_id: str) -> UserId | None:
        """The user whose row has this id: the column decides, not the id's prefix."""
        statement = "SELECT user_id FROM plugin WHERE id = $1"
        rows = await self.strangers.fetch(statement, database_id)
        return parse_or_none(parse_user_id, rows[0][0]) if rows else None

    async def read_enabled_versions(self, slug: str) -> frozenset[Version]:
        """Versions in the enabled rows of `slug`, of all users.

        Without an index on `plugin_slug` this reads the whole table: 165 ms at 300,000 rows.
        """
        rows = await self.strangers.fetch(
            "SELECT DISTINCT version, enabled FROM plugin WHERE plugin_slug = $1", slug
        )
        versions = {
            parse_or_none(parse_version, version) for version, enabled in rows if is_true(enabled)
        }
        return frozenset(version for version in versions if version is not None)

    async def read_plugins(self, user: UserId) -> list[PluginDetails]:
        """All of a user's rows, whole, sorted by slug (bytewise)."""
        rows = (await self.fetch_plugins([user]))[user]
        return [read_row(PluginDetails, row) for row in rows]

    async def fetch_plugins(
        self, users: Sequence[UserId], bring_records: BringRecords | None = None
    ) -> dict[UserId, list[Row]]:
        """`read_plugins` of many users, by user, as rows for `read_row`; one query.

        `bring_records` gets what `read_records` returns for a user, if the rows say it.
        """
        columns = self.tables.select_list("plugin", PluginDetails)
        of_user = await self.fetch_of_users(columns, users)
        if bring_records is not None:
            for user, rows in of_user.items():
                if (of_records := record_columns(rows)) is not None:
                    bring_records(user, self.records.of_user(user, of_records))
        return {user: sorted_by_slug(rows) for user, rows in of_user.items()}

    async def read_modules(self, user: UserId) -> list[ModuleDetails]:
        """The modules of all of a user's plugins, in the order of the table.

        The application asks for no order, so it gets and shows them in this one. SQLite reads
        a table by rowid. PostgreSQL reads it from the first page to the last, which is the order
        of ctid: that of inserting, except that a changed row may have moved.
        """
        return [read_row(ModuleDetails, row) for row in await self.fetch_modules([user])]

    async def fetch_modules(self, users: Sequence[UserId]) -> Sequence[Row]:
        """`read_modules` of many users, as rows for `read_row`; one query."""
        order = next((name for name in _ROW_ORDERS if self.tables.has_column("module", name)), None)
        columns = self.tables.select_list("module", ModuleDetails)
        return await self.tables.fetch_among(
            f"SELECT {columns} FROM module WHERE plugin_id IN"  # noqa: S608
            " (SELECT id FROM plugin WHERE user_id = ANY($1))"
            f"{f' ORDER BY {order}' if order else ''}",
            self.tables.with_possible_rows(users),
        )


def _user_of_column(value: object) -> UserId | None:
    """The user whom a value of `user_id` names if it is not the text that was asked for.

    A column of type UUID has dashes, and one of type CHAR has spaces at the end.
    """
    return parse_or_none(parse_user_id, str(value).rstrip())
