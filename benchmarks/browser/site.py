"""The site of `browser`: users who have every plugin, at the old version or upgraded."""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.browser.plugins import NEW, OLD, BuiltPlugin
from benchmarks.processes import output_of
from benchmarks.sites import Population, Site
from gateway.lifecycle.releases import database_id
from gateway.names import Slug, Version

# Browsers keep files without Cache-Control for a tenth of the time since they changed (RFC 9111
# §4.2.2). This is the application's best case: it is not asked again at a second visit.
_AGE_S = 30 * 24 * 3600.0
_MODULE = (
    "INSERT INTO module (id, plugin_id, name, display_name, enabled, user_id)"
    " VALUES ('Board', ?, 'Board', 'Board', 1, ?)"
)


@dataclass(frozen=True)
class Owners(Population):
    """Users who all have all plugins."""

    built: tuple[BuiltPlugin, ...] = ()

    def plugins_of(self, number: int) -> list[tuple[Slug, Version]]:
        return [(plugin.slug, OLD) for plugin in self.built]


class BrowserSite(Site):
    """Both versions are published by `gateway publish`, the new one when users have the old one."""

    def __init__(self, folder: Path, users: int, plugins: Sequence[BuiltPlugin]) -> None:
        """Makes it. Raises: CannotMeasure."""
        count = len(plugins)
        super().__init__(folder, Owners(users, count, count, built=tuple(plugins)))
        self.built = plugins
        self.make()
        self._publish_all(NEW)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "GATEWAY__ACCESS__MISSING_INSTALLATIONS": "allow"}

    def _publish(self) -> None:
        self._publish_all(OLD)

    def upgrade(self, number: int) -> None:
        """Commits that the user has the new version of all plugins."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            user = self.population.user(number)
            connection.execute("UPDATE plugin SET version = ? WHERE user_id = ?", (NEW, user))

    def _publish_all(self, version: Version) -> None:
        changed = time.time() - _AGE_S
        for plugin in self.built:
            output_of(self.command("publish", str(plugin.source(version))))
            for path in (self.shared / plugin.slug / f"v{version}").rglob("*"):
                os.utime(path, (changed, changed))

    def _installations(self, number: int) -> bytes | None:
        return None

    def _write_rows(self, connection: sqlite3.Connection, numbers: range) -> None:
        super()._write_rows(connection, numbers)
        for number in numbers:
            user = self.population.user(number)
            rows = [(database_id(user, plugin.slug), user) for plugin in self.built]
            connection.executemany(_MODULE, rows)
