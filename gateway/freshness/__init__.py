"""Who says that something changed. An open set: one source, one file.

A source runs for as long as the gateway does and tells of each change; it drops nothing
itself (changes.py does). TTLs stay behind all of them: a source that fails costs freshness,
never correctness.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from gateway.changes import Change

logger = logging.getLogger(__name__)

Tell = Callable[[Change], None]

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0


class FreshnessSource(Protocol):
    """One way of noticing changes."""

    name: str

    async def run(self, tell: Tell) -> None:
        """Tells of changes until it is cancelled, first of ANYTHING if some may have come before
        it began to look. When it ends, or fails, it is started again.
        """


async def keep_running(source: FreshnessSource, tell: Tell) -> None:
    """Runs `source` for ever. A failure tells of nothing: what is known is all there is."""
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            await source.run(tell)
            pause_s = _FIRST_PAUSE_S
        except Exception as error:  # the edge of a background task: it must not die silently
            logger.warning("freshness: %s: %r; again in %.1f s", source.name, error, pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)
