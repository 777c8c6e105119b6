"""How the database is read: one held SQLite connection, or a PostgreSQL pool.

`databases` opens and owns the connections. Statements run on the driver below it, because the
row and statement layers of `databases` cost more than the query (on a held SQLite connection
250 to 310 µs with them, 65 to 250 µs without). `databases` is no longer maintained, so only
this module and transactions.py import it.

All statements are written with `$1`, `$2`, …, asyncpg's form. For SQLite these are parameters
with the names "1", "2", …: `numbered` makes them. `= ANY($1)` is PostgreSQL's way to ask for one
of many values, which `fetch_among` translates for SQLite.
"""

import asyncio
import json
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from errno import EACCES
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import quote

from anyio.to_thread import run_sync
from databases import Database
from databases.core import Connection

from gateway.errors import ConfigurationError, SourceBusy, SourceUnavailable
from gateway.errors.sentences import sentence_of
from gateway.settings import Settings

logger = logging.getLogger(__name__)

Row = Sequence[Any]
FileIdentity = tuple[int, int]

COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info($1) UNION ALL SELECT 'rowid' FROM sqlite_master"
    " WHERE name = $1 AND type = 'table' AND instr(upper(sql), 'WITHOUT ROWID') = 0",
    "postgresql": "SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass($1)"
    " AND (attnum > 0 OR attname = 'ctid') AND NOT attisdropped",
}
"""Names of a table's columns, by dialect, and of the system column that gives the places of its
rows: `rowid` or `ctid`. A view has no such column."""
_INDEXES = {
    "sqlite": "SELECT 1 FROM pragma_index_list($1) AS list, pragma_index_info(list.name) AS info"
    " WHERE list.partial = 0 AND info.seqno = 0 AND info.name = $2",
    "postgresql": "SELECT 1 FROM pg_index JOIN pg_attribute"
    " ON attrelid = indrelid AND attnum = indkey[0]"
    " WHERE indrelid = to_regclass($1) AND attname = $2 AND indisvalid AND indpred IS NULL",
}
"""A row for each index of a table that begins with a column, by dialect."""
_UUIDS = (
    "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2"
    " AND atttypid = 'uuid'::regtype"
)
# As fast as a list of parameters from 1 to 500 values, and without a limit of their number.
_AMONG = "IN (SELECT value FROM json_each($1))"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class DatabaseConnection(Protocol):
    """What the tables are read through, whichever database it is."""

    dialect: ClassVar[str]

    async def open(self) -> None:
        """Raises: ConfigurationError, if the database cannot be reached; SourceBusy, if it can be
        reached and does not answer in time."""

    async def close(self) -> None: ...

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """Raises: SourceUnavailable, if the database fails; SourceBusy, if it is too slow."""

    async def fetch_among(self, statement: str, values: Sequence[str]) -> Sequence[Row]:
        """`fetch` for a statement with `= ANY($1)`: a column is one of the values. The statement
        is the same for any number of values, and is prepared once."""

    async def columns(self, table: str) -> frozenset[str]:
        """Names of the table's columns, with `rowid` or `ctid` if its rows have a place; empty if
        there is no such table."""
        return frozenset(row[0] for row in await self.fetch(COLUMNS[self.dialect], table))

    async def has_uuids(self, table: str, column: str) -> bool:
        """Whether the column takes nothing but UUIDs, so that asking for another text fails."""
        return False

    async def has_index(self, table: str, column: str) -> bool:
        """Whether an index over all rows begins with the column."""
        return bool(await self.fetch(_INDEXES[self.dialect], table, column))

    def close_at_exit(self) -> None:
        """Lets the process end although nobody will call `close`."""


def connect(settings: Settings, *, rarely_asked: bool = False) -> DatabaseConnection:
    """A connection that can only read, not opened yet.

    `rarely_asked`: it runs one query at a time, and the first query opens the database, not `open`.
    """
    section = settings.database
    if settings.database_dialect == "sqlite":
        file = settings.sqlite_file
        return SqliteConnection(file, section.query_timeout, opens_late=rarely_asked)
    sizes = (0, 1) if rarely_asked else (section.min_size, section.max_size)
    return PostgresConnection(settings, *sizes)


def parameters(values: Collection[object]) -> str:
    """`$1, $2, …`, one for each value."""
    return ", ".join(f"${number}" for number in range(1, len(values) + 1))


def numbered(values: Sequence[Any]) -> dict[str, Any]:
    """The values of `$1`, `$2`, … as SQLite takes them: by the names "1", "2", …."""
    return {str(number): value for number, value in enumerate(values, 1)}


def file_identity(file: Path) -> FileIdentity:
    """Device and inode: they change when another file takes the place. Raises: OSError."""
    facts = file.stat()
    return facts.st_dev, facts.st_ino


def postgres_errors() -> tuple[type[Exception], ...]:
    """What asyncpg raises. Raises: ConfigurationError, if asyncpg is not installed."""
    try:
        import asyncpg  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(
            "database.url: PostgreSQL needs asyncpg, the extra 'postgres':"
            " pip install '.[postgres]' in the checkout of the gateway"
        ) from None
    # InternalClientError: a query met a connection that the server was just closing.
    return (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    )


class SqliteConnection(DatabaseConnection):
    """One connection that stays open: opening one costs more than ten queries.

    If another file takes the place of the file, the next query opens that.
    """

    dialect = "sqlite"

    def __init__(
        self,
        file: Path,
        query_timeout_s: float,
        *,
        opens_late: bool = False,
        expects_any_text: bool = False,
    ) -> None:
        """`opens_late`: the first query opens the file, not `open`. `expects_any_text`: a text that
        is not UTF-8 must not end a transaction.
        """
        self._file = file
        self._opens_late = opens_late
        self._query_timeout_s = query_timeout_s
        # Quoted twice: `databases` decodes the URL, and SQLite the file name. mode=ro makes no
        # file. SQLite waits for the application's short exclusive locks until the time-out.
        self._database = Database(
            f"sqlite:///file:{quote(quote(str(file.resolve())))}?mode=ro",
            uri=True,
            timeout=query_timeout_s * 0.8,
        )
        self._connection: Connection | None = None
        self._opened_file: FileIdentity | None = None
        # A text that is not UTF-8 must not fail the whole query. Until the first such text the
        # driver decodes by itself, which saves a fifth of the time of a query.
        self._text_factory: Callable[[bytes], str] = _replacing if expects_any_text else str
        # One statement at a time: a caller that stops waiting must leave none in the queue of
        # aiosqlite's thread.
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        _require_readable(self._file)
        await self._database.connect()
        if self._opens_late:
            return
        try:
            await self.fetch("SELECT count(*) FROM sqlite_master")
        except BaseException as error:  # cancelled too: an open connection keeps the process alive
            await self.close()
            if isinstance(error, SourceBusy) or not isinstance(error, SourceUnavailable):
                raise
            raise ConfigurationError(
                f"database.url: {self._file} cannot be read as a SQLite database ({error})"
            ) from None

    async def close(self) -> None:
        await self._release()
        await self._database.disconnect()

    def close_at_exit(self) -> None:
        # The interpreter joins aiosqlite's thread before it runs atexit functions. A daemon
        # thread that waits for the main thread runs before that.
        def stop() -> None:
            threading.main_thread().join()
            connection: Any = self._connection
            if connection is not None:
                connection.raw_connection.stop()

        threading.Thread(target=stop, daemon=True, name="close-database-at-exit").start()

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        try:
            async with asyncio.timeout(self._query_timeout_s), self._turn:
                return await self._executed(statement, numbered(values))
        except TimeoutError:
            if self._connection is not None:  # the statement goes on without a waiter
                await self._connection.raw_connection.interrupt()
            raise SourceBusy(reason="the database query timed out") from None
        except sqlite3.Error as error:
            is_busy = getattr(error, "sqlite_errorcode", None) in _BUSY
            failure = SourceBusy if is_busy else SourceUnavailable
            raise failure(reason=f"the database query failed: {error}") from error
        except (OSError, ValueError) as error:  # ValueError: aiosqlite, when closed
            reason = f"the database cannot be read: {sentence_of(error)}"
            raise SourceUnavailable(reason=reason) from error

    async def fetch_among(self, statement: str, values: Sequence[str]) -> Sequence[Row]:
        return await self.fetch(statement.replace("= ANY($1)", _AMONG), json.dumps(values))

    async def _executed(self, statement: str, named: Mapping[str, Any]) -> Sequence[Row]:
        try:
            return await self._executed_once(statement, named)
        except sqlite3.Error as error:
            code: int | None = getattr(error, "sqlite_errorcode", None)
            if code is None and self._text_factory is str:  # raised by the driver, not by SQLite
                self._text_factory = _replacing
            elif code == sqlite3.SQLITE_READONLY_ROLLBACK:
                await run_sync(_roll_back, self._file, self._query_timeout_s)
            else:
                raise
        return await self._executed_once(statement, named)

    async def _executed_once(self, statement: str, named: Mapping[str, Any]) -> Sequence[Row]:
        raw = await self._current()
        try:
            rows: Sequence[Row] = await raw.execute_fetchall(statement, named)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) not in _BUSY:
                # The connection may be damaged, and a statement that failed half-way would hold
                # its lock. The traceback has the cursor, in a cycle with aiosqlite's future.
                error.__traceback__ = None
                await self._release()
            raise
        return rows

    async def _current(self) -> Any:
        """The aiosqlite connection to the present file."""
        if not self._database.is_connected:
            raise ValueError("it was closed")
        if self._connection is None or file_identity(self._file) != self._opened_file:
            await self._release()
            self._connection = await self._acquired()
        return self._connection.raw_connection

    async def _acquired(self) -> Connection:
        self._opened_file = file_identity(self._file)
        # A connect that is cancelled half-way leaves a thread that speaks to a closed loop. So it
        # is awaited, and undone.
        connecting = asyncio.ensure_future(self._database.connection().__aenter__())
        try:
            connection: Connection = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await (await connecting).__aexit__()
            raise
        raw: Any = connection.raw_connection
        raw.text_factory = self._text_factory
        return connection

    async def _release(self) -> None:
        # aiosqlite's thread is no daemon: an open connection keeps the process alive.
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.__aexit__()


def _require_readable(file: Path) -> None:
    """Asks before aiosqlite starts a thread: when its connect fails, the thread may answer a loop
    that is closed already, with a traceback in the middle of what a command prints. The file is
    not opened for it: closing it would drop the locks that other connections hold.

    Raises: ConfigurationError.
    """
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_file = False
    except OSError as error:
        raise ConfigurationError(
            f"database.url: {file} cannot be read: {error.strerror} in a folder above it"
        ) from None
    if not is_file:
        raise ConfigurationError(
            f"database.url: no database file {file}"
            " (gateway init makes one; an absolute path needs four slashes)"
        )
    if not os.access(file, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise ConfigurationError(f"database.url: {file} cannot be read: {os.strerror(EACCES)}")


def _replacing(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _roll_back(file: Path, timeout_s: float) -> None:
    """Rolls back what a writer left that was killed in its commit. Blocking.

    Nobody can read before that, and a connection that only reads cannot roll back
    (sqlite.org/atomiccommit.html, "Hot Rollback Journals").
    """
    uri = f"file:{quote(str(file.resolve()))}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=timeout_s)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    logger.warning("%s: rolled back what a killed writer had left", file)


class PostgresConnection(DatabaseConnection):
    """A pool of read-only sessions."""

    dialect = "postgresql"

    def __init__(self, settings: Settings, min_size: int, max_size: int) -> None:
        self._errors = postgres_errors()
        self._query_timeout_s = settings.database.query_timeout
        self._database = Database(
            settings.database.url,
            min_size=min_size,
            max_size=max_size,
            server_settings={"default_transaction_read_only": "on"},
        )

    async def open(self) -> None:
        try:
            async with asyncio.timeout(10.0):
                await self._database.connect()
        except self._errors as error:
            name = self._database.url.obscure_password
            raise ConfigurationError(
                f"database.url: {name} cannot be reached ({error or type(error).__name__})"
            ) from None

    async def close(self) -> None:
        await self._database.disconnect()

    def close_at_exit(self) -> None:
        pass  # the pool has no thread

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        try:
            async with (
                asyncio.timeout(self._query_timeout_s),
                self._database.connection() as connection,
            ):
                raw: Any = connection.raw_connection  # an asyncpg.Connection
                rows: Sequence[Row] = await raw.fetch(statement, *values)
        except self._errors as error:
            failure = SourceBusy if isinstance(error, TimeoutError) else SourceUnavailable
            reason = f"the database query failed: {sentence_of(error)}"
            raise failure(reason=reason) from error
        return rows

    async def fetch_among(self, statement: str, values: Sequence[str]) -> Sequence[Row]:
        return await self.fetch(statement, values)

    async def has_uuids(self, table: str, column: str) -> bool:
        return bool(await self.fetch(_UUIDS, table, column))
