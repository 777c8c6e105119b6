"""Commits by other programs to the SQLite file.

`PRAGMA data_version` on a held connection moves at another connection's commit, in both
journal modes. It speaks of the whole file, and the application writes to other tables at any
time, an audit row for each failed login: so a move is followed by a look at our table. If the
table differs from the last look, everything is asked for again. If not, manifests are made
again, and what was read since the last look is held against the table: it may have changed and
changed back in between. A file put in the place of the old one moves nothing; its inode does.

A look that came back confirms what is held of the database, as of the moment before it began. It
happens in a thread of its own, which wakes the event loop only for a commit: ten looks a second
cost 0.1 % of a core, and through aiosqlite's thread and the loop 0.4 %.

Why that misses nothing: let a load read the state B, after the commit of B and before that of
A, which takes B back.

- A look that finds the counter unmoved saw no commit before it. What landed before that look
  was read before it, too, so it is true: `since` moves to the moment before the look.
- The first look after the commit of A finds the counter moved. If the load landed at or after
  `since`, its entry is compared with the rows that the same statement read as the table's digest,
  and expires unless it agrees. If the load has not landed, its value is not kept.

Why what is confirmed was right at that moment, `at`: let M be the last look that found the counter
moved, or the first one, and let an entry be fresh when it is confirmed.

- If it was read after M, no commit came between its reading and the look that confirms, which read
  the counter after `at`. (If it was read after `at`, it was right even later.)
- If it was read before M, it had landed when M's news were told: a load that had not is not kept.
  So it was not expired by them. Then the digest was that of the look before, and the entry agreed
  with the table at that moment: it landed at or after `since` and was compared, or before `since`
  and was right then. No commit came since: M's digest was read after M's counter, so a
  commit between them moves the counter for the next look.
- The digest is of the columns that these caches hold. What holds more columns expires whole when
  such news are told.
- The counter means nothing for another file: which file it is is looked at after the counter is
  read and before anything is confirmed.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Collection
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from gateway.changes import ANYTHING, Change
from gateway.database.connections import Row, SqliteConnection, file_identity
from gateway.database.tables import RECORD_COLUMNS, parameters
from gateway.freshness import Begun, Tell
from gateway.names import UserId
from gateway.serving.lookups import Lookups
from gateway.threads import in_own_thread

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


class _Counter:
    """The change counter of one file, on a connection that is held. Blocking, the making too.

    It tells `confirm` the moment before each look that found nothing.
    """

    def __init__(
        self,
        file: Path,
        poll_s: float,
        timeout_s: float,
        confirm: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        """Raises: sqlite3.Error, OSError."""
        self._file = file
        self._poll_s = poll_s
        self._confirm = confirm
        self._clock = clock
        self._turn = threading.Lock()
        # Waiting for an Event costs half as much again as for a lock.
        self._running = threading.Lock()
        self._running.acquire()
        # Before the file is opened: what is put in its place from now on is noticed.
        self._identity = file_identity(file)
        self._connection = sqlite3.connect(
            f"file:{quote(str(file.resolve()))}?mode=ro",
            uri=True,
            timeout=timeout_s,
            check_same_thread=False,
        )
        self._version = self._read()
        self.unmoved_at = float("-inf")
        """The moment before the last look that found nothing."""

    def wait_for_commit(self) -> float | None:
        """The moment before the look that found one; None: there is another file, or `stop`."""
        with self._turn:
            while not self._running.acquire(timeout=self._poll_s):
                looked_at = self._clock()
                version = self._read()
                if file_identity(self._file) != self._identity:
                    break
                if version != self._version:
                    self._version = version
                    return looked_at
                self.unmoved_at = looked_at
                self._confirm(looked_at)
        return None

    def _read(self) -> int:
        # All rows, although there is one: a statement that is not at its end holds its lock.
        return int(self._connection.execute("PRAGMA data_version").fetchall()[0][0])

    def stop(self) -> None:
        """In any thread; once, and nothing is waited for after it."""
        self._running.release()

    def close(self) -> None:
        """After what is under way."""
        with self._turn:
            self._connection.close()


class SqliteSource:
    """Looks at the file every `poll_s` seconds, on connections of its own."""

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
            counter = await in_own_thread(self._counter)
            try:
                await self._follow(connection, counter, tell, begun)
            finally:
                counter.stop()
                in_own_thread(counter.close)
        finally:
            await connection.close()

    async def _follow(
        self, connection: SqliteConnection, counter: _Counter, tell: Tell, begun: Begun
    ) -> None:
        """Tells of commits, until there is another file in the place."""
        digest, _ = await self._look(connection, ())
        tell(ANYTHING)  # what was committed before this look
        since = self._lookups.clock()
        begun()
        while (looked_at := await in_own_thread(counter.wait_for_commit)) is not None:
            since, before = max(since, counter.unmoved_at), digest
            digest, rows = await self._look(connection, self._lookups.users_read_since(since))
            if digest is None or digest != before:
                tell(ANYTHING)
            else:
                self._lookups.confirm_rows(rows)
                tell(Change(hard=False, read_since=since))
            self._lookups.confirm_database(looked_at)
            since = self._lookups.clock()

    def _counter(self) -> _Counter:
        lookups = self._lookups
        timeout_s = self._query_timeout_s * 0.8  # as SqliteConnection waits for a lock
        return _Counter(
            self._file, self._poll_s, timeout_s, lookups.confirm_database, lookups.clock
        )

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
