"""Changes of users' installed_plugins.json, whoever writes them.

The sweep costs in proportion to use. Ten times a second it looks at the files of those users whom
the cache answered for since the last sweep, and at no others: users who are idle cost nothing,
and 100,000 folders need neither 100,000 watches nor a slow start. What a file said when it was
read is compared with a look at it now, one `stat` (3 µs) in a thread:

- the file has the facts that were read: its user's entry is confirmed as of the moment before
  the sweep's first look;
- it has others: a change is told.

So the entry of an idle user goes stale after `ttl`, and its next use looks at the file first
(lookups.py). An entry that was not confirmed for a while may answer once; that answer makes the
next sweep look.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

from gateway.changes import Change
from gateway.disk.storage import Facts
from gateway.freshness import Begun, Tell, next_turn
from gateway.names import UserId
from gateway.serving.lookups import Lookups
from gateway.threads import KeyedThreads

_SWEEP_S = 0.1
# 5,000 looks at 3 µs are 15 ms of a thread. Where more users were active, the others are looked at
# in the next sweeps: a change shows within 250 ms for 12,500 users, within a second for 50,000.
_MOST_LOOKS = 5_000
# Where more files hang, the whole disk does.
_MOST_HANGING = 4
_PATIENCE_S = 1.0


class UsersFolderSource:
    """Sweeps over the files of active users ten times a second."""

    name = "users folder"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._threads = KeyedThreads[UserId, Facts](
            lookups.look_at_file, _MOST_HANGING + 1, _PATIENCE_S
        )
        self._due: dict[UserId, None] = {}
        """Users whose files are to be looked at; who has waited longest comes first."""

    async def run(self, tell: Tell, begun: Begun) -> None:
        self._note_used()
        begun()  # a file is compared with what was read of it, whenever that was
        try:
            while True:
                await next_turn(_SWEEP_S)
                self._note_used()
                if self._due:
                    await self._sweep(tell)
        finally:
            self._threads.close()

    def _note_used(self) -> None:
        for user in self._lookups.installations.take_used():
            self._due.setdefault(user)

    async def _sweep(self, tell: Tell) -> None:
        """Looks at the files of those who are due, and says what it found."""
        if len(self._threads.running) > _MOST_HANGING:
            return  # the whole disk hangs: nothing is observed, and the TTLs hold
        chosen = list(islice(self._due, _MOST_LOOKS))
        for user in chosen:
            del self._due[user]
        began_at = self._lookups.clock()
        for user, facts in (await self._look(chosen)).items():
            if not self._lookups.confirm_file(user, facts, began_at):
                # Soft: a file that is there but cannot be read must not stop a warm user.
                tell(Change(user=user, hard=False))

    async def _look(self, users: Sequence[UserId]) -> dict[UserId, Facts]:
        """The facts of these users' files; without those that hang or cannot be looked at."""
        hanging = self._threads.running
        found = await self._threads.call_many(user for user in users if user not in hanging)
        return {
            user: facts for user, facts in found.items() if not isinstance(facts, asyncio.Future)
        }
