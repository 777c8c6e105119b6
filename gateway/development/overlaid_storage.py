"""`plugins/` with one plugin of one user in front of it: the copies of builds, and a JSON entry.

Nothing is written for it below `plugins/`.
"""

from collections.abc import Callable
from pathlib import Path

from gateway.development.developed_plugin import DevelopedPlugin
from gateway.development.snapshots import Snapshots
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.files import Fingerprint
from gateway.disk.shared_folder import OpenedAsset, SharedFolder
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import Document, UsersFolder
from gateway.names import AssetPath, Slug, UserId, Version

_INSTALLATION = {"installation_metadata": {"installation_type": "development"}}


class OverlaidStorage(PluginStorage):
    def __init__(
        self, root: Path, plugin: DevelopedPlugin, snapshots: Snapshots, *, allow_missing: bool
    ) -> None:
        """`allow_missing`: what a user without a file has is what the table says."""
        super().__init__(root)
        self.shared = _OverlaidShared(self.shared.path, snapshots)
        self.cache = _OverlaidCache(self.cache.path, snapshots)
        self.users = _OverlaidUsers(self.users.path, self.cache, plugin, allow_missing)


class _OverlaidShared(SharedFolder):
    """Versions that are copies are found among the copies, all others where they always are."""

    def __init__(self, path: Path, snapshots: Snapshots) -> None:
        super().__init__(path)
        self._snapshots = snapshots
        published = self.version_folder
        self.version_folder: Callable[[Slug, Version], Path] = lambda slug, version: (
            snapshots.shared.version_folder(slug, version)
            if snapshots.holds(slug, version)
            else published(slug, version)
        )

    def is_published(self, slug: Slug, version: Version) -> bool:
        return self._snapshots.holds(slug, version) or super().is_published(slug, version)

    def open_asset(self, slug: Slug, version: Version, asset_path: AssetPath) -> OpenedAsset:
        if self._snapshots.holds(slug, version):
            return self._snapshots.shared.open_asset(slug, version, asset_path)
        return super().open_asset(slug, version, asset_path)


class _OverlaidCache(CacheFolder):
    """Notes about copies lie beside the copies."""

    def __init__(self, path: Path, snapshots: Snapshots) -> None:
        super().__init__(path)
        self._snapshots = snapshots

    def version_note(self, slug: Slug, version: Version, kind: str) -> Path:
        if self._snapshots.holds(slug, version):
            return self._snapshots.notes.version_note(slug, version, kind)
        return super().version_note(slug, version, kind)


class _OverlaidUsers(UsersFolder):
    """The user's file has an entry of the plugin as soon as there is a build."""

    def __init__(
        self, path: Path, cache: CacheFolder, plugin: DevelopedPlugin, allow_missing: bool
    ) -> None:
        super().__init__(path, cache)
        self._plugin = plugin
        self._allow_missing = allow_missing

    def read_with_fingerprint(self, user: UserId) -> tuple[Document | None, Fingerprint | None]:
        document, fingerprint = super().read_with_fingerprint(user)
        plugin = self._plugin
        if user != plugin.user or plugin.release is None:
            return document, fingerprint
        if document is None and self._allow_missing:
            return document, fingerprint
        return {plugin.slug: _INSTALLATION, **(document or {})}, fingerprint
