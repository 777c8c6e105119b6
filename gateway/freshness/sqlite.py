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
from gateway.freshness import Tell

# group_concat runs inside SQLite and off the loop: 100,000 rows take about 0.1 s.
_CONTENT = (
    "SELECT group_concat(id || char(0) || coalesce(plugin_slug, '') || char(0) || version"
    " || char(0) || coalesce(enabled, '') || char(0) || user_id, char(1)) FROM plugin"
)
# Looks that take longer than this are not worth their price: after several in a row (one may
# have met a lock) any commit may have changed anything, for some time.
_MAX_LOOK_S = 0.05
_MAX_SLOW_LOOKS = 3
_PAUSE_PER_LOOK = 50


class SqliteSource:
    """Looks at the file every `poll_s` seconds, on a connection of its own."""

    name = "sqlite"

    def __init__(self, file: Path, poll_s: float, query_timeout_s: float) -> None:
        self._file = file
        self._poll_s = poll_s
        self._query_timeout_s = query_timeout_s
        self._no_look_before = 0.0
        self._slow_looks = 0

    async def run(self, tell: Tell) -> None:
        connection = SqliteConnection(self._file, self._query_timeout_s)
        await connection.open()
        try:
            identity = file_identity(self._file)
            version = await self._version(connection)
            content = await self._content(connection)
            tell(ANYTHING)  # what was committed before this look
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
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        if started_at < self._no_look_before:
            return None
        rows = await connection.fetch(_CONTENT)
        text = rows[0][0] or ""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        took_s = loop.time() - started_at
        self._slow_looks = self._slow_looks + 1 if took_s > _MAX_LOOK_S else 0
        if self._slow_looks >= _MAX_SLOW_LOOKS:
            self._no_look_before = loop.time() + took_s * _PAUSE_PER_LOOK
        return digest
