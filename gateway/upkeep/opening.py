"""A site's folders and database, opened for a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.database.connections import connect
from gateway.database.survey import Survey
from gateway.database.tables import Tables
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.settings import Settings


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Survey]:
    """Raises: ConfigurationError, if the database or a table is not what it should be."""
    tables = Tables(connect(settings))
    await tables.open()
    try:
        yield Survey(tables)
    finally:
        await tables.close()


@asynccontextmanager
async def opened_site(settings: Settings) -> AsyncIterator[tuple[PluginStorage, Survey]]:
    """Raises: ConfigurationError, if a folder, the database or a table is not what it should be."""
    storage = PluginStorage(settings.plugins_dir)
    if not storage.root.is_dir():
        raise ConfigurationError(f"storage.root: no folder {storage.root} (gateway init makes one)")
    async with opened_database(settings) as database:
        yield storage, database
