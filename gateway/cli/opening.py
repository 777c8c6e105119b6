"""A site's folders and database, opened for a command."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.database.connections import connect
from gateway.database.tables import PluginDatabase
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.settings import Settings

PATIENCE: Mapping[str, Mapping[str, Any]] = {"database": {"query_timeout": 60.0}}
"""Settings for commands that look at all users: their queries are long, and no page waits."""


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[PluginDatabase]:
    """Raises: ConfigurationError, if the database or a table is not what it should be."""
    database = PluginDatabase(connect(settings))
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def opened_site(settings: Settings) -> AsyncIterator[tuple[PluginStorage, PluginDatabase]]:
    """Raises: ConfigurationError, if a folder, the database or a table is not what it should be."""
    storage = PluginStorage(settings.plugins_dir)
    if not storage.root.is_dir():
        raise ConfigurationError(f"storage.root: no folder {storage.root} (gateway init makes one)")
    async with opened_database(settings) as database:
        yield storage, database
