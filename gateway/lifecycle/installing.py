"""What a user has, changed: install, update, rollback, enable, disable, uninstall.

Each command is one database transaction and one write of the user's JSON, under a lock per user
that holds in all processes. In front of that lock the changes of a user wait for their turn in
this process, and all changes share a few threads of their own: serving never waits for them.

The change takes effect at the database's commit. Commands that add write the JSON before it,
commands that remove write it after it. A process that is killed between the two leaves at most
an entry without a row. Such an entry grants nothing, and the same command or `doctor` removes it.
The change is announced after the commit, and then written into the audit log. A refusal is
written too. `Lifecycle._change` does that, and every command goes through it. No HTTP.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from gateway.changes import Change
from gateway.database.tables import is_true
from gateway.database.transactions import Transaction, begin
from gateway.disk.audit_log import Author, Record
from gateway.disk.retention import Retention
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import LockedFile
from gateway.errors import (
    AlreadyInstalled,
    GatewayError,
    NoEarlierVersion,
    NotInstalled,
    RequestError,
    SourceUnavailable,
    TooManyChanges,
    UnknownPlugin,
)
from gateway.lifecycle.entries import Entry
from gateway.lifecycle.holdings import (
    Holding,
    change_enabled,
    change_version,
    delete_holding,
    insert_holding,
    read_holding,
)
from gateway.lifecycle.releases import Release, read_release, require_integrity
from gateway.lifecycle.turns import Turns
from gateway.names import Slug, UserId, Version, parse_or_none, parse_slug, parse_version
from gateway.settings import Settings
from gateway.threads import entered_in_thread

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# Changes that run at once in this process. Each holds a thread while it reads, writes or waits
# for a lock, and a connection to the database.
_AT_ONCE = 8
# Changes of one user that wait for their turn: a page may enable all plugins of a user at once.
_MAX_WAITING = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the user has after the command."""

    user: UserId
    slug: Slug
    database_id: str | None
    version: str | None
    """None: the user does not have the plugin any more."""
    previous_version: str | None
    """What the user had before, if that is another version."""
    enabled: bool | None
    changed: bool
    """False: nothing was to be done."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants to be changed."""

    action: str
    by: Author
    user: UserId
    plugin: str
    """A slug or a database id."""
    version: Version | None = None
    """The version that is named."""

    def refused(self, error: GatewayError) -> Record:
        code = error.code if isinstance(error, RequestError) else SourceUnavailable.code
        return Record(self.by, self.action, self.user, self.plugin, after=self.version, result=code)


@dataclass(slots=True)
class _Change:
    """One change of one user's plugin: the state before it, and where it is written."""

    order: Order
    slug: Slug
    transaction: Transaction
    holding: Holding | None
    entry: Entry
    now: datetime
    record: Record | None = None
    """What the audit log hears if the change is committed; None: nothing is changed."""

    @property
    def user(self) -> UserId:
        return self.order.user

    def require_holding(self) -> Holding:
        """Raises: UnknownPlugin, NotInstalled."""
        if self.holding is None:
            raise _no_row(self.user, self.slug)
        if not self.entry.grants:
            raise NotInstalled(
                owned=True, reason=f"{self.slug} is not in the JSON of {self.user}: install it"
            )
        return self.holding

    def outcome(
        self,
        holding: Holding | None,
        version: str | None,
        *,
        changed: bool,
        enabled: bool | None = None,
    ) -> Outcome:
        """`holding`: the rows after the change; `version` and `enabled` may differ from them."""
        if enabled is None and holding is not None and version is not None:
            enabled = is_true(holding.plugin["enabled"])
        before = None if self.holding is None else self.holding.version
        if changed:
            order = self.order
            self.record = Record(order.by, order.action, order.user, self.slug, before, version)
        return Outcome(
            self.user,
            self.slug,
            None if holding is None else holding.id,
            version,
            before if before != version else None,
            enabled,
            changed,
        )


def to_its_end(
    command: Callable[P, Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """The command, protected from a cancellation of its caller: the caller waits for its end.

    If nobody waited, the end of the event loop would stop the command, and release the lock
    while a thread still writes.
    """

    @wraps(command)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        task = asyncio.ensure_future(command(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.warning("a change whose caller had gone away failed: %s", error)
            raise

    return run


class Lifecycle:
    """The commands. `plugin` is a slug or a database id; `by` is who gives the command.

    Beside what their docstrings say, all raise TooManyChanges, StorageError and
    SourceUnavailable.
    """

    def __init__(
        self, settings: Settings, storage: PluginStorage, announce: Callable[[Change], None]
    ) -> None:
        self._settings = settings
        self._storage = storage
        self._announce = announce
        self._audit = storage.audit
        self._retention = Retention(storage.cache)
        self._turns = Turns(_AT_ONCE, _MAX_WAITING)
        self._threads = CapacityLimiter(_AT_ONCE)
        self._allow_missing = settings.access.missing_installations == "allow"

    @to_its_end
    async def install(
        self,
        user: UserId,
        slug: Slug,
        version: Version | None = None,
        installation_metadata: Mapping[str, Any] | None = None,
        *,
        by: Author,
    ) -> Outcome:
        """Gives the plugin to the user, at the newest published version if none is named.

        Raises: VersionNotPublished, UnusableVersion; AlreadyInstalled at another version.
        """
        async with self._change(Order("install", by, user, slug, version)) as change:
            holding = change.holding
            if holding is not None and change.entry.grants:
                if version not in (None, holding.version):
                    raise AlreadyInstalled(
                        reason=f"{user} has {slug} {holding.version}; gateway update moves it"
                    )
                return change.outcome(holding, holding.version, changed=False)
            holding = await self._write_rows(change, version)
            await self._in_thread(change.entry.write_new, installation_metadata or {})
            return change.outcome(holding, version or holding.version, changed=True)

    @to_its_end
    async def update(
        self, user: UserId, plugin: str, version: Version | None = None, *, by: Author
    ) -> Outcome:
        """Moves the user to another version, the newest published if none is named.

        Files of the version they leave stay: pages that are open go on loading them.
        Raises: UnknownPlugin, NotInstalled, VersionNotPublished, UnusableVersion.
        """
        async with self._change(Order("update", by, user, plugin, version)) as change:
            return await self._move_to(change, change.require_holding(), version)

    @to_its_end
    async def rollback(
        self, user: UserId, plugin: str, version: Version | None = None, *, by: Author
    ) -> Outcome:
        """Moves the user back to the version they had before, or to the one named.

        Raises: NoEarlierVersion, and what `update` does.
        """
        async with self._change(Order("rollback", by, user, plugin, version)) as change:
            holding = change.require_holding()
            previous = change.entry.previous_versions(holding.version)
            if version is None and not previous:
                raise NoEarlierVersion(
                    reason=f"no version of {change.slug} is known that {user} had before;"
                    " name one with --version"
                )
            return await self._move_to(change, holding, version or previous[-1], previous)

    @to_its_end
    async def set_enabled(self, user: UserId, plugin: str, *, enabled: bool, by: Author) -> Outcome:
        """Raises: UnknownPlugin."""
        order = Order("enable" if enabled else "disable", by, user, plugin)
        async with self._change(order, needs_json=False) as change:
            holding = change.holding
            if holding is None:
                raise _no_row(user, plugin)
            changed = is_true(holding.plugin["enabled"]) is not enabled
            if changed:
                await change_enabled(change.transaction, holding, enabled=enabled, now=change.now)
            return change.outcome(holding, holding.version, changed=changed, enabled=enabled)

    @to_its_end
    async def uninstall(self, user: UserId, plugin: str, *, by: Author) -> Outcome:
        """Removes the rows and the JSON entry, and the user's configuration with them.

        Raises: NotInstalled, if there is neither.
        """
        async with self._change(Order("uninstall", by, user, plugin), removes=True) as change:
            holding = change.holding
            if holding is not None:
                await delete_holding(change.transaction, holding)
                await self._note_left(change.slug, holding.version)
            elif not change.entry.is_listed:
                raise NotInstalled(
                    owned=True, reason=f"{user} has no {plugin}, neither row nor JSON entry"
                )
            return change.outcome(holding, None, changed=True)

    async def note_refusal(self, order: Order, error: RequestError) -> None:
        """Writes into the audit log that the order was refused before it came here.

        Only a few of one author wait; those beyond are not written.
        """
        with contextlib.suppress(TooManyChanges):
            async with self._turns.turn(("refusals", order.by)):
                await self._in_thread(self._audit.append, order.refused(error))

    @asynccontextmanager
    async def _change(
        self, order: Order, *, needs_json: bool = True, removes: bool = False
    ) -> AsyncIterator[_Change]:
        """A change that excludes all others of the user. It is announced when it is committed, and
        then recorded; a refusal is recorded too.

        `removes`: the entry is removed after the commit.
        """
        is_committed = False
        async with self._turns.turn(order.user):
            try:
                locked = self._storage.users.locked(order.user)
                async with entered_in_thread(locked, self._threads) as file:
                    async with self._begun(file, order, needs_json=needs_json) as change:
                        yield change
                    is_committed = True
                    await self._finish(change, removes=removes)
            except GatewayError as error:
                if not is_committed:
                    await self._in_thread(self._audit.append, order.refused(error))
                raise

    async def _finish(self, change: _Change, *, removes: bool) -> None:
        """What follows the commit."""
        try:
            if removes:
                await self._in_thread(change.entry.remove)
        finally:
            self._announce(Change(user=change.user))
            if change.record is not None:
                await self._in_thread(self._audit.append, change.record)

    @asynccontextmanager
    async def _begun(
        self, file: LockedFile, order: Order, *, needs_json: bool
    ) -> AsyncIterator[_Change]:
        """A change in a transaction, which is committed when the block ends."""
        user, plugin = order.user, order.plugin
        read = self._storage.users.read_document
        document = await self._in_thread(read, user) if needs_json else None
        entry: Entry | None = None
        try:
            async with begin(self._settings) as transaction:
                await transaction.exclude_others(user)
                holding = await read_holding(transaction, user, plugin)
                slug = _slug(user, holding, plugin)
                entry = Entry(
                    file,
                    document,
                    slug,
                    has_row=holding is not None,
                    missing_is_allowed=self._allow_missing,
                )
                yield _Change(order, slug, transaction, holding, entry, datetime.now(UTC))
        except BaseException:  # cancelled too: without a commit the JSON must be as it was
            if entry is not None:
                entry.undo()
            raise

    async def _write_rows(self, change: _Change, version: Version | None) -> Holding:
        """New rows, or those that the user has, at the version."""
        holding = change.holding
        if holding is None:
            release = await self._find_release(change, version, is_new=True)
            return await insert_holding(
                change.transaction, change.user, change.slug, release, change.now
            )
        if version not in (None, holding.version):
            await self._move(change, holding, await self._find_release(change, version))
        return holding

    async def _move_to(
        self,
        change: _Change,
        holding: Holding,
        version: Version | None,
        previous: list[Version] | None = None,
    ) -> Outcome:
        """Rows and JSON at the version. `previous`: for a rollback, the versions before."""
        release = await self._find_release(change, version)
        if release.version == holding.version:
            return change.outcome(holding, holding.version, changed=False)
        await self._move(change, holding, release)
        if previous is not None:
            change.entry.note_rollback(previous, release.version)
        await self._in_thread(change.entry.write)
        return change.outcome(holding, release.version, changed=True)

    async def _move(self, change: _Change, holding: Holding, release: Release) -> None:
        """Makes the rows those of another version, and notes in the entry what they lose."""
        kept = change.entry.kept_configurations
        removed = await change_version(change.transaction, holding, release, kept, change.now)
        await self._note_left(change.slug, holding.version)
        change.entry.note_move(holding, removed)

    async def _find_release(
        self, change: _Change, version: Version | None, *, is_new: bool = False
    ) -> Release:
        """A release that nobody collects before the change is committed."""
        await change.transaction.exclude_others(change.slug)

        def read_and_note() -> Release:
            release = read_release(self._storage, change.slug, version, is_new=is_new)
            if self._settings.http.require_integrity:
                require_integrity(self._storage, change.slug, release.version)
            self._retention.note_reference(change.slug, release.version)
            return release

        return await self._in_thread(read_and_note)

    async def _note_left(self, slug: Slug, version: str) -> None:
        left = parse_or_none(parse_version, version)
        if left is not None:  # otherwise it can have no folder
            await self._in_thread(self._retention.note_loss, slug, left, time.time())

    async def _in_thread(self, function: Callable[..., R], *arguments: Any) -> R:
        return await run_sync(function, *arguments, limiter=self._threads)


def _no_row(user: UserId, plugin: str) -> UnknownPlugin:
    return UnknownPlugin(
        owned=True,
        reason=f"no row of {user} for {plugin}; gateway install gives the plugin to them",
    )


def _slug(user: UserId, holding: Holding | None, plugin: str) -> Slug:
    """Without a row, a database id is read as the application makes it."""
    try:
        return parse_slug(
            plugin.removeprefix(f"{user}_") if holding is None else holding.plugin["plugin_slug"]
        )
    except ValueError as error:
        raise UnknownPlugin(reason=str(error)) from None
