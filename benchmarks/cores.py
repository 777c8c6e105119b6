"""Which core runs what: the server has one, the load generator and this process another.

Where both share a core, or wander, the ratio of two servers says more about the scheduler than
about them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class TooFewCores(Exception):
    """Server and load generator cannot be kept apart."""


@dataclass(frozen=True, slots=True)
class Cores:
    server: int
    load: int
    all_servers: tuple[int, ...] = ()
    """For a server of several processes: all but the load's."""


def choose_cores() -> Cores:
    """The first and the last core that this process may use.

    Raises: TooFewCores.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise TooFewCores("this system cannot pin processes to cores; measure on Linux")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise TooFewCores("this process may use one core only; measuring takes two")
    return Cores(server=usable[0], load=usable[-1], all_servers=tuple(usable[:-1]))


@contextmanager
def pinned_to(*cores: int) -> Iterator[None]:
    """What this thread starts in the block has `cores` from its first instruction on.

    Before the start, not after: Go sets its number of threads from the cores it finds.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
