"""A gateway's site in a temporary folder: several users, several plugins, files of given sizes.

Made with the gateway's own functions, so that it is what `gateway init` and an application's
installer make: SQLite, installed_plugins.json of every user, `plugins/shared`.
"""

import secrets
import time
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import anyio
import brotli

from benchmarks.payload import javascript
from gateway.database.connections import execute_in_transaction
from gateway.disk.storage import PluginStorage
from gateway.identity.jwt import issue_token
from gateway.lifecycle.rows import insert_statement, plugin_row
from gateway.names import Slug, UserId, Version
from gateway.settings import load_settings
from gateway.upkeep.site import CONFIG_NAME, make_site

SLUG = Slug("Measured")
VERSION = Version("1.0.0")
_OTHER_SLUGS = tuple(Slug(f"Other{number}") for number in range(9))
_USERS = tuple(UserId(f"{number:032x}") for number in range(1, 21))
_TOKEN_TTL_S = 24 * 3600.0


class Site:
    """Configuration, database and folders; `token` is the bearer token of one user."""

    def __init__(self, folder: Path, sizes_bytes: Collection[int]) -> None:
        """Makes it. `folder` must be empty."""
        self.folder = folder
        self.secret = secrets.token_urlsafe(32)
        self.user = _USERS[len(_USERS) // 2]
        anyio.run(self._make)
        settings = load_settings(folder / CONFIG_NAME, self.environment)
        self.plugins = settings.plugins_dir
        self.shared = self.plugins / "shared"
        self.database = settings.sqlite_file
        self.token = issue_token(settings, self.user, _TOKEN_TTL_S, time.time())
        for size_bytes in sizes_bytes:
            self._publish(size_bytes)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of this site that differ from the defaults."""
        return {"GATEWAY__IDENTITY__JWT__SECRET": self.secret}

    def content(self, size_bytes: int) -> bytes:
        return (self._version_folder / asset_path(size_bytes)).read_bytes()

    @property
    def _version_folder(self) -> Path:
        return self.shared / SLUG / f"v{VERSION}"

    def _publish(self, size_bytes: int) -> None:
        """The file, and its brotli variant beside it for the servers that want one there.

        Quality 11, as the gateway's own encoder uses up to 1 MiB.
        """
        path = self._version_folder / asset_path(size_bytes)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = javascript(size_bytes)
        path.write_bytes(content)
        path.with_name(f"{path.name}.br").write_bytes(brotli.compress(content, quality=11))

    async def _make(self) -> None:
        await make_site(self.folder)
        settings = load_settings(self.folder / CONFIG_NAME, self.environment)
        storage = PluginStorage(settings.plugins_dir)
        now = datetime.now(UTC)
        statements = []
        for slug in (SLUG, *_OTHER_SLUGS):
            entry = storage.construct_shared_path(slug, VERSION) / "dist" / "remoteEntry.js"
            entry.parent.mkdir(parents=True)
            entry.write_bytes(javascript(8192))
            for user in _USERS:
                row = plugin_row({}, user, slug, VERSION, now)
                statements.append((insert_statement("plugin", row), row))
                storage.register_user_plugin(user, slug)
        await execute_in_transaction(settings, statements)


def asset_path(size_bytes: int) -> str:
    """Relative to the version's folder."""
    return f"dist/{size_bytes // 1024}KiB.js"
