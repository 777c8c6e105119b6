"""What the demo's site holds at this moment: rows, users' files, and published versions.

All of it is read from the database and the disk, past the caches, so that the page can show what a
change did, and so that looking at it changes nothing.
"""

from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync

from gateway.core import Core
from gateway.demo.demo_site import USERS
from gateway.demo.next_version import HEAD_COLOUR
from gateway.disk.builds import FolderState, look_at
from gateway.disk.metadata import DEFAULT_ENTRY
from gateway.names import Slug, UserId, Version, newest_version

_Json = dict[str, Any]


class Facts:
    def __init__(self, core: Core) -> None:
        self._database = core.database
        self._storage = core.storage
        self._states: dict[Path, FolderState] = {}
        """By folder: content is read once."""

    async def read(self) -> _Json:
        """Raises: SourceUnavailable; StorageError, OSError, if a file cannot be read."""
        return {
            "published": await run_sync(self._published),
            "users": {user.key: await self._of_user(user.id) for user in USERS},
        }

    async def _of_user(self, user: UserId) -> _Json:
        users = self._storage.users
        rows = await self._database.read_plugins(user)
        return {
            "file": str(users.file(user).relative_to(self._storage.root)),
            "entries": await run_sync(users.read_document, user) or {},
            "rows": {
                row.plugin_slug: {
                    "id": row.id,
                    "version": row.version,
                    "enabled": row.enabled,
                    "entry": row.bundle_location or DEFAULT_ENTRY,
                    "folder": self._folder(row.plugin_slug, row.version),
                }
                for row in rows
                if row.plugin_slug is not None
            },
        }

    def _folder(self, slug: str, version: str) -> str | None:
        try:
            path = self._storage.construct_shared_path(slug, version)
        except ValueError:  # the row names no version
            return None
        return str(path.relative_to(self._storage.root))

    def _published(self) -> _Json:
        """By slug: the versions, the newest first. Blocking."""
        shared: dict[Slug, list[Version]] = {}
        for slug, version in self._storage.shared.versions():
            shared.setdefault(slug, []).append(version)
        return {
            slug: [self._version(slug, version) for version in _newest_first(versions)]
            for slug, versions in shared.items()
        }

    def _version(self, slug: Slug, version: Version) -> _Json:
        folder = self._storage.construct_shared_path(slug, version)
        state = look_at(folder, self._states.get(folder))
        if state is not None:
            self._states[folder] = state
        style = folder / "src" / "style.js"
        colour = HEAD_COLOUR.search(style.read_text("utf-8")) if style.is_file() else None
        return {
            "version": version,
            "folder": str(folder.relative_to(self._storage.root)),
            "build": None if state is None else state.build,
            "files": 0 if state is None else len(state.digests),
            "bytes": 0 if state is None else sum(state.sizes.values()),
            "colour": None if colour is None else colour[2],
        }


def _newest_first(versions: list[Version]) -> list[Version]:
    left, ordered = set(versions), []
    while (newest := newest_version(left)) is not None:
        left.remove(newest)
        ordered.append(newest)
    return ordered
