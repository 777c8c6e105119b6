"""Commits by other programs to the SQLite file.

`PRAGMA data_version` on a held connection moves at another connection's commit, in both
journal modes. It speaks of the whole file, and the application writes to other tables at any
time, an audit row for each failed login: so a move is followed by a look at our table, and
unless that changed only manifests are made again. A file put in the place of the old one
moves nothing; its inode does.
"""

import asyncio
import hashlib
from pathlib import Path

from gateway.changes import ANYTHING, DETAILS
from gateway.connections import SqliteConnection, file_identity
from gateway.freshness import Begun, Tell

# group_concat runs inside SQLite and off the loop: 50,000 rows take about 50 ms.
_CONTENT = (
    "SELECT group_concat(id || char(0) || coalesce(plugin_slug, '') || char(0) || version"
    " || char(0) || coalesce(enabled, '') || char(0) || user_id, char(1)) FROM plugin"
)
# A look at more rows is not worth its price, and at a million it fails: any commit may then have
# changed anything. Counting stops there, and costs a millisecond.
_MOST_ROWS = 50_000
_ROWS = f"SELECT count(*) FROM (SELECT 1 FROM plugin LIMIT {_MOST_ROWS + 1})"  # noqa: S608


class SqliteSource:
    """Looks at the file every `poll_s` seconds, on a connection of its own."""

    name = "sqlite"

    def __init__(self, file: Path, poll_s: float, query_timeout_s: float) -> None:
        self._file = file
        self._poll_s = poll_s
        self._query_timeout_s = query_timeout_s

    async def run(self, tell: Tell, begun: Begun) -> None:
        connection = SqliteConnection(self._file, self._query_timeout_s)
        await connection.open()
        try:
            identity = file_identity(self._file)
            version = await self._version(connection)
            content = await self._content(connection)
            tell(ANYTHING)  # what was committed before this look
            begun()
            while file_identity(self._file) == identity:
                await asyncio.sleep(self._poll_s)
                now = await self._version(connection)
                if now == version:
                    continue
                version = now
                before, content = content, await self._content(connection)
                tell(DETAILS if content is not None and content == before else ANYTHING)
        finally:
            await connection.close()

    async def _version(self, connection: SqliteConnection) -> int:
        return int((await connection.fetch("PRAGMA data_version"))[0][0])

    async def _content(self, connection: SqliteConnection) -> bytes | None:
        """A digest of what our caches hold of the table; None where that costs too much."""
        if (await connection.fetch(_ROWS))[0][0] > _MOST_ROWS:
            return None
        text = (await connection.fetch(_CONTENT))[0][0] or ""
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
