"""Changes of users' installed_plugins.json files, whoever writes them.

The source sweeps: ten times a second it looks at the files of the users whom the cache answered for
since the last sweep, and at no others. So idle users cost nothing, and 100,000 folders need neither
100,000 watches nor a slow start. A look is one `stat` (3 µs) in a thread. The file's
fingerprint is compared with the one that it had when it was read:

- the same: the user's entry is confirmed, as of the moment before the sweep's first look;
- another: the source tells of a change.

The entry of an idle user goes stale after `ttl`, and its next use looks at the file first
(serving/user_files.py). An entry that was not confirmed for a while may answer once, and that
answer makes the next sweep look at its file.
"""

import asyncio
from collections.abc import Sequence
from itertools import islice

from gateway.caching.turns import Turns
from gateway.changes import Change
from gateway.disk.files import Fingerprint
from gateway.freshness import Ready, Tell
from gateway.metrics.changes import AllChanges, HeardChanges
from gateway.names import UserId
from gateway.serving.lookups import Lookups
from gateway.threads import KeyedThreads

_SWEEP_S = 0.1
# 5,000 looks at 3 µs are 15 ms of a thread. If more users were active, the next sweeps look at the
# others: a change shows within 250 ms for 12,500 users, within a second for 50,000.
_MOST_LOOKS = 5_000
# If more files hang, the whole disk does.
_MOST_HANGING = 4
_PATIENCE_S = 1.0


class UsersFolderSource:
    """Looks at the files of active users ten times a second, unless it rests."""

    name = "users folder"

    def __init__(
        self, lookups: Lookups, heard: HeardChanges | None = None, turns: Turns | None = None
    ) -> None:
        """`heard` learns when each file changed, and whether the files can be looked at."""
        self._lookups = lookups
        self._heard = AllChanges.alone().of_source(self.name) if heard is None else heard
        self._turns = Turns() if turns is None else turns
        self._threads = KeyedThreads[UserId, Fingerprint | None](
            lookups.file_reader.look, _MOST_HANGING + 1, _PATIENCE_S
        )
        self._due: dict[UserId, None] = {}
        """Users whose files are to be looked at, in the order in which they were noted."""

    async def run(self, tell: Tell, ready: Ready) -> None:
        self._note_used()
        ready()  # a look is compared with what was read, whenever that was: nothing is missed
        try:
            while True:
                await self._turns.next(_SWEEP_S)
                self._note_used()
                if self._due:
                    await self._sweep(tell)
        finally:
            self._threads.close()

    def _note_used(self) -> None:
        for user in self._lookups.installations.take_used():
            self._due.setdefault(user)

    async def _sweep(self, tell: Tell) -> None:
        """Looks at the files of users who are due. Tells of changes, and confirms the others."""
        if len(self._threads.running) > _MOST_HANGING:
            self._heard.ends(f"looks at more than {_MOST_HANGING} users' files hang")
            return  # the whole disk hangs: nothing is observed, and the TTLs hold
        self._heard.begins()
        chosen = list(islice(self._due, _MOST_LOOKS))
        for user in chosen:
            del self._due[user]
        began_at = self._lookups.clock()
        for user, fingerprint in (await self._look(chosen)).items():
            if not self._lookups.user_files.confirm(user, fingerprint, began_at):
                if fingerprint is not None:
                    self._heard.happened(max(fingerprint[-2:]) / 1e9)
                # Soft: a user who is cached is served even if the changed file cannot be read.
                tell(Change(user=user, hard=False))

    async def _look(self, users: Sequence[UserId]) -> dict[UserId, Fingerprint | None]:
        """The fingerprints of these files, except those that hang or cannot be looked at."""
        hanging = self._threads.running
        looks = await self._threads.call_many(user for user in users if user not in hanging)
        return {user: look for user, look in looks.items() if not isinstance(look, asyncio.Future)}
