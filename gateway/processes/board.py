"""How a worker and its supervisor talk: in shared memory, so that neither waits for the other."""

import signal
from enum import IntFlag
from multiprocessing.context import BaseContext

BELL = signal.SIGCONT
"""Makes a worker look at its board at once, who looks rarely while nobody asks. The signal itself
says nothing: anybody may send it, and a worker that has no handler yet ignores it."""


class Order(IntFlag):
    """What a supervisor orders its workers to do."""

    DRAIN = 1
    """Answer `/-/ready` with "draining", and everything else as before."""
    RETIRE = 2
    """Accept no connections, give each open one its last answer, then end."""
    HURRY = 4
    """Cut off the requests that still run."""


class Board:
    """Two numbers in shared memory: the supervisor writes one, the worker the other."""

    def __init__(self, context: BaseContext) -> None:
        self._orders = context.RawValue("i", 0)
        self._beats = context.RawValue("L", 0)

    @property
    def orders(self) -> Order:
        return Order(self._orders.value)

    def give(self, order: Order) -> None:
        self._orders.value |= order

    @property
    def beats(self) -> int:
        """Moves at least every two seconds while the worker's event loop turns; 0: not serving
        yet."""
        return int(self._beats.value)

    def beat(self) -> None:
        self._beats.value += 1
