"""Runs one change source over lookups, for tests of what it tells and confirms."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.changes import Change
from gateway.database.plugin_database import PluginDatabase
from gateway.freshness import FreshnessSource, following
from gateway.serving.lookups import Lookups


class Followed(Protocol):
    """A source, the lookups that it confirms, and a function that hears its changes."""

    database: PluginDatabase
    lookups: Lookups
    source: FreshnessSource

    def tell(self, change: Change) -> None: ...


def follow(followed: Followed, scenario: Callable[[], Awaitable[None]]) -> None:
    """Runs the scenario while the source runs; closes everything afterwards."""

    async def main() -> None:
        await followed.database.open()
        try:
            async with following([followed.source], followed.tell):
                await scenario()
        finally:
            await followed.lookups.close()
            await followed.database.close()

    asyncio.run(main())
