"""A site's folders and database, opened for a command."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.database.connections import connect
from gateway.database.survey import Survey
from gateway.database.tables import Tables
from gateway.disk.storage import PluginStorage
from gateway.errors import ConfigurationError
from gateway.settings import Settings


def require_root(folder: Path) -> None:
    """Raises: ConfigurationError, if there is no such folder, or this user may not enter one
    above it."""
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:
        raise ConfigurationError(
            f"storage.root: {folder} cannot be read: {error.strerror} in a folder above it"
        ) from None
    if not is_folder:
        raise ConfigurationError(f"storage.root: no folder {folder} (gateway init makes one)")


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
    require_root(storage.root)
    async with opened_database(settings) as database:
        yield storage, database
