"""Makes a site: configuration, folders, an empty database. Never changes what exists."""

import os
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from gateway.database.connections import DatabaseConnection, connect
from gateway.database.schema import CREATE_TABLES
from gateway.database.tables import REQUIRED_COLUMNS, has_other_tables, table_names
from gateway.database.transactions import execute_in_transaction
from gateway.database.triggers import trigger_statements
from gateway.disk.files import write_atomically
from gateway.errors import ConfigurationError
from gateway.settings import Settings, load_settings

CONFIG_NAME = "config.toml"
PRIVATE = 0o600
"""The mode of files with secrets or users' data: only the owner can read them."""
SHIPPED_CONFIG = Path(__file__).parents[2] / CONFIG_NAME
"""The default configuration in a checkout; an installed package has it elsewhere."""

T = TypeVar("T")


def refuse_checkout(config_file: Path) -> None:
    """Raises: ConfigurationError, if the file is the project's own, which everybody may read and
    which is under version control."""
    if config_file.exists() and SHIPPED_CONFIG.exists() and config_file.samefile(SHIPPED_CONFIG):
        raise ConfigurationError(
            f"{config_file.absolute()}: this file of the checkout is no place for a secret; make"
            " the site in a folder of its own: gateway init --with-secret FOLDER"
        )


async def make_site(folder: Path, config_file: Path | None = None) -> Sequence[str]:
    """Makes what is missing. Returns a line about each part: whether it was made or kept.

    Raises: ConfigurationError, if an existing configuration is wrong, or the database has other
        tables and not ours.
    """
    lines = []
    config_file = config_file or folder / CONFIG_NAME
    is_new = not config_file.exists()
    lines.append(f"{'made' if is_new else 'kept'}   {config_file}")
    if is_new:
        config_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config_file, default_config(), PRIVATE)
    settings = load_settings(config_file)
    for name in ("shared", "users", "cache"):
        path = settings.plugins_dir / name
        lines.append(f"{'kept' if path.is_dir() else 'made'}   {path}")
        path.mkdir(parents=True, exist_ok=True)
    has_new_tables = await make_tables(settings)
    if is_new and has_new_tables:  # no application has these tables, so nobody else can change them
        write_atomically(config_file, config_of_own_tables(), PRIVATE)
    lines.append(f"{'made' if has_new_tables else 'kept'}   {settings.database_name}")
    return lines


async def make_tables(settings: Settings) -> bool:
    """Makes the two tables in an empty database. Returns False if they exist.

    Raises: ConfigurationError, if the database has tables, but not both of ours: then it belongs
        to an application, and we must not change it.
    """
    if settings.database_dialect == "sqlite" and _make_private(settings.sqlite_file):
        tables = frozenset[str]()
    else:
        tables = await _asked(settings, table_names)
    if tables >= REQUIRED_COLUMNS.keys():
        return False
    if tables:
        raise ConfigurationError(
            "database.url: the database has other tables, but not both 'plugin' and 'module':"
            " expected an application's database, or an empty one"
        )
    await execute_in_transaction(settings, CREATE_TABLES)
    return True


def _make_private(database: Path) -> bool:
    """Makes the empty file of a database. Returns False if it exists.

    SQLite itself would make it readable for everybody. Its journals get the mode of this file.
    Raises: ConfigurationError.
    """
    try:
        os.close(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigurationError(
            f"database.url: {database}: cannot be made: {error.strerror}"
        ) from None
    return True


async def install_triggers(settings: Settings) -> None:
    """Makes PostgreSQL notify the gateway of changes. Raises: ConfigurationError."""
    if settings.database_dialect != "postgresql":
        raise ConfigurationError(
            "database.url: only PostgreSQL needs triggers; the gateway notices commits to SQLite"
        )
    await execute_in_transaction(settings, trigger_statements(settings.freshness.postgres_channel))


async def is_of_application(settings: Settings) -> bool:
    """Whether an application owns the database. Raises: ConfigurationError, SourceUnavailable."""
    return await _asked(settings, has_other_tables)


async def _asked(settings: Settings, question: Callable[[DatabaseConnection], Awaitable[T]]) -> T:
    connection = connect(settings)
    await connection.open()
    try:
        return await question(connection)
    finally:
        await connection.close()


def default_config() -> bytes:
    """The config.toml that has every key with its default and its meaning."""
    packaged = files("gateway") / CONFIG_NAME
    if packaged.is_file():
        return packaged.read_bytes()
    return SHIPPED_CONFIG.read_bytes()


def config_of_own_tables() -> bytes:
    """`default_config` for a site whose tables belong to the gateway: users may change them."""
    return default_config().replace(b'#changes = "off"  ', b'changes = "users" ')
