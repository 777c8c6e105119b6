"""Transactions that write, each on a connection of its own.

Statements are written as for reading: see connections.py. A transaction is begun and ended on
the driver too. `databases` would begin on SQLite as a reader, and a reader that becomes a writer
after another's commit is refused at once, without waiting. Its transaction on PostgreSQL does
not give the connection back when a commit fails, and then the pool waits for it for ever.
"""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

from databases import Database

from gateway.database.connections import COLUMNS, numbered, postgres_errors
from gateway.errors import ConfigurationError, SourceUnavailable
from gateway.settings import Settings
from gateway.tracing import span

# A writer waits at most this long for another, and at its commit for readers.
_WRITER_WAITS_S = 10.0

Statement = tuple[str, Sequence[Any]]
"""An SQL text and the values of its parameters."""


class Transaction(Protocol):
    """Statements that take effect together, or not at all."""

    dialect: ClassVar[str]

    async def execute(self, statement: str, *values: Any) -> None: ...

    async def fetch(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows by column name."""

    async def columns(self, table: str) -> frozenset[str]:
        """As `DatabaseConnection.columns`."""
        return frozenset(row["name"] for row in await self.fetch(COLUMNS[self.dialect], table))

    async def exclude_others(self, name: str) -> None:
        """Waits for, and then keeps out, other transactions that ask for the same name."""


class SqliteTransaction(Transaction):
    dialect = "sqlite"

    def __init__(self, raw: Any) -> None:
        """`raw`: an aiosqlite connection."""
        self._raw = raw
        raw.row_factory = sqlite3.Row

    async def execute(self, statement: str, *values: Any) -> None:
        await self._raw.execute_fetchall(statement, numbered(values))

    async def fetch(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        rows = await self._raw.execute_fetchall(statement, numbered(values))
        return [dict(row) for row in rows]

    async def exclude_others(self, name: str) -> None:
        """SQLite has one writer at a time anyway."""


class PostgresTransaction(Transaction):
    dialect = "postgresql"

    def __init__(self, raw: Any) -> None:
        """`raw`: an asyncpg connection."""
        self._raw = raw

    async def execute(self, statement: str, *values: Any) -> None:
        await self._raw.execute(statement, *values)

    async def fetch(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in await self._raw.fetch(statement, *values)]

    async def exclude_others(self, name: str) -> None:
        await self.execute("SELECT pg_advisory_xact_lock(hashtext($1))", name)


@asynccontextmanager
async def begin(settings: Settings, *, may_create: bool = False) -> AsyncIterator[Transaction]:
    """A transaction, committed when the block ends.

    On SQLite it is the only writer from its beginning: what it reads is true until it commits.
    `may_create`: makes the SQLite file if there is none.

    Raises: SourceUnavailable, if the database cannot be reached, fails or refuses a statement.
    """
    if settings.database_dialect == "sqlite":
        transaction = _begin_sqlite(settings, may_create=may_create)
    else:
        transaction = _begin_postgres(settings)
    with span("transaction"):
        async with transaction as begun:
            yield begun


@asynccontextmanager
async def _begin_sqlite(settings: Settings, *, may_create: bool) -> AsyncIterator[Transaction]:
    file = settings.sqlite_file
    # Not left to the driver: its thread would still speak to the loop after the loop is closed.
    if not may_create and not file.is_file():
        raise SourceUnavailable(reason=f"no database file {file}")
    mode = "rwc" if may_create else "rw"
    # Quoted twice: see SqliteConnection.
    url = f"sqlite:///file:{quote(quote(str(file)))}?mode={mode}"
    try:
        async with (
            Database(url, uri=True, timeout=_WRITER_WAITS_S) as database,
            database.connection() as connection,
        ):
            raw: Any = connection.raw_connection
            await raw.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteTransaction(raw)
            except BaseException:  # cancelled too
                if raw.in_transaction:  # a full disk has rolled back already
                    await raw.execute("ROLLBACK")
                raise
            await raw.execute("COMMIT")
    except sqlite3.Error as error:
        raise SourceUnavailable(reason=f"{file}: {error}") from error


@asynccontextmanager
async def _begin_postgres(settings: Settings) -> AsyncIterator[Transaction]:
    errors = postgres_errors()
    database = Database(settings.database.url, min_size=1, max_size=1)
    try:
        async with database, database.connection() as connection:
            raw: Any = connection.raw_connection
            async with raw.transaction():
                yield PostgresTransaction(raw)
    except errors as error:
        raise SourceUnavailable(reason=f"{database.url.obscure_password}: {error}") from error


async def execute_in_transaction(settings: Settings, statements: Sequence[str | Statement]) -> None:
    """Runs the statements in one transaction. Makes the SQLite file if there is none.

    Raises: ConfigurationError, if the database cannot be reached or refuses a statement.
    """
    try:
        async with begin(settings, may_create=True) as transaction:
            for statement in statements:
                text, values = (statement, ()) if isinstance(statement, str) else statement
                await transaction.execute(text, *values)
    except SourceUnavailable as error:
        raise ConfigurationError(f"database.url: {error.reason}") from None
