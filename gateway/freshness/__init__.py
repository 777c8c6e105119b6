"""Who says that something changed. An open set: one source, one file.

A source runs for as long as the gateway does and tells of each change; it drops nothing
itself (changes.py does). TTLs stay behind all of them: a source that fails costs freshness,
never correctness.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from gateway.changes import ANYTHING, Change

logger = logging.getLogger(__name__)

Tell = Callable[[Change], None]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class FreshnessSource(Protocol):
    """One way of noticing changes."""

    name: str

    async def run(self, tell: Tell) -> None:
        """Tells of changes until it is cancelled. Any error ends it; it is started again."""


async def keep_running(source: FreshnessSource, tell: Tell) -> None:
    """Runs `source` for ever. After each failure anything may have been missed."""
    pause_s = _FIRST_PAUSE_S
    loop = asyncio.get_running_loop()
    while True:
        started_at = loop.time()
        try:
            await source.run(tell)
        except Exception as error:  # the edge of a background task: it must not die silently
            if loop.time() - started_at > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            logger.warning("freshness: %s: %r; again in %.1f s", source.name, error, pause_s)
        tell(ANYTHING)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
