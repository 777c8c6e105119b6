"""A start waits for a database that is busy: locked by a program that writes a lot, or so slow at
first that the time of a query does not suffice. A database that cannot be used refuses at once.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.errors import ConfigurationError, SourceBusy

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The supervisor takes a worker that is silent for 30 s for hung.
_PATIENCE_S = 20.0
_PAUSE_S = 0.1


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for again while the database is busy.

    Raises: ConfigurationError, if it is busy for `_PATIENCE_S`; what `ask` raises.
    """
    gives_up_at = time.monotonic() + _PATIENCE_S
    has_said = False
    while True:
        try:
            return await ask()
        except SourceBusy as error:
            if time.monotonic() > gives_up_at:
                text = f"database.url: no answer within {_PATIENCE_S:g} s: {error.reason}"
                raise ConfigurationError(text) from None
            if not has_said:
                logger.warning("%s; waiting for up to %g s", error.reason, _PATIENCE_S)
                has_said = True
        await asyncio.sleep(_PAUSE_S)
