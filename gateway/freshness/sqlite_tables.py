"""What both tables of a SQLite file hold at one moment: digests of all rows, and some users' rows.

SQLite writes the rows as JSON, outside the loop, and Python takes the digest. JSON keeps values of
different types apart, except that it has no BLOBs: a row with one is written with `quote`, and one
element more. It has 15 digits of a REAL; no column of the two tables holds one.

A look takes 0.6 µs for each row of `plugin` (50,000 rows: 32 ms; concatenated with `quote`: 58 ms).
All columns take 5.5 µs for each row with its module. They are compared up to `_MOST_BYTES`.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import NamedTuple

from gateway.database.connections import Row, SqliteConnection
from gateway.database.details import ModuleDetails, PluginDetails
from gateway.database.plugin_database import PluginDatabase
from gateway.database.records import RECORD_COLUMNS
from gateway.names import UserId

# Looking at more rows costs too much, and at a million rows it fails: then any commit may have
# changed anything. Counting stops at this number, and costs a millisecond.
_MOST_ROWS = 50_000
_ROWS = f"SELECT count(*) FROM (SELECT 1 FROM plugin LIMIT {_MOST_ROWS + 1})"  # noqa: S608
# Of whole rows, in JSON: 2,500 plugins with a module each, which take 14 ms. If an application
# commits ten times a second, that is a seventh of a core in each worker. Beyond, reading manifests
# again costs less: one takes 0.4 ms.
_MOST_BYTES = 2 * 1024 * 1024
# Rows of one statement. So a table of large rows is not read far beyond that.
_STEP = 500
# The rows of further users are not compared.
_MOST_USERS = 500


class Digests(NamedTuple):
    """Of all rows."""

    records: bytes | None
    """Of the columns that lookups hold; None: there are too many rows."""
    manifests: bytes | None
    """Of all columns that manifests hold; None: there is too much to read."""


@dataclass(frozen=True, slots=True)
class TablesNow:
    """What the tables hold at one moment."""

    digests: Digests
    record_rows: dict[UserId, list[Row]]
    """The RECORD_COLUMNS of the users who were asked for."""
    plugins: dict[UserId, list[Row]]
    """Their rows as `PluginDatabase.fetch_plugins` returns them."""
    modules: Sequence[Row]
    """The same of `fetch_modules`."""


def _json(columns: Sequence[str]) -> str:
    has_blob = " OR ".join(f"{column} >= x''" for column in columns)
    quoted = ", ".join(f"quote({column})" for column in columns)
    return (
        f"CASE WHEN {has_blob} THEN json_array(NULL, {quoted})"
        f" ELSE json_array({', '.join(columns)}) END"
    )


# As a BLOB: a text would be decoded.
_RECORDS = (
    f"SELECT CAST(group_concat({_json(('id', 'plugin_slug', 'version', 'enabled', 'user_id'))})"  # noqa: S608
    " AS BLOB) FROM plugin"
)


class SqliteTables:
    """Looks at the tables on a connection that nobody else uses."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection
        self._database = PluginDatabase(connection)
        self._compares_manifests = True

    async def open(self) -> None:
        """Raises: ConfigurationError, if a table is not what it should be."""
        await self._database.open()
        tables = self._database.tables
        self._steps = []
        for table, row_type in (("plugin", PluginDetails), ("module", ModuleDetails)):
            # Modules are shown in the order of the table, so their places count.
            names = ["rowid", *(field.name for field in fields(row_type))]
            columns = [name for name in names if tables.has_column(table, name)]
            self._compares_manifests &= "rowid" in columns
            self._steps.append(
                "SELECT CAST(group_concat(row) AS BLOB), max(place) FROM"  # noqa: S608
                f" (SELECT {_json(columns)} AS row, rowid AS place FROM {table}"
                f" WHERE rowid > $1 ORDER BY rowid LIMIT {_STEP})"
            )

    async def look(
        self, record_users: Iterable[UserId] = (), manifest_users: Iterable[UserId] = ()
    ) -> TablesNow:
        """Raises: SourceUnavailable. Then the caller closes the connection: it may hold a lock."""
        # One transaction reads one state of the file.
        await self._connection.fetch("BEGIN")
        now = await self._read(
            list(islice(record_users, _MOST_USERS)), list(islice(manifest_users, _MOST_USERS))
        )
        # It fails if the connection was replaced meanwhile, so that what was read is of two states.
        await self._connection.fetch("COMMIT")
        return now

    async def _read(self, record_users: list[UserId], manifest_users: list[UserId]) -> TablesNow:
        database = self._database
        if (await self._connection.fetch(_ROWS))[0][0] > _MOST_ROWS:
            return TablesNow(Digests(None, None), {}, {}, ())
        text = (await self._connection.fetch(_RECORDS))[0][0] or b""
        manifests = await self._digest_of_manifests()
        if manifests is None:
            manifest_users = []
        return TablesNow(
            Digests(hashlib.sha256(text).digest(), manifests),
            await database.fetch_of_users(RECORD_COLUMNS, record_users) if record_users else {},
            await database.fetch_plugins(manifest_users) if manifest_users else {},
            await database.fetch_modules(manifest_users) if manifest_users else (),
        )

    async def _digest_of_manifests(self) -> bytes | None:
        """Gives up for good if the rows are too large: reading that far costs as much as a look."""
        digest, size = hashlib.sha256(), 0
        for statement in self._steps:
            place: float | None = -math.inf
            while place is not None and self._compares_manifests:
                text, place = (await self._connection.fetch(statement, place))[0]
                digest.update(text or b"\n")
                size += len(text or b"")
                self._compares_manifests = size <= _MOST_BYTES
        return digest.digest() if self._compares_manifests else None
