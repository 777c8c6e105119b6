"""`Development`: what `gateway dev` puts in front of a site. The core takes it, and asks it for a
storage, a database and one more source of changes."""

from functools import partial
from pathlib import Path

from gateway.database.connections import DatabaseConnection
from gateway.database.plugin_database import PluginDatabase
from gateway.development.developed_plugin import DevelopedPlugin
from gateway.development.overlaid_database import OverlaidDatabase
from gateway.development.overlaid_storage import OverlaidStorage
from gateway.development.plugin_folder import PluginFolder
from gateway.development.snapshots import Snapshots
from gateway.development.source import DevelopmentSource, Report
from gateway.disk.shared_folder import SharedFolder
from gateway.disk.storage import PluginStorage
from gateway.metrics.sources import SourceCounts
from gateway.settings import Settings


class Development:
    def __init__(
        self, plugin: DevelopedPlugin, snapshots: Snapshots, source: DevelopmentSource
    ) -> None:
        self.plugin = plugin
        self.source = source
        self._snapshots = snapshots

    @classmethod
    def of_folder(
        cls,
        folder: PluginFolder,
        plugin: DevelopedPlugin,
        settings: Settings,
        work: Path,
        report: Report,
    ) -> "Development":
        """`work`: where copies of builds are kept; it is made."""
        published = SharedFolder(settings.plugins_dir / "shared")
        is_published = partial(published.is_published, plugin.slug)
        snapshots = Snapshots(work, plugin.slug, is_published)
        return cls(plugin, snapshots, DevelopmentSource(folder, snapshots, plugin, report))

    def storage(self, settings: Settings) -> PluginStorage:
        allow_missing = settings.access.missing_installations == "allow"
        return OverlaidStorage(
            settings.plugins_dir, self.plugin, self._snapshots, allow_missing=allow_missing
        )

    def database(
        self, connection: DatabaseConnection, strangers: DatabaseConnection, counts: SourceCounts
    ) -> PluginDatabase:
        return OverlaidDatabase(connection, strangers, counts, self.plugin)
