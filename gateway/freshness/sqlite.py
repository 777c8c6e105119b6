"""Commits by other programs to the SQLite file.

`PRAGMA data_version` on a connection that stays open changes when another connection commits, in
both journal modes. It counts for the whole file, and the application writes to other tables at any
time, such as an audit row for each failed login. So when the counter moves, the source looks at the
tables (sqlite_tables.py), and compares digests with those of the last look:

- Columns that lookups hold differ, or are too many to look at: the source tells of ANYTHING.
- Only columns differ that manifests hold, or these are too many: manifests expire.
- Nothing differs: nothing expires, except what was read since the last look and is not in the
  tables now. They may have changed, and changed back in between.

A file that replaces the old one moves no counter; its inode is compared.

Each look at the counter confirms all cached values of the database, as of the moment before the
look began; if it found a commit, after the source has told of it. Looks happen in a thread of their
own, which wakes the event loop only for a commit: ten looks a second cost 0.1 % of a core; through
aiosqlite's thread and the loop, 0.4 %. While the sources rest, each look has a thread.

Why no change is missed. Let a commit write the state B, a load read B, and a commit A take B back.

- A look that finds the counter unmoved saw no commit before it. Loads that landed before that look
  read before it, too, so their values are true: `since` moves to the moment before the look.
- The first look after commit A finds the counter moved. If the load landed at or after `since`, its
  entry is compared with the rows that were read in the same transaction as the digests, and expires
  unless it agrees. If the load has not landed, its value is not kept.
- Of a manifest the rows are compared from which it was built. Those of the two tables may be of two
  states. It agrees if both are as they are now.

Why a confirmed value was right at the moment `at`. Let M be the last look that found the counter
moved, or else the first look; let an entry be fresh when it is confirmed.

- If it was read after M, no commit came between its reading and the look that confirms, which read
  the counter after `at`. (If it was read after `at`, it was right even later.)
- If it was read before M, it had landed when the source told of M's change: a load that had not
  landed is not kept. As the entry is fresh, that change did not expire it. So the digest of what
  its cache holds equalled that of the look before, and the entry agreed with the tables at that
  moment: it landed at or after `since` and was compared, or before `since` and was right then. No
  commit came since: M read the digests after the counter, so a commit between the two moves the
  counter for the next look.
- Lookups hold the columns of the one digest, manifests those of the other, and places of modules.
  The users' files, from which manifests are built too, have a source of their own.
- The counter means nothing for another file: after each reading of the counter, and before anything
  is confirmed, the source looks at which file has the name.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from gateway.caching.turns import Turns
from gateway.changes import ANYTHING, Change
from gateway.database.connections import SqliteConnection, file_identity
from gateway.freshness import Ready, Tell
from gateway.freshness.sqlite_tables import Digests, SqliteTables, TablesNow
from gateway.serving.lookups import Lookups
from gateway.serving.manifest_cache import ManifestCache
from gateway.threads import in_own_thread


class _Counter:
    """The change counter of one file, on a connection that stays open. Blocking, like its making.

    `confirm` is called with the moment before each look that found the counter unmoved.
    """

    def __init__(
        self,
        file: Path,
        poll_s: float,
        timeout_s: float,
        confirm: Callable[[float], None],
        clock: Callable[[], float],
        turns: Turns | None = None,
    ) -> None:
        """Raises: sqlite3.Error, OSError."""
        self._file = file
        self._poll_s = poll_s
        self._turns = Turns() if turns is None else turns
        self._confirm = confirm
        self._clock = clock
        self._in_use = threading.Lock()
        # Held until `stop`. Waiting for an Event costs half as much again as waiting for a lock.
        self._stopping = threading.Lock()
        self._stopping.acquire()
        # Before the file is opened: a file that replaces it from now on is noticed.
        self._identity = file_identity(file)
        self._connection = sqlite3.connect(
            f"file:{quote(str(file.resolve()))}?mode=ro",
            uri=True,
            timeout=timeout_s,
            check_same_thread=False,
        )
        self._version = self._read()
        self.is_outdated = False
        """Whether another file has the name."""
        self.unmoved_at = float("-inf")
        """The moment before the last look that found the counter unmoved."""

    def wait_for_commit(self) -> float | None:
        """Looks until there is a commit, and returns the moment before the look that found it.

        None after `stop`, if there is another file, and while the sources rest: after one look.
        """
        with self._in_use:
            while True:
                looked_at = self._clock()
                version = self._read()
                self.is_outdated = file_identity(self._file) != self._identity
                if self.is_outdated:
                    return None
                if version != self._version:
                    self._version = version
                    return looked_at
                self.unmoved_at = looked_at
                self._confirm(looked_at)
                if self._turns.is_resting or self._stopping.acquire(timeout=self._poll_s):
                    return None

    def _read(self) -> int:
        # All rows, although there is one: a statement that has not ended holds its lock.
        return int(self._connection.execute("PRAGMA data_version").fetchall()[0][0])

    def stop(self) -> None:
        """Ends `wait_for_commit`. Once, in any thread; nothing may wait for commits after it."""
        self._stopping.release()

    def close(self) -> None:
        """Waits for a call that is under way."""
        with self._in_use:
            self._connection.close()


class SqliteSource:
    """Looks at the file's counter every `poll_s` seconds, on connections of its own."""

    name = "sqlite"

    def __init__(
        self,
        file: Path,
        poll_s: float,
        query_timeout_s: float,
        lookups: Lookups,
        manifests: ManifestCache,
        turns: Turns | None = None,
    ) -> None:
        self._file = file
        self._poll_s = poll_s
        self._query_timeout_s = query_timeout_s
        self._lookups = lookups
        self._manifests = manifests
        self._turns = Turns() if turns is None else turns

    async def run(self, tell: Tell, ready: Ready) -> None:
        connection = SqliteConnection(self._file, self._query_timeout_s, expects_any_text=True)
        tables = SqliteTables(connection)
        await tables.open()
        try:
            counter = await in_own_thread(self._counter)
            try:
                await self._follow(tables, counter, tell, ready)
            finally:
                counter.stop()
                in_own_thread(counter.close)
        finally:
            await connection.close()

    async def _follow(
        self, tables: SqliteTables, counter: _Counter, tell: Tell, ready: Ready
    ) -> None:
        """Tells of commits until another file replaces this one."""
        digests = (await tables.look()).digests
        self._lookups.database_answers()
        tell(ANYTHING)  # there may have been commits before this look
        since = self._lookups.clock()
        ready()
        while True:
            looked_at = await in_own_thread(counter.wait_for_commit)
            if counter.is_outdated:
                return
            if looked_at is not None:
                since = max(since, counter.unmoved_at)
                now = await tables.look(
                    self._lookups.users_read_since(since), self._manifests.users_read_since(since)
                )
                tell(self._difference(digests, now, since))
                digests = now.digests
                self._lookups.confirm_database(looked_at)
                since = self._lookups.clock()
            await self._turns.next(self._poll_s)

    def _difference(self, before: Digests, now: TablesNow, since: float) -> Change:
        """What the commits between two looks may have changed."""
        records, manifests = now.digests
        if records is None or records != before.records:
            return ANYTHING
        self._lookups.confirm_rows(now.record_rows)
        self._manifests.confirm_rows(now.plugins, now.modules)
        is_same = manifests is not None and manifests == before.manifests
        return Change(hard=False, read_since=since, of_manifests=not is_same)

    def _counter(self) -> _Counter:
        lookups = self._lookups
        timeout_s = self._query_timeout_s * 0.8  # as SqliteConnection waits for a lock
        return _Counter(
            self._file,
            self._poll_s,
            timeout_s,
            lookups.confirm_database,
            lookups.clock,
            self._turns,
        )
