"""Who says that something changed. An open set: one source, one file.

Theory of operation. The caches hold what the database and the users' files said. They know two
ends of a value: its `ttl`, a safety net, and the news of a source. A source does two things:

- It tells of changes. It drops nothing itself: `invalidation.py` expires or purges whatever a
  change may concern. A load that is under way then is not kept, as it may have read the old state.
  A source that cannot say what changed, or has not looked for a while, tells of ANYTHING.
- It confirms. A confirmation says: what is held now, and was not expired, was right at the moment
  `at`. From `at` on the value is fresh for another `ttl`, up to `max_age` after its load.

Three rules keep confirmations true:

1. A confirmation is an observation that came back: a look at a counter, a heartbeat that went
   through the server, a look at a file. Its moment is the one before the observation began.
2. News first: what was observed is told, and only then is the rest confirmed.
3. No observation, no confirmation. A source that fails, hangs, lags or is paused needs no word for
   it: `ttl` runs out, counted from the last observation, and the source of the value is asked.

What each source observes, and why that is enough, is said in its own file:

    sqlite          the change counter of the file      confirms all of the database at once
    postgres        a heartbeat through LISTEN          the same, where triggers tell of commits
    users_folder    the files of users in use           confirms each of these users
    workers, pinned_trees                               tell, and confirm nothing

A source runs for as long as the gateway does. When it begins anew, ANYTHING may have changed. TTLs
stay behind all of them: a source that fails costs freshness, never correctness.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio

from gateway.changes import Change

logger = logging.getLogger(__name__)

Tell = Callable[[Change], None]
Begun = Callable[[], None]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
# Opening SQLite and one look at 50,000 rows take 60 ms, a connection to PostgreSQL 20 ms.
_LONGEST_START_S = 5.0
_EARLY_SHARE = 0.05


class FreshnessSource(Protocol):
    """One way of noticing changes."""

    name: str

    async def run(self, tell: Tell, begun: Begun) -> None:
        """Tells of changes until it is cancelled. When it ends, or fails, it is started again.

        It calls `begun` when it will notice every change from now on. Before that it tells of
        ANYTHING, if it may have missed a change.
        """


async def next_turn(period_s: float) -> None:
    """Sleeps until the loop's clock shows a multiple of `period_s`.

    Sources that wait for the same turn wake the process once. Waking costs 80 to 100 µs, far more
    than what most sources do then.
    """
    now = asyncio.get_running_loop().time()
    # A timer may fire a little early: the turn that is about to come is this one.
    turn = math.floor(now / period_s + _EARLY_SHARE) + 1
    await asyncio.sleep(turn * period_s - now)


@asynccontextmanager
async def following(sources: Sequence[FreshnessSource], tell: Tell) -> AsyncIterator[None]:
    """Runs all sources until the block ends. The block begins when all of them have begun.

    So nothing is cached before the first look, which would expire it at once. A source that fails
    or is slow does not keep the gateway from serving: the TTLs hold until it begins.
    """
    begun = [asyncio.Event() for _ in sources]
    tasks = [
        asyncio.create_task(_keep_running(source, tell, event.set))
        for source, event in zip(sources, begun, strict=True)
    ]
    try:
        with anyio.move_on_after(_LONGEST_START_S):
            for event in begun:
                await event.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(source: FreshnessSource, tell: Tell, begun: Begun) -> None:
    """Runs `source` for ever. A failure tells of nothing: what is known is all there is."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            await source.run(tell, begun)
            pause_s = _FIRST_PAUSE_S
        except Exception as error:  # the edge of a background task: it must not die silently
            logger.warning("freshness: %s: %r; again in %.1f s", source.name, error, pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        begun()  # nobody waits for the second try
        await asyncio.sleep(pause_s)
