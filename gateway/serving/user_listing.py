"""Users, their plugins and versions, and why they get each plugin or not; for administrators.

It reads the sources, not the caches: what it shows may be a moment newer than what is served.
"""

from collections.abc import Mapping, Sequence
from heapq import nsmallest
from typing import Any, Literal, NamedTuple

from anyio.to_thread import run_sync

from gateway.database.directory import ListedRow, ListedUser, UserDirectory
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import BrokenInstallations, InstallationMetadata
from gateway.errors import StorageError
from gateway.http.json_types import JsonObject, TypedDict, json_object
from gateway.names import Slug, Version, parse_or_none, parse_slug, parse_user_id, parse_version
from gateway.settings import AccessSettings
from gateway.threads import in_threads

_METADATA = ("installation_type", "source_url", "installed_by", "installed_at")
_MAX_TEXT = 255
_MAX_ENTRIES = 100
"""Of entries without a row that are shown of a user: their files may hold any number."""

FileState = Literal["present", "missing", "broken", "unusable"]


State = Literal["served", "not_installed", "disabled", "not_published", "unusable", "no_row"]


@json_object
class UserPlugin(TypedDict):
    """One plugin of a user, and why they get its files or not; texts are cut at 255 characters."""

    id: str | None
    slug: str | None
    name: str | None
    version: str | None
    enabled: bool | None
    installed: bool
    published: bool | None
    state: State
    updated_at: str | None
    installation: JsonObject | None


@json_object
class UserWithPlugins(TypedDict):
    """One user."""

    id: str
    file: FileState
    """Of their `installed_plugins.json`."""
    file_error: str | None
    plugins: list[UserPlugin]
    has_more_plugins: bool


@json_object
class UsersAnswer(TypedDict):
    """Users who have rows of the table `plugin`, in the order of their ids."""

    users: list[UserWithPlugins]
    after: str | None
    """The parameter `after` of the next page; null: this is the last one."""
    missing_installations: Literal["deny", "allow"]


class _File(NamedTuple):
    """What a user's JSON file says."""

    state: FileState
    entries: Mapping[str, JsonObject]
    """What is shown of the entries that are shown: files may be large."""
    error: str | None = None

    def has(self, slug: str | None, *, missing_is_allowed: bool) -> bool:
        if self.state == "missing":
            return missing_is_allowed
        return slug in self.entries


class UserListing:
    """Joins pages of the table with the files of the users on them, and with `shared/`."""

    def __init__(
        self, directory: UserDirectory, storage: PluginStorage, access: AccessSettings
    ) -> None:
        self._directory = directory
        self._storage = storage
        self._missing_installations = access.missing_installations

    async def page(self, search: str | None, after: str | None, limit: int) -> UsersAnswer:
        """As `UserDirectory.read_page`, as JSON. Raises: SourceUnavailable."""
        page = await self._directory.read_page(search, after, limit)
        files = await in_threads(self._read_file, page.users)
        # In a thread: 5,000 rows take 12 ms, and as many looks at folders as there are versions.
        users = await run_sync(self._joined, page.users, files)
        return {
            "users": users,
            "after": page.after,
            "missing_installations": self._missing_installations,
        }

    def _joined(self, users: Sequence[ListedUser], files: Sequence[_File]) -> list[UserWithPlugins]:
        """Blocking."""
        names = {(row.plugin_slug, row.version) for user in users for row in user.rows}
        published = {pair: self._is_published(*pair) for pair in names}
        return [self._shown(user, file, published) for user, file in zip(users, files, strict=True)]

    def _read_file(self, listed: ListedUser) -> _File:
        """Blocking. What the answer says of an error names no path of the disk."""
        user = parse_or_none(parse_user_id, listed.id.rstrip())
        if user is None:
            return _File("unusable", {}, "the user's id cannot name a folder")
        try:
            installations = self._storage.users.read_installations(user)
        except BrokenInstallations:
            return _File("broken", {}, "the file is not a JSON object")
        except StorageError:
            return _File("broken", {}, "the file cannot be read")
        if installations is None:
            return _File("missing", {})
        return _File("present", _entries_shown(listed, installations))

    def _is_published(self, slug_text: str | None, version_text: str | None) -> bool | None:
        """Whether the version has a folder; None if no folder can have the names. Blocking."""
        slug = parse_or_none(parse_slug, slug_text)
        version = parse_or_none(parse_version, version_text)
        if slug is None or version is None:
            return None
        try:
            return self._storage.shared.is_published(Slug(slug), Version(version))
        except OSError:
            return None

    def _shown(
        self,
        user: ListedUser,
        file: _File,
        published: Mapping[tuple[str | None, str | None], bool | None],
    ) -> UserWithPlugins:
        plugins = [
            self._plugin(row, file, published[row.plugin_slug, row.version]) for row in user.rows
        ]
        if not user.has_more_rows:
            plugins += _without_rows(user, file)
        return {
            "id": user.id,
            "file": file.state,
            "file_error": file.error,
            "plugins": plugins,
            "has_more_plugins": user.has_more_rows,
        }

    def _plugin(self, row: ListedRow, file: _File, published: bool | None) -> UserPlugin:
        is_allowed = self._missing_installations == "allow"
        installed = file.has(row.plugin_slug, missing_is_allowed=is_allowed)
        return {
            "id": row.id,
            "slug": row.plugin_slug,
            "name": row.name,
            "version": row.version,
            "enabled": row.enabled,
            "installed": installed,
            "published": published,
            "state": _state(row, file, installed=installed, published=published),
            "updated_at": row.updated_at,
            "installation": file.entries.get(row.plugin_slug or ""),
        }


def _state(row: ListedRow, file: _File, *, installed: bool, published: bool | None) -> State:
    """What decides about a request, in the order in which serving asks (resolver.py)."""
    if file.state == "unusable" or parse_or_none(parse_slug, row.plugin_slug) is None:
        return "unusable"
    if not installed:
        return "not_installed"
    if not row.enabled:
        return "disabled"
    if parse_or_none(parse_version, row.version) is None:
        return "unusable"
    return "served" if published else "not_published"


def _entries_shown(
    user: ListedUser, installations: Mapping[str, InstallationMetadata]
) -> dict[str, JsonObject]:
    """Those of the user's rows, and some without a row, by slug."""
    slugs = {row.plugin_slug for row in user.rows}
    without_row = (slug for slug in installations if slug not in slugs)
    shown = [*(slugs & installations.keys()), *nsmallest(_MAX_ENTRIES, without_row)]
    return {
        slug: {name: _text(installations[slug].get(name)) for name in _METADATA}
        for slug in shown
        if slug is not None
    }


def _without_rows(user: ListedUser, file: _File) -> list[UserPlugin]:
    """Entries of the file that give nothing, because the table has no row for them."""
    slugs = {row.plugin_slug for row in user.rows}
    return [
        {
            "id": None,
            "slug": slug[:_MAX_TEXT],
            "name": None,
            "version": None,
            "enabled": None,
            "installed": True,
            "published": None,
            "state": "no_row",
            "updated_at": None,
            "installation": file.entries[slug],
        }
        for slug in sorted(file.entries.keys() - slugs)
    ]


def _text(value: Any) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) else None
