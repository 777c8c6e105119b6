"""Blocking context managers, used from an event loop."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager

from anyio.to_thread import run_sync


@asynccontextmanager
async def entered_in_thread(context: AbstractContextManager[None]) -> AsyncIterator[None]:
    """For a lock: entering it may wait for another process."""
    await run_sync(context.__enter__)
    try:
        yield
    finally:
        context.__exit__(None, None, None)
