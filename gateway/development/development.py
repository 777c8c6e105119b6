"""`Development`: what `gateway dev` puts in front of a site. The core takes it, and asks it for a
storage, a database and one more source of changes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.database.connections import DatabaseConnection
from gateway.database.plugin_database import PluginDatabase
from gateway.development.dev_server import DevServer
from gateway.development.developed_plugin import DevelopedPlugin
from gateway.development.overlaid_database import OverlaidDatabase
from gateway.development.overlaid_storage import OverlaidStorage
from gateway.development.plugin_folder import PluginFolder
from gateway.development.snapshots import Snapshots, base_version, free_version, make_release
from gateway.development.source import DevelopmentSource, Report
from gateway.disk.shared_folder import SharedFolder
from gateway.disk.storage import PluginStorage
from gateway.metrics.sources import SourceCounts
from gateway.names import Slug, Version
from gateway.settings import Settings


class Development:
    def __init__(
        self, plugin: DevelopedPlugin, snapshots: Snapshots, source: DevelopmentSource | None
    ) -> None:
        self.plugin = plugin
        self.source = source
        """None: the files come from a dev server, and the folder is not watched."""
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
        snapshots = Snapshots(work, plugin.slug, _is_published(settings, plugin.slug))
        return cls(plugin, snapshots, DevelopmentSource(folder, snapshots, plugin, report))

    @classmethod
    def of_dev_server(
        cls,
        folder: PluginFolder,
        plugin: DevelopedPlugin,
        settings: Settings,
        work: Path,
        server: DevServer,
    ) -> "Development":
        """The folder's metadata is read once. The files come from the server.

        Raises: PublishingError, OSError.
        """
        is_published = _is_published(settings, plugin.slug)
        version = free_version(base_version(folder.metadata()), 0, is_published)
        entry = server.entry_name or folder.layout().entry.rpartition("/")[2]
        plugin.release = make_release(folder.metadata_folder(), plugin.slug, version, entry)
        return cls(plugin, Snapshots(work, plugin.slug, is_published), None)

    def folder_of(self, version: Version) -> Path:
        """Of the copy of a build, whether it is still there or not."""
        return self._snapshots.shared.version_folder(self.plugin.slug, version)

    def storage(self, settings: Settings) -> PluginStorage:
        allow_missing = settings.access.missing_installations == "allow"
        return OverlaidStorage(
            settings.plugins_dir, self.plugin, self._snapshots, allow_missing=allow_missing
        )

    def database(
        self, connection: DatabaseConnection, strangers: DatabaseConnection, counts: SourceCounts
    ) -> PluginDatabase:
        return OverlaidDatabase(connection, strangers, counts, self.plugin)


def _is_published(settings: Settings, slug: Slug) -> Callable[[Version], bool]:
    return partial(SharedFolder(settings.plugins_dir / "shared").is_published, slug)
