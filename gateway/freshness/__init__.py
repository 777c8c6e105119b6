"""How cached values stay true. Theory of operation:

The caches hold what the database, the users' JSON files and the plugin folders said. Others write
all of these at any time. Three things bound how long a cached value may be wrong.

1. A lifetime. A value is used for `ttl` after its load, whatever else happens. This is the net
   beneath: if everything below fails, a change shows when `ttl` ends.

2. A change. Whoever makes or notices one hands a `Change` (changes.py) to `Invalidation`:

   - A hard change purges: the value is gone, and the next request loads it.
   - A soft change expires: the next request loads the value, but the old one stands in while its
     source fails.
   - In both cases a load that is under way may have read the old state: it is not kept as fresh.
   - ANYTHING is the soft change of everything, for a source that cannot say what changed or may
     have missed a change. `read_since` narrows it to what was read since a moment.

3. A confirmation makes lifetimes longer. A source that watches and sees no change says: what is
   cached now was right at the moment `at`. From `at` on, each value that was not expired is fresh
   for another `ttl`, up to `max_age` after its load. Three rules keep confirmations true:

   - A confirmation is an observation that came back: a look at a counter, a heartbeat that went
     through the server, a look at a file. Its moment is the one before the observation began.
   - Changes first: a source tells of the changes that it observed, and only then confirms the rest.
   - No observation, no confirmation. If a source fails, hangs, lags or is paused, nobody has to
     notice: `ttl` counts from the last observation that came back, and ends.

Sources look at turns, and rest while nobody asks (caching/turns.py): if no request was answered for
a second, and none is being answered, they look every two seconds. The next one takes the cold path,
which waits until each source that rested has looked, told and confirmed. So a rest makes no answer
older: its first one rests on observations that were made after it was asked for.

Ways in which a change arrives, one file each (each says why its confirmations are true):

    announcing     made by this process: applied at once, and announced to the others
    workers        announced by other processes of this host, in the change log
    postgres       commits, by triggers and LISTEN; announced by other      confirms the database,
                   nodes, by NOTIFY                                         if there are triggers
    sqlite         commits, by the file's change counter (data_version)     confirms the database
    users_folder   users' JSON files, by looking at those in use            confirms these users
    pinned_trees   folders whose files only the proxy sends: made right on the disk, tells nobody

Sources are an open set. A source runs for as long as the gateway, and is started again when it
fails. A source that fails costs freshness alone: requests are answered, and lifetimes hold.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio

from gateway.changes import Change
from gateway.errors.sentences import sentence_of
from gateway.metrics.changes import AllChanges, HeardChanges

logger = logging.getLogger(__name__)

Tell = Callable[[Change], None]
"""Takes a change that a source noticed."""
Ready = Callable[[], None]
"""Called by a source when it notices every change from then on."""

_FIRST_PAUSE_S = 0.1
# A commit that is made as the database comes back shows after this, and the time that it takes to
# connect and to load: together less than a second.
_LONGEST_PAUSE_S = 0.5
# Opening SQLite and one look at 50,000 rows takes 80 ms, connecting to PostgreSQL 20 ms.
_LONGEST_START_S = 5.0


class FreshnessSource(Protocol):
    """Notices changes in one way, and tells of them. It drops nothing itself."""

    name: str

    async def run(self, tell: Tell, ready: Ready) -> None:
        """Calls `tell` with each change until it is cancelled. It is started again if it ends or
        fails.

        It calls `ready` once it notices every change from then on. If it may have missed a change
        before, it tells of ANYTHING first.
        """


@asynccontextmanager
async def following(
    sources: Sequence[FreshnessSource], tell: Tell, changes: AllChanges | None = None
) -> AsyncIterator[None]:
    """Runs all sources until the block ends. The block begins when all of them are ready.

    So nothing is cached before their first ANYTHING, which would expire it at once. The block waits
    5 seconds at most, and not for a source that fails: the gateway serves, and lifetimes hold.

    `changes` counts what is heard.
    """
    changes = AllChanges.alone() if changes is None else changes
    readiness = [asyncio.Event() for _ in sources]
    tasks = [
        asyncio.create_task(_keep_running(source, tell, ready.set, changes.of_source(source.name)))
        for source, ready in zip(sources, readiness, strict=True)
    ]
    try:
        with anyio.move_on_after(_LONGEST_START_S):
            for ready in readiness:
                await ready.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(
    source: FreshnessSource, tell: Tell, ready: Ready, heard: HeardChanges
) -> None:
    """Runs `source` again and again. A failure is no news: cached values live out their `ttl`."""
    outage = _Outage(source.name)

    def begun() -> None:
        outage.end()
        heard.begins()
        ready()

    def count_and_tell(change: Change) -> None:
        heard.heard()
        tell(change)

    heard.ends()  # until it begins
    while True:
        try:
            await source.run(count_and_tell, begun)
            outage.end()
            heard.ends()
        except Exception as error:  # the edge of a background task: it must not die silently
            outage.note(error)
            heard.ends(sentence_of(error))
        ready()  # after the first failure nobody waits for the source
        await asyncio.sleep(outage.next_pause_s())


class _Outage:
    """The failures of a source in a row: one line in the log when they begin, one when they end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began_at: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def note(self, error: Exception) -> None:
        if self._began_at is None:
            self._began_at = time.monotonic()
            reason = sentence_of(error)
            logger.warning("freshness: %s fails, and is tried again: %s", self._name, reason)

    def end(self) -> None:
        self._pause_s = _FIRST_PAUSE_S
        if self._began_at is not None:
            duration_s = time.monotonic() - self._began_at
            logger.info("freshness: %s works again, after %.1f s", self._name, duration_s)
            self._began_at = None

    def next_pause_s(self) -> float:
        pause_s = self._pause_s
        self._pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        return pause_s
