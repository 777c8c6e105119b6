"""A site whose one file tells which version it is of, on SQLite or PostgreSQL."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import anyio

from benchmarks.site import SLUG, VERSION, Site
from gateway.database.connections import execute_in_transaction
from gateway.lifecycle.rows import insert_statement, plugin_row
from gateway.names import Version
from gateway.settings import load_settings
from gateway.upkeep.site import CONFIG_NAME, install_triggers, make_tables

OTHER_VERSION = Version("2.0.0")
VERSIONS = (VERSION, OTHER_VERSION)
PATH = f"/api/v1/plugins/{SLUG}/dist/version.js"
LOAD_PATH = "/api/v1/plugins/Other0/dist/remoteEntry.js"


def make_site(folder: Path) -> Site:
    """On SQLite; `folder` must be empty."""
    site = Site(folder, ())
    for version in VERSIONS:
        path = site.shared / SLUG / f"v{version}" / "dist" / "version.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(version))
    return site


def content_of(version: Version) -> bytes:
    return f"/* {version} */".encode()


def use_journal(site: Site, mode: str) -> None:
    with closing(sqlite3.connect(site.database)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")


def copy_to_postgres(site: Site, url: str) -> Mapping[str, str]:
    """The user's rows in PostgreSQL, with triggers; the settings that lead there.

    Raises: ConfigurationError.
    """
    environment = {**site.environment, "GATEWAY__DATABASE__URL": url}
    settings = load_settings(site.folder / CONFIG_NAME, environment)
    now = datetime.now(UTC)
    with closing(sqlite3.connect(site.database)) as connection:
        names = connection.execute(
            "SELECT plugin_slug, version FROM plugin WHERE user_id = ?", (site.user,)
        ).fetchall()
    rows = [plugin_row({}, site.user, slug, version, now) for slug, version in names]

    async def make() -> None:
        await make_tables(settings)
        await execute_in_transaction(
            settings, [(insert_statement("plugin", row), row) for row in rows]
        )
        await install_triggers(settings)

    anyio.run(make)
    return environment
