"""The storage API over one `plugins/` folder: what a user has installed, and where its files are.

It knows no database, so the caller says which version a user has. The methods block, and raise
ValueError for what is no user id, no slug or no version.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.disk.audit_log import AuditLog
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.shared_folder import SharedFolder
from gateway.disk.users_folder import BrokenInstallations, InstallationMetadata, UsersFolder
from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id


class PluginStorage:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.shared = SharedFolder(root / "shared")
        self.cache = CacheFolder(root / "cache")
        self.users = UsersFolder(root / "users", self.cache)
        self.backups = root / "backups"
        """Originals of files that commands changed."""
        self.audit = AuditLog(root / "audit")
        """Who changed what."""

    def register_user_plugin(
        self, user: UserId, slug: Slug, installation_metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes `slug` into the user's file, and nothing that a table holds.

        Raises: BrokenInstallations, and leaves the file as it is; StorageError.
        """
        user, slug = parse_user_id(user), parse_slug(slug)
        with self.users.locked(user) as file:
            file.register(slug, installation_metadata or {})

    def unregister_user_plugin(self, user: UserId, slug: Slug) -> bool:
        """Removes `slug` from the user's file; False if it is not there.

        Raises: BrokenInstallations; StorageError.
        """
        with self.users.locked(parse_user_id(user)) as file:
            return file.unregister(slug)

    def get_all_user_plugins(self, user: UserId) -> dict[str, InstallationMetadata]:
        """Installation metadata by slug; empty if the file is missing or broken.

        Raises: StorageError.
        """
        try:
            return self.users.read_installations(parse_user_id(user)) or {}
        except BrokenInstallations:
            return {}

    def get_user_plugin_metadata(self, user: UserId, slug: Slug) -> InstallationMetadata | None:
        """The installation metadata of one plugin; None if it is not installed."""
        return self.get_all_user_plugins(user).get(slug)

    def plugin_exists_for_user(self, user: UserId, slug: Slug) -> bool:
        """Whether the user's file holds `slug`. In a broken file nothing is installed."""
        return slug in self.get_all_user_plugins(user)

    def get_user_plugin_path(self, user: UserId, slug: Slug, version: Version) -> Path | None:
        """The version's folder, if the user has the plugin and the folder exists.

        Raises: StorageError.
        """
        folder = self.construct_shared_path(slug, version)
        if not self.plugin_exists_for_user(user, slug):
            return None
        return folder if self.shared.is_published(slug, version) else None

    def construct_shared_path(self, slug: Slug, version: Version) -> Path:
        """The version's folder, whether it exists or not."""
        return self.shared.version_folder(slug, version)
