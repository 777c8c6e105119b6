"""What a user has, changed: install, update, rollback, enable, disable, uninstall.

Each is one database transaction and one write of the user's JSON, under a lock per user that
holds in all processes. In front of that lock a user's changes wait for their turn in this
process, and all changes share a few threads of their own: serving never waits for them.

The database's commit is the moment: what adds writes the JSON before it, what removes after it.
So a process killed between the two leaves at most a JSON entry without a row, which grants
nothing, and which the same command, or `doctor`, puts right. Caches are told after the commit.
No HTTP.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from gateway.changes import Change
from gateway.database.connections import Transaction, transaction
from gateway.database.tables import is_true
from gateway.disk.metadata import DEFAULT_ENTRY, Metadata, read_metadata
from gateway.disk.retention import Retention
from gateway.disk.storage import Document, InstallationMetadata, PluginStorage, metadata_of
from gateway.errors import (
    AlreadyInstalled,
    NoEarlierVersion,
    NotInstalled,
    PublishingError,
    SourceUnavailable,
    StorageError,
    UnknownPlugin,
    UnusableVersion,
    VersionNotPublished,
)
from gateway.lifecycle.holdings import (
    Holding,
    change_enabled,
    change_version,
    delete_holding,
    insert_holding,
    read_holding,
)
from gateway.lifecycle.turns import Turns
from gateway.names import Slug, UserId, Version, newest_version, parse_slug, parse_version
from gateway.settings import Settings
from gateway.threads import entered_in_thread

logger = logging.getLogger(__name__)

# Keys of the old format that this change makes untrue, or that the table decides.
_TABLE_DECIDES = ("version", "shared_path", "enabled")
# Of the installation metadata: what there was before the present version.
_PAST = ("previous_versions", "kept_config_fields")
_MAX_PREVIOUS = 10
# Changes that run at once in this process. Each holds a thread while it reads, writes or waits
# for a lock, and a connection to the database.
_AT_ONCE = 8
# Changes of one user that wait for their turn: a page may switch all plugins of its user at once.
_MAX_WAITING = 32
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the user has after the command."""

    user: UserId
    slug: Slug
    database_id: str | None
    version: str | None
    """None: he does not have the plugin any more."""
    previous_version: str | None
    """What he had before, where that is another."""
    enabled: bool | None
    changed: bool
    """False: it was so already."""


class Lifecycle:
    """The commands; `plugin` is a slug or a database id.

    Each raises, beside what it says, TooManyChanges, StorageError and SourceUnavailable, and is
    carried through when its caller is cancelled.
    """

    def __init__(
        self, settings: Settings, storage: PluginStorage, announce: Callable[[Change], None]
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._announce = announce
        self._retention = Retention(storage.cache)
        self._turns = Turns(_AT_ONCE, _MAX_WAITING)
        self._threads = CapacityLimiter(_AT_ONCE)
        self._allow_missing = settings.access.missing_installations == "allow"

    async def install(
        self,
        user: UserId,
        slug: Slug,
        version: Version | None = None,
        installation_metadata: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Gives the plugin to the user, at the newest published version if none is named.

        Raises: VersionNotPublished, UnusableVersion; AlreadyInstalled at another version.
        """
        return await _whole(self._install(user, slug, version, installation_metadata or {}))

    async def update(self, user: UserId, plugin: str, version: Version | None = None) -> Outcome:
        """Moves the user to another version, the newest published if none is named.

        Files of the version he leaves stay: pages that are open go on loading them.
        Raises: UnknownPlugin, NotInstalled, VersionNotPublished, UnusableVersion.
        """
        return await _whole(self._update(user, plugin, version))

    async def rollback(self, user: UserId, plugin: str, version: Version | None = None) -> Outcome:
        """Moves the user back to the version he had before, or to the one named.

        Raises: NoEarlierVersion, and what `update` does.
        """
        return await _whole(self._rollback(user, plugin, version))

    async def set_enabled(self, user: UserId, plugin: str, *, enabled: bool) -> Outcome:
        """Raises: UnknownPlugin."""
        return await _whole(self._set_enabled(user, plugin, enabled=enabled))

    async def uninstall(self, user: UserId, plugin: str) -> Outcome:
        """Takes rows and JSON entry away, the user's configuration with them.

        Raises: NotInstalled, if there is neither.
        """
        return await _whole(self._uninstall(user, plugin))

    async def _install(
        self,
        user: UserId,
        slug: Slug,
        version: Version | None,
        installation_metadata: Mapping[str, Any],
    ) -> Outcome:
        async with self._change(user, slug) as change:
            holding = change.holding
            if holding is not None and change.passes:
                if version not in (None, holding.version):
                    raise AlreadyInstalled(
                        reason=f"{user} has {slug} {holding.version}; gateway update moves it"
                    )
                return change.outcome(holding, holding.version, changed=False)
            past: Mapping[str, Any] = {}
            if holding is None:
                target = await self._published(change, version, is_new=True)
                arguments = user, change.slug, target.version, target.metadata
                holding = await insert_holding(change.rows, *arguments, change.now)
            elif version not in (None, holding.version):
                target = await self._published(change, version)
                past = await self._move(change, holding, target)
            facts = {
                "installation_type": "production",
                "installed_by": "gateway",
                "installed_at": change.now.isoformat(timespec="seconds"),
            }
            await change.write({**facts, **change.metadata, **past, **installation_metadata})
        return change.outcome(holding, version or holding.version, changed=True)

    async def _update(self, user: UserId, plugin: str, version: Version | None) -> Outcome:
        async with self._change(user, plugin) as change:
            holding = change.require_held()
            target = await self._published(change, version)
            if target.version == holding.version:
                return change.outcome(holding, holding.version, changed=False)
            past = await self._move(change, holding, target)
            await change.write({**change.metadata, **past})
        return change.outcome(holding, target.version, changed=True)

    async def _rollback(self, user: UserId, plugin: str, version: Version | None) -> Outcome:
        async with self._change(user, plugin) as change:
            holding = change.require_held()
            previous = change.previous_versions(holding)
            if version is None and not previous:
                raise NoEarlierVersion(
                    reason=f"no version of {change.slug} is known that {user} had before; --version"
                )
            wanted = version or previous[-1]
            target = await self._published(change, wanted)
            if target.version == holding.version:
                return change.outcome(holding, holding.version, changed=False)
            past = await self._move(change, holding, target)
            # He has the last one then: `previous_versions` passes over it. So the list is true
            # before the commit and after it.
            past["previous_versions"] = _up_to(previous, wanted)
            await change.write({**change.metadata, **past})
        return change.outcome(holding, target.version, changed=True)

    async def _set_enabled(self, user: UserId, plugin: str, *, enabled: bool) -> Outcome:
        async with self._change(user, plugin, needs_json=False) as change:
            holding = change.holding
            if holding is None:
                raise UnknownPlugin(owned=True, reason=f"no row of {user} for {plugin}")
            changed = is_true(holding.plugin["enabled"]) is not enabled
            if changed:
                await change_enabled(change.rows, holding, enabled=enabled, now=change.now)
        return change.outcome(holding, holding.version, changed=changed, enabled=enabled)

    async def _uninstall(self, user: UserId, plugin: str) -> Outcome:
        async with self._change(user, plugin) as change:
            holding = change.holding
            if holding is None and not change.is_listed:
                raise NotInstalled(
                    owned=True, reason=f"{user} has no {plugin}, neither row nor JSON entry"
                )
            if holding is not None:
                await delete_holding(change.rows, holding)
                await self._note_left(change.slug, holding.version)
            change.remove_after_commit()
        return change.outcome(holding, None, changed=True)

    @asynccontextmanager
    async def _change(
        self, user: UserId, plugin: str, *, needs_json: bool = True
    ) -> AsyncIterator["_Change"]:
        """The user's rows and JSON, for one change alone; announced when it is committed."""
        storage = self._storage
        async with self._turns.turn(user), entered_in_thread(storage.locked(user), self._threads):
            document: Document | None = None
            if needs_json:
                document = await run_sync(storage.read_document, user, limiter=self._threads)
            change: _Change | None = None
            try:
                async with transaction(self._settings) as rows:
                    await rows.exclude_others(user)
                    holding = await read_holding(rows, user, plugin)
                    slug = _slug(user, holding, plugin)
                    change = _Change(storage, self._threads, user, slug, rows, holding)
                    change.document = document or {}
                    change.table_decides = document is None and self._allow_missing
                    yield change
            except BaseException:  # cancelled too: without a commit the JSON must be as it was
                if change is not None:
                    change.undo()
                raise
            try:
                await change.finish()
            finally:
                self._announce(Change(user=user))

    async def _move(
        self, change: "_Change", holding: Holding, target: "_Target"
    ) -> InstallationMetadata:
        """Makes the rows those of the version; what of them the user's JSON must keep."""
        metadata = change.metadata
        kept = metadata.get("kept_config_fields")
        kept = {
            name: text
            for name, text in (kept.items() if isinstance(kept, dict) else ())
            if isinstance(text, str)
        }
        lost = await change_version(
            change.rows, holding, change.user, target.version, target.metadata, kept, change.now
        )
        await self._note_left(change.slug, holding.version)
        in_rows_before = holding.modules
        kept = {name: text for name, text in kept.items() if name not in in_rows_before} | lost
        previous = [*change.previous_versions(holding), holding.version][-_MAX_PREVIOUS:]
        past: InstallationMetadata = {"previous_versions": previous}
        return (
            {**past, "kept_config_fields": kept}
            if kept or "kept_config_fields" in metadata
            else past
        )

    async def _published(
        self, change: "_Change", version: Version | None, *, is_new: bool = False
    ) -> "_Target":
        """A version that is not collected before the change is committed."""
        await change.rows.exclude_others(change.slug)

        def read_and_note() -> _Target:
            target = _read_target(self._storage, change.slug, version, is_new)
            self._retention.note_reference(change.slug, target.version)
            return target

        return await run_sync(read_and_note, limiter=self._threads)

    async def _note_left(self, slug: Slug, version: str) -> None:
        try:
            left = parse_version(version)
        except ValueError:  # no folder can be meant
            return
        note = self._retention.note_loss
        await run_sync(note, slug, left, time.time(), limiter=self._threads)


@dataclass(frozen=True, slots=True)
class _Target:
    """A version to move to."""

    version: Version
    metadata: Metadata


class _Change:
    """One change of one user's plugin, while it is made."""

    def __init__(
        self,
        storage: PluginStorage,
        threads: CapacityLimiter,
        user: UserId,
        slug: Slug,
        rows: Transaction,
        holding: Holding | None,
    ) -> None:
        self.user = user
        self.slug = slug
        self.rows = rows
        self.holding = holding
        self.document: Document = {}
        self.table_decides = False
        """There is no JSON, and the setting says that this denies nothing: none is written, for
        one that holds a single plugin would deny the others."""
        self.now = datetime.now(UTC)
        self._storage = storage
        self._threads = threads
        self._undo: Callable[[], None] = lambda: None
        self._removes = False

    @property
    def is_listed(self) -> bool:
        return self.slug in self.document

    @property
    def passes(self) -> bool:
        """Whether the user has the plugin as far as his JSON goes."""
        return self.is_listed or self.table_decides

    @property
    def metadata(self) -> InstallationMetadata:
        metadata = metadata_of(self.document.get(self.slug))
        if self.holding is None:  # a killed uninstallation left it
            return {key: value for key, value in metadata.items() if key not in _PAST}
        return metadata

    def require_held(self) -> Holding:
        """Raises: UnknownPlugin, NotInstalled."""
        if self.holding is None:
            raise UnknownPlugin(owned=True, reason=f"no row of {self.user} for {self.slug}")
        if not self.passes:
            raise NotInstalled(
                owned=True, reason=f"{self.slug} is not in the JSON of {self.user}: install it"
            )
        return self.holding

    def previous_versions(self, holding: Holding) -> list[Version]:
        """Versions he had before, the last at the end."""
        stated = self.metadata.get("previous_versions")
        known = [_version(text) for text in stated] if isinstance(stated, list) else []
        previous = [version for version in known if version is not None]
        # So it ends after a rollback, and after an update that was killed before its commit.
        while previous and previous[-1] == holding.version:
            previous.pop()
        return previous

    async def write(self, metadata: InstallationMetadata) -> None:
        """The last step before the commit."""
        if not self.table_decides:
            await run_sync(self._write, metadata, limiter=self._threads)

    def _write(self, metadata: InstallationMetadata) -> None:
        entry = self.document.get(self.slug)
        kept = entry.items() if isinstance(entry, dict) else ()
        entry = {key: value for key, value in kept if key not in _TABLE_DECIDES}
        entry["installation_metadata"] = metadata
        self._undo = self._storage.restorer(self.user)

        def put(document: Document) -> bool:
            document[self.slug] = entry
            return True

        self._storage.change_document(self.user, put)

    def undo(self) -> None:
        """The rows were not committed: the JSON as it was. Its failure does not hide theirs."""
        try:
            self._undo()
        except (OSError, StorageError) as error:
            logger.warning("the JSON of %s was not put back: %s", self.user, error)

    def remove_after_commit(self) -> None:
        self._removes = self.is_listed

    async def finish(self) -> None:
        """After the commit."""
        if self._removes:
            await run_sync(
                self._storage.change_document,
                self.user,
                lambda document: document.pop(self.slug, _ABSENT) is not _ABSENT,
                limiter=self._threads,
            )

    def outcome(
        self,
        holding: Holding | None,
        version: str | None,
        *,
        changed: bool,
        enabled: bool | None = None,
    ) -> Outcome:
        if enabled is None and holding is not None and version is not None:
            enabled = is_true(holding.plugin["enabled"])
        before = None if self.holding is None else self.holding.version
        return Outcome(
            self.user,
            self.slug,
            None if holding is None else holding.id,
            version,
            before if before != version else None,
            enabled,
            changed,
        )


def _read_target(
    storage: PluginStorage, slug: Slug, version: Version | None, is_new: bool
) -> _Target:
    """Blocking. `is_new`: what the version does not state is guessed, for a row of ours; in a row
    that is there it stays as it is.
    """
    try:
        chosen = version or newest_version(storage.published_versions(slug))
        if chosen is None:
            raise VersionNotPublished(
                "No version of this plugin is published",
                reason=f"no version of {slug} is published",
            )
        folder = storage.construct_shared_path(slug, chosen)
        if not storage.is_published(slug, chosen):
            raise VersionNotPublished(
                "This version of the plugin is not published",
                reason=f"{slug} {chosen} is not published: no folder {folder}",
            )
        metadata = read_metadata(folder, npm_words=is_new)
    except PublishingError as error:
        raise UnusableVersion(reason=f"{slug} {chosen}: {error}") from None
    except OSError as error:
        raise SourceUnavailable(reason=f"{slug}: cannot be read: {error}") from error
    stated = {key: value for key, value in metadata.items() if value is not None}
    defaults = {"scope": slug, "bundle_method": "webpack"} if is_new else {}
    if is_new and (folder / DEFAULT_ENTRY).is_file():
        defaults["bundle_location"] = DEFAULT_ENTRY
    return _Target(chosen, {**defaults, **stated})


def _slug(user: UserId, holding: Holding | None, plugin: str) -> Slug:
    """Without a row a database id is read as the application makes it."""
    try:
        return parse_slug(
            plugin.removeprefix(f"{user}_") if holding is None else holding.plugin["plugin_slug"]
        )
    except ValueError as error:
        raise UnknownPlugin(reason=str(error)) from None


def _up_to(versions: list[Version], last: Version) -> list[Version]:
    """Up to the last occurrence; all, where it is not among them."""
    after = versions[::-1].index(last) if last in versions else 0
    return versions[: len(versions) - after]


def _version(text: object) -> Version | None:
    try:
        return parse_version(text)
    except ValueError:
        return None


async def _whole(change: Coroutine[Any, Any, Outcome]) -> Outcome:
    """A caller that is cancelled waits for the end of the change: were it left alone, the end of
    the event loop would cut it off, and the lock go while a thread still writes.
    """
    task = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a change whose caller had gone away failed: %s", error)
        raise
