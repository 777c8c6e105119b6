"""Changes of users' installed_plugins.json, whoever writes them.

Only files that were read within the last `ttl` are looked at: what is older is read again at
its next use anyway. So 100,000 folders need neither 100,000 watches nor a slow start. A look
is one `stat` (3 µs), in a thread.
"""

import asyncio
from collections.abc import Mapping
from itertools import count

from gateway.changes import Change
from gateway.freshness import Begun, Tell
from gateway.lookups import Lookups
from gateway.names import UserId
from gateway.storage import Facts, PluginStorage
from gateway.threads import KeyedThreads

_SWEEP_S = 0.1
# 5,000 looks at 3 µs are 15 ms of a thread. With more users at once, each is looked at in turn: a
# change shows within 250 ms for 12,500 users, within a second for 50,000.
_MOST_LOOKS = 5_000
# Where more files hang, the whole disk does.
_MOST_HANGING = 4
_PATIENCE_S = 1.0


class UsersFolderSource:
    """Sweeps over the files of active users ten times a second."""

    name = "users folder"

    def __init__(self, storage: PluginStorage, lookups: Lookups) -> None:
        self._lookups = lookups
        self._threads = KeyedThreads[UserId, Facts](
            storage.installations_facts, _MOST_HANGING + 1, _PATIENCE_S
        )
        self._told: dict[UserId, tuple[Facts, Facts]] = {}
        """What was cached and what was seen when a change was told. While both stay the same, the
        file cannot be read, and it is not told again."""

    async def run(self, tell: Tell, begun: Begun) -> None:
        begun()  # a file is compared with what was read of it, whenever that was
        try:
            for turn in count():
                await asyncio.sleep(_SWEEP_S)
                if len(self._threads.running) > _MOST_HANGING:
                    continue  # the whole disk hangs: the TTLs hold
                read = self._lookups.recently_read(turn, _MOST_LOOKS)
                self._compare(read, await self._look(read), tell)
        finally:
            self._threads.close()

    async def _look(self, read: Mapping[UserId, Facts]) -> dict[UserId, Facts]:
        """The facts of these users' files; without those whose file hangs."""
        hanging = self._threads.running
        found = await self._threads.call_many(user for user in read if user not in hanging)
        return {
            user: facts for user, facts in found.items() if not isinstance(facts, asyncio.Future)
        }

    def _compare(
        self, read: Mapping[UserId, Facts], found: Mapping[UserId, Facts], tell: Tell
    ) -> None:
        for user, facts in found.items():
            known = read[user]
            if known == facts:
                self._told.pop(user, None)
            elif self._told.get(user) != (known, facts):
                if len(self._told) > _MOST_LOOKS:
                    self._told.clear()
                self._told[user] = known, facts
                # Soft: a file that is there but cannot be read must not stop a warm user.
                tell(Change(user=user, hard=False))
