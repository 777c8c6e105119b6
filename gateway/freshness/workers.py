"""Changes that other processes of this host, workers and commands, announce in the change log."""

import asyncio
import logging

import anyio.to_thread

from gateway.caching.turns import Turns
from gateway.changes import ANYTHING
from gateway.errors.sentences import sentence_of
from gateway.freshness import Ready, Tell
from gateway.freshness.change_log import ChangeLog
from gateway.metrics.changes import AllChanges, HeardChanges

logger = logging.getLogger(__name__)

# Half of the promised 100 ms. Twenty looks a second cost 0.2 % of a core, fifty 0.5 %.
_POLL_S = 0.05
_POLLS_BETWEEN_STATS = 20
_PAUSE_AFTER_FAILURE_S = 1.0


class WorkersSource:
    """Looks at the log 20 times a second, unless it rests. If nothing is new, a look is one read of
    16 bytes.

    While the log cannot be opened or read, for example on a read-only disk, it tries again once a
    second, and logs the failure once.
    """

    name = "workers"

    def __init__(
        self, log: ChangeLog, heard: HeardChanges | None = None, turns: Turns | None = None
    ) -> None:
        """`heard` learns when each change was announced, and whether the log can be read."""
        self._log = log
        self._heard = AllChanges.alone().of_source(self.name) if heard is None else heard
        self._turns = Turns() if turns is None else turns

    async def run(self, tell: Tell, ready: Ready) -> None:
        has_failed = False
        while True:
            try:
                await anyio.to_thread.run_sync(self._log.reopen_if_replaced)
                if has_failed:
                    has_failed = False
                    logger.warning("changes by other processes of this host are heard again")
                    tell(ANYTHING)
                ready()
                for _ in range(_POLLS_BETWEEN_STATS):
                    for change in self._log.read_new(self._note_moment):
                        tell(change)
                    await self._turns.next(_POLL_S)
            except OSError as error:
                if not has_failed:
                    logger.warning(
                        "changes by other processes of this host show when lifetimes end, until"
                        " plugins/cache can be written: %s",
                        error,
                    )
                has_failed = True
                ready()  # nobody waits for the disk
                self._heard.ends(f"the change log cannot be read: {sentence_of(error)}")
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)

    def _note_moment(self, moment: float) -> None:
        if not self._turns.is_resting:  # else nobody waited for the change
            self._heard.happened(moment)
