"""A site of many users with old files that agree with their rows."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import orjson

from benchmarks.payload import javascript
from gateway.disk.storage import PluginStorage
from gateway.lifecycle.rows import insert_statement, plugin_row
from gateway.names import Slug, UserId, Version
from gateway.settings import Settings, load_settings
from gateway.upkeep.site import CONFIG_NAME, make_site

SLUGS = (Slug("First"), Slug("Second"))
VERSION = Version("1.0.0")
# Every tenth user has rows but no file, as on a site where only some were migrated before.
WITHOUT_FILE = 10


def make_old_site(folder: Path, users: int) -> Settings:
    """In an empty folder; by plain SQLite, since a row at a time takes longer than the run."""
    anyio.run(make_site, folder)
    settings = load_settings(folder / CONFIG_NAME, {})
    storage = PluginStorage(settings.plugins_dir)
    for slug in SLUGS:
        entry = storage.construct_shared_path(slug, VERSION) / "dist" / "remoteEntry.js"
        entry.parent.mkdir(parents=True)
        entry.write_bytes(javascript(8192))
    content = orjson.dumps({slug: _old_entry(slug) for slug in SLUGS})
    for number, user in enumerate(_users(users)):
        if number % WITHOUT_FILE:
            path = storage.installations_file(user)
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
    rows = _rows(users)
    with closing(sqlite3.connect(settings.sqlite_file)) as connection, connection:
        connection.executemany(insert_statement("plugin", next(_rows(1))), rows)
    return settings


def _users(count: int) -> Iterator[UserId]:
    """Spread like real ids: neighbours in the index are not neighbours on the disk."""
    for number in range(count):
        yield UserId(hashlib.sha256(str(number).encode()).hexdigest()[:32])


def _rows(users: int) -> Iterator[dict[str, Any]]:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for user in _users(users):
        for slug in SLUGS:
            yield plugin_row({}, user, slug, VERSION, now)


def _old_entry(slug: Slug) -> dict[str, Any]:
    return {
        "version": VERSION,
        "shared_path": f"/srv/plugins/shared/{slug}/v{VERSION}",
        "installed_at": "2025-06-16T10:11:12.131415",
        "enabled": True,
        "user_config": {},
        "installation_metadata": {"installation_type": "migrated"},
    }
