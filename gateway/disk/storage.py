"""The storage API over one `plugins/` folder: what a user has installed, and where its files are.

It knows no database, so the caller says which version a user has. The seven methods are public: an
application may call them with what it was sent.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.disk.audit_log import AuditLog
from gateway.disk.cache_folder import CacheFolder
from gateway.disk.shared_folder import SharedFolder
from gateway.disk.users_folder import BrokenInstallations, InstallationMetadata, UsersFolder
from gateway.errors import StorageError
from gateway.names import Slug, Version, parse_slug, parse_user_id


class PluginStorage:
    """Reads and writes below one folder. Its methods block.

    All raise ValueError for what is no user id, no slug or no version, and StorageError for a file
    that cannot be read or written. They touch no file outside of the user's folder, except for the
    lock in `cache/` that excludes other writers. Other processes learn of a change by watching the
    files; `Site.announce` tells them at once.
    """

    def __init__(self, root: Path) -> None:
        """`root`: the folder with shared/, users/ and cache/; `settings.plugins_dir`."""
        self.root = root
        self.shared = SharedFolder(root / "shared")
        self.cache = CacheFolder(root / "cache")
        self.users = UsersFolder(root / "users", self.cache)
        self.backups = root / "backups"
        """Originals of files that commands changed."""
        self.audit = AuditLog(root / "audit")
        """Who changed what."""

    def register_user_plugin(
        self, user: str, slug: str, installation_metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Writes `slug` into the user's file, and nothing that a table holds.

        `installation_metadata`: what JSON can hold. For keys that it lacks there are defaults:
        `installation_type`, `installed_by`, and `installed_at` (ISO 8601, UTC).

        Raises: BrokenInstallations, a StorageError, and leaves the file as it is.
        """
        user_id, name = parse_user_id(user), parse_slug(slug)
        with self.users.locked(user_id) as file:
            file.register(name, installation_metadata or {})

    def unregister_user_plugin(self, user: str, slug: str) -> bool:
        """Removes `slug` from the user's file; False if it is not there.

        Raises: BrokenInstallations, a StorageError, and leaves the file as it is.
        """
        user_id, name = parse_user_id(user), parse_slug(slug)
        with self.users.locked(user_id) as file:
            return file.unregister(name)

    def get_all_user_plugins(self, user: str) -> dict[str, InstallationMetadata]:
        """Installation metadata by slug; empty if the file is missing or broken."""
        try:
            return self.users.read_installations(parse_user_id(user)) or {}
        except BrokenInstallations:
            return {}

    def get_user_plugin_metadata(self, user: str, slug: str) -> InstallationMetadata | None:
        """The installation metadata of one plugin; None if it is not installed."""
        return self.get_all_user_plugins(user).get(parse_slug(slug))

    def plugin_exists_for_user(self, user: str, slug: str) -> bool:
        """Whether the user's file holds `slug`. In a broken file nothing is installed."""
        return parse_slug(slug) in self.get_all_user_plugins(user)

    def get_user_plugin_path(self, user: str, slug: str, version: str) -> Path | None:
        """The version's folder; None if the user's file lacks the plugin or there is no folder."""
        folder = self.construct_shared_path(slug, version)
        if not self.plugin_exists_for_user(user, slug):
            return None
        try:
            return folder if self.shared.is_published(Slug(slug), Version(version)) else None
        except OSError as error:
            raise StorageError(f"{folder}: cannot be looked at: {error.strerror}") from error

    def construct_shared_path(self, slug: str, version: str) -> Path:
        """`shared/<slug>/v<version>` below `root`, whether it exists or not."""
        return self.shared.version_folder(Slug(slug), Version(version))  # which parses them
