"""Changes of users' installed_plugins.json, whoever writes them.

Only files that were read within the last `ttl` are looked at: what is older is read again at
its next use anyway. So 100,000 folders need neither 100,000 watches nor a slow start. A look
is one `stat` (3 µs), in a thread.
"""

import asyncio
from collections.abc import Sequence
from itertools import count

import anyio.to_thread

from gateway.changes import Change
from gateway.freshness import Begun, Tell
from gateway.lookups import Lookups
from gateway.names import UserId
from gateway.storage import Facts, PluginStorage

_SWEEP_S = 0.1
# 5,000 looks at 3 µs are 15 ms of a thread. With more users at once, each is looked at in turn: a
# change shows within 250 ms for 12,500 users, within a second for 50,000.
_MOST_LOOKS = 5_000


class UsersFolderSource:
    """Sweeps over the files of active users ten times a second."""

    name = "users folder"

    def __init__(self, storage: PluginStorage, lookups: Lookups) -> None:
        self._storage = storage
        self._lookups = lookups
        self._told: dict[UserId, Facts] = {}
        """Told already, and still different from what is cached: the file cannot be read."""

    async def run(self, tell: Tell, begun: Begun) -> None:
        begun()  # a file is compared with what was read of it, whenever that was
        for turn in count():
            await asyncio.sleep(_SWEEP_S)
            read = self._lookups.recently_read(turn, _MOST_LOOKS)
            looks = await anyio.to_thread.run_sync(self._look, list(read))
            for (user, known), facts in zip(read.items(), looks, strict=True):
                if known == facts:
                    self._told.pop(user, None)
                elif self._told.get(user, known) != facts:
                    if len(self._told) > _MOST_LOOKS:
                        self._told.clear()
                    self._told[user] = facts
                    # Soft: a file that is there but cannot be read must not stop a warm user.
                    tell(Change(user=user, hard=False))

    def _look(self, users: Sequence[UserId]) -> list[Facts]:
        return [self._storage.installations_facts(user) for user in users]
