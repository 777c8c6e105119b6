"""Commits by other programs to the SQLite file.

`PRAGMA data_version` on a held connection moves at another connection's commit, in both
journal modes. It speaks of the whole file, and the application writes to other tables at any
time, an audit row for each failed login: so a move is followed by a look at our table. If the
table differs from the last look, everything is asked for again. If not, manifests are made
again, and what was read since the last look is held against the table: it may have changed and
changed back in between. A file put in the place of the old one moves nothing; its inode does.

Why that misses nothing: let a load read the state B, after the commit of B and before that of
A, which takes B back.

- A look that finds the counter unmoved saw no commit before it. What landed before that look
  was read before it, too, so it is true: `since` moves to the moment before the look.
- The first look after the commit of A finds the counter moved. If the load landed at or after
  `since`, its entry is compared with the rows that the same statement read as the table's digest,
  and expires unless it agrees. If the load has not landed, its value is not kept.
"""

import asyncio
import hashlib
import time
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from gateway.changes import ANYTHING, Change
from gateway.connections import Row, SqliteConnection, file_identity
from gateway.database import RECORD_COLUMNS, parameters
from gateway.freshness import Begun, Tell
from gateway.lookups import Lookups
from gateway.names import UserId

# The digest's text, and the rows of some users, in one statement: both are of one moment.
# group_concat runs inside SQLite and off the loop: 50,000 rows take about 50 ms. quote() tells
# values of different types apart.
_LOOK = (
    "SELECT NULL, group_concat(quote(id) || quote(plugin_slug) || quote(version)"  # noqa: S608
    " || quote(enabled) || quote(user_id)), NULL, NULL, NULL FROM plugin UNION ALL"
    f" SELECT user_id, {RECORD_COLUMNS} FROM plugin WHERE user_id IN "
)
# A look at more rows is not worth its price, and at a million it fails: any commit may then have
# changed anything. Counting stops there, and costs a millisecond.
_MOST_ROWS = 50_000
_ROWS = f"SELECT count(*) FROM (SELECT 1 FROM plugin LIMIT {_MOST_ROWS + 1})"  # noqa: S608
# SQLite takes 999 parameters at least. Of more users nothing is confirmed.
_MOST_USERS = 500


class SqliteSource:
    """Looks at the file every `poll_s` seconds, on a connection of its own."""

    name = "sqlite"

    def __init__(self, file: Path, poll_s: float, query_timeout_s: float, lookups: Lookups) -> None:
        self._file = file
        self._poll_s = poll_s
        self._query_timeout_s = query_timeout_s
        self._lookups = lookups

    async def run(self, tell: Tell, begun: Begun) -> None:
        connection = SqliteConnection(self._file, self._query_timeout_s)
        await connection.open()
        try:
            identity = file_identity(self._file)
            version = await self._version(connection)
            digest, _ = await self._look(connection, ())
            tell(ANYTHING)  # what was committed before this look
            since = time.monotonic()
            begun()
            while file_identity(self._file) == identity:
                await asyncio.sleep(self._poll_s)
                looked_at = time.monotonic()
                now = await self._version(connection)
                if now == version:
                    since = looked_at
                    continue
                version, before = now, digest
                users = self._lookups.users_read_since(since)
                digest, rows = await self._look(connection, users)
                if digest is None or digest != before:
                    tell(ANYTHING)
                else:
                    self._lookups.confirm_rows(rows)
                    tell(Change(hard=False, read_since=since))
                since = time.monotonic()
        finally:
            await connection.close()

    async def _version(self, connection: SqliteConnection) -> int:
        return int((await connection.fetch("PRAGMA data_version"))[0][0])

    async def _look(
        self, connection: SqliteConnection, users: Collection[UserId]
    ) -> tuple[bytes | None, dict[UserId, list[Row]]]:
        """A digest of what our caches hold of the table, and these users' rows at that moment.

        None, and no rows, where that costs too much.
        """
        if (await connection.fetch(_ROWS))[0][0] > _MOST_ROWS:
            return None, {}
        rows: dict[UserId, list[Row]] = {user: [] for user in islice(users, _MOST_USERS)}
        text = ""
        for user, *row in await connection.fetch(f"{_LOOK}({parameters(rows)})", *rows):
            if user is None:
                text = row[0] or ""
            else:
                rows.setdefault(user, []).append(row)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), rows
