"""Changes that other processes of this host, workers and commands, announce in the change log."""

import anyio.to_thread

from gateway.freshness import Ready, Tell, next_turn
from gateway.freshness.change_log import ChangeLog

# Half of the promised 100 ms. Twenty looks a second cost 0.2 % of a core, fifty 0.5 %.
_POLL_S = 0.05
_POLLS_BETWEEN_STATS = 20


class WorkersSource:
    """Looks at the log 20 times a second. If nothing is new, a look is one read of 16 bytes."""

    name = "workers"

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    async def run(self, tell: Tell, ready: Ready) -> None:
        ready()  # the log was opened before, and is read from that moment on
        while True:
            for _ in range(_POLLS_BETWEEN_STATS):
                for change in self._log.read_new():
                    tell(change)
                await next_turn(_POLL_S)
            await anyio.to_thread.run_sync(self._log.reopen_if_replaced)
