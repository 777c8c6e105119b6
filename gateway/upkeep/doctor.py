"""Database, JSON files and shared/ held against each other.

A chunk of users at a time. Whoever seems ill is looked at again inside his lock, with rows
read anew: an install or uninstall that is under way is no finding. Mending does only what
loses nothing: leftovers of killed writers go, and an entry without a row, whose file is in a
backup before. It grants nothing, deletes no row, and touches nothing in shared/.
"""

import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread

from gateway.changes import Change
from gateway.database.tables import PluginDatabase, PluginRow, StrayModule
from gateway.disk.builds import FolderState, look_at
from gateway.disk.metadata import read_metadata
from gateway.disk.storage import Document, PluginStorage, encoded, is_real_folder, user_of
from gateway.errors import PublishingError, StorageError
from gateway.lifecycle.publishing import abandoned_staging, entry_file, read_record
from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id, parse_version
from gateway.threads import InThreads, entered_in_thread, threads
from gateway.upkeep.backups import Backup, Original
from gateway.upkeep.findings import Code, Finding, Severity, found
from gateway.upkeep.old_format import ConfigFields, holds_user_config, minimise
from gateway.upkeep.population import chunks_of, stray_modules, usable, with_rows

_MOST_NAMES = 5
# The application's ids: 32 hex digits, with or without the dashes of a UUID.
_USER_PREFIX = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F-]{36})_")
_MAY_PASS = frozenset({Code.ENTRY_WITHOUT_ROW, Code.ROW_WITHOUT_ENTRY, Code.CONTRADICTING_VALUE})
"""What a change that is under way looks like, between its parts."""


@dataclass(frozen=True, slots=True)
class Examined:
    """So many users, or versions, and what was found of them."""

    count: int
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class _Case:
    """One user's folder: his file as it was read, and what is wrong with it."""

    user: UserId
    content: bytes | None
    document: Document | None
    temporary: Sequence[Path]
    findings: Sequence[Finding]

    @property
    def may_pass(self) -> bool:
        return bool(self.temporary) or any(each.code in _MAY_PASS for each in self.findings)


class Doctor:
    """One examination of a site; mends if it is given a backup to write to."""

    def __init__(
        self,
        storage: PluginStorage,
        database: PluginDatabase,
        *,
        missing_is_denied: bool,
        backup: Backup | None = None,
        announce: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self._storage = storage
        self._database = database
        self._missing_is_denied = missing_is_denied
        self._backup = backup
        self._announce = announce
        self._has_folder: dict[tuple[Slug, Version], bool] = {}

    # Users, by their folders

    async def examine_files(self) -> AsyncGenerator[Examined, None]:
        """The JSON files, each against its user's rows."""
        async with threads() as in_threads:
            for names in chunks_of(self._storage.user_folders()):
                users = {name: user_of(name) for name in sorted(names)}
                findings = [self._foreign(name) for name, user in users.items() if user is None]
                known = [user for user in users.values() if user is not None]
                for case in await self._cases(known, in_threads):
                    settled = await self._settled(case, in_threads) if case.may_pass else case
                    findings += settled.findings
                yield Examined(len(names), findings)

    def _foreign(self, name: str) -> Finding:
        path = self._storage.users / name
        return found(Code.FOREIGN_NAME, f"{path} is no user's folder", path=path)

    async def _cases(self, users: Sequence[UserId], in_threads: InThreads) -> list[_Case]:
        looks = await in_threads(self._look, users)
        rows = await self._database.read_rows(users)
        config = await self._database.read_config_fields(
            [look.user for look in looks if look.document and holds_user_config(look.document)]
        )
        return [self._compared(look, rows[look.user], config) for look in looks]

    def _look(self, user: UserId) -> _Case:
        content, document, findings = None, None, []
        path = self._storage.installations_file(user)
        try:
            content = self._storage.read_content(user)
            document = None if content is None else self._storage.parse_content(user, content)
        except StorageError as error:
            findings.append(found(Code.BROKEN_INSTALLATIONS, str(error), user=user, path=path))
        temporary = self._storage.temporary_files(user)
        findings += [
            found(Code.TEMPORARY_FILE, f"{path} was left by a killed writer", user=user, path=path)
            for path in temporary
        ]
        return _Case(user, content, document, temporary, findings)

    def _compared(self, look: _Case, rows: Sequence[PluginRow], config: ConfigFields) -> _Case:
        findings = [*look.findings, *_differences(look, rows, config)]
        return _Case(look.user, look.content, look.document, look.temporary, findings)

    async def _settled(self, case: _Case, in_threads: InThreads) -> _Case:
        """The same case while nobody changes anything, mended if that is wanted.

        As it was, where the lock cannot be had. Raises: StorageError, if it cannot be mended.
        """
        try:
            async with entered_in_thread(self._storage.locked(case.user)):
                (case,) = await self._cases([case.user], in_threads)
                if self._backup is not None and case.may_pass:
                    return await anyio.to_thread.run_sync(self._mend, case, self._backup)
        except StorageError:
            if self._backup is not None:
                raise
        return case

    def _mend(self, case: _Case, backup: Backup) -> _Case:
        """For who is inside the user's lock. Raises: StorageError."""
        mended = {Code.TEMPORARY_FILE}
        self._storage.remove_temporary_files(case.user)
        surplus = {each.slug for each in case.findings if each.code is Code.ENTRY_WITHOUT_ROW}
        if surplus and case.document is not None:
            kept = {slug: entry for slug, entry in case.document.items() if slug not in surplus}
            content = encoded(kept)
            backup.add([Original.of(case.user, case.content, content)])
            self._storage.write_document(case.user, content)
            self._announce(Change(user=case.user))
            mended.add(Code.ENTRY_WITHOUT_ROW)
        findings = [each.mended() if each.code in mended else each for each in case.findings]
        return _Case(case.user, case.content, case.document, (), findings)

    # Users, by their rows

    async def examine_rows(self) -> AsyncGenerator[Examined, None]:
        """The rows of `plugin`: can they be served at all?"""
        async for users in with_rows(self._database):
            rows = await self._database.read_rows(users)
            findings = await anyio.to_thread.run_sync(self._rows_of_all, rows)
            yield Examined(len(users), findings)

    def _rows_of_all(self, rows: Mapping[str, Sequence[PluginRow]]) -> list[Finding]:
        return [each for text, held in rows.items() for each in self._rows_of(text, held)]

    def _rows_of(self, text: str, rows: Sequence[PluginRow]) -> Iterator[Finding]:
        user = usable(text)
        if user is None:
            yield found(Code.UNUSABLE_USER, f"the table has rows of user {text!r}", user=text)
            return
        if self._storage.installations_facts(user) is None:
            severity = None if self._missing_is_denied else Severity.NOTE
            effect = "he gets nothing" if self._missing_is_denied else "the table decides"
            path = self._storage.installations_file(user)
            sentence = f"user {user} has rows but no installed_plugins.json: {effect}"
            yield found(Code.NO_INSTALLATIONS, sentence, severity=severity, user=user, path=path)
        slugs = set()
        for row in rows:
            yield from self._row(row)
            if row.plugin_slug and row.plugin_slug in slugs:
                sentence = f"user {user} has several rows of {row.plugin_slug}"
                yield found(Code.DUPLICATE_SLUG, sentence, user=user, slug=row.plugin_slug)
            slugs.add(row.plugin_slug)

    def _row(self, row: PluginRow) -> Iterator[Finding]:
        # What is switched off harms nobody now.
        severity = None if row.enabled else Severity.WARNING
        about: Any = {"user": row.user_id, "slug": row.plugin_slug, "version": row.version}
        named = _USER_PREFIX.match(row.id)
        if named and _parsed(parse_user_id, named[1]) not in (None, row.user_id):
            sentence = f"row {row.id} is of user {row.user_id}, its id says {named[1]}"
            yield found(Code.CONTRADICTING_ID, sentence, **about)
        slug = _parsed(parse_slug, row.plugin_slug)
        version = _parsed(parse_version, row.version)
        if slug is None:
            sentence = f"row {row.id} has the slug {row.plugin_slug!r}"
            yield found(Code.UNUSABLE_SLUG, sentence, severity=severity, **about)
        if version is None:
            sentence = f"row {row.id} has the version {row.version!r}"
            yield found(Code.UNUSABLE_VERSION, sentence, severity=severity, **about)
        if slug and version and not self._is_published(slug, version):
            path = self._storage.construct_shared_path(slug, version)
            sentence = f"user {row.user_id} has {slug} {version}: no folder {path}"
            yield found(
                Code.VERSION_WITHOUT_FOLDER, sentence, severity=severity, path=path, **about
            )

    def _is_published(self, slug: Slug, version: Version) -> bool:
        key = slug, version
        if key not in self._has_folder:
            self._has_folder[key] = self._storage.is_published(*key)
        return self._has_folder[key]

    async def examine_modules(self) -> AsyncGenerator[Examined, None]:
        """The rows of `module`: does each belong to a plugin of the same user?"""
        async for modules in stray_modules(self._database):
            yield Examined(len(modules), [_stray(module) for module in modules])

    # Files that all users share

    async def examine_versions(self) -> AsyncGenerator[Examined, None]:
        """The folders in shared/: are they what was published?"""
        async with threads() as in_threads:
            for paths in chunks_of(shared_folders(self._storage)):
                examined = await in_threads(_examine_folder, paths)
                yield Examined(len(paths), [each for findings in examined for each in findings])

    async def examine_staging(self) -> AsyncGenerator[Examined, None]:
        """What killed publishers left. Raises: StorageError."""
        fix = self._backup is not None
        look = partial(abandoned_staging, self._storage, remove=fix)
        try:
            abandoned = await anyio.to_thread.run_sync(look)
        except OSError as error:
            raise StorageError(f"{self._storage.cache}: cannot be used: {error}") from error
        for path in abandoned:
            sentence = f"{path} was left by a killed publisher"
            finding = found(Code.ABANDONED_STAGING, sentence, path=path)
            yield Examined(1, [finding.mended() if fix else finding])


def shared_folders(storage: PluginStorage) -> Iterator[Path]:
    """Whatever is where folders of versions should be, and what is no folder above them."""
    for folder in sorted(storage.shared.iterdir()) if storage.shared.is_dir() else ():
        if is_real_folder(folder) and _parsed(parse_slug, folder.name):
            yield from sorted(folder.iterdir())
        else:
            yield folder


def _stray(module: StrayModule) -> Finding:
    row = f"module {module.id} of plugin {module.plugin_id}"
    if module.owner is None:
        return found(Code.MODULE_WITHOUT_PLUGIN, f"{row}: there is no such plugin")
    sentence = f"{row} is of user {module.user_id}, the plugin of {module.owner}"
    return found(Code.CONTRADICTING_MODULE, sentence, user=module.owner)


def _differences(look: _Case, rows: Sequence[PluginRow], config: ConfigFields) -> Iterator[Finding]:
    """A user's file and his rows."""
    user, document = look.user, look.document
    if not rows and not document and not look.findings:
        yield found(Code.USER_WITHOUT_ROW, f"user {user} has a folder but no rows", user=user)
    if document is None:
        return
    held = {row.plugin_slug for row in rows}
    for slug in document:
        if slug in held:
            continue
        sentence = f"the file of user {user} has {slug}, the table has no such row"
        yield found(Code.ENTRY_WITHOUT_ROW, sentence, user=user, slug=slug)
    for row in rows:
        if row.plugin_slug not in document and _parsed(parse_slug, row.plugin_slug):
            sentence = f"user {user} has a row of {row.plugin_slug}, his file does not hold it"
            severity = None if row.enabled else Severity.NOTE
            yield found(
                Code.ROW_WITHOUT_ENTRY,
                sentence,
                severity=severity,
                user=user,
                slug=row.plugin_slug,
                version=row.version,
            )
    with_row = {slug: entry for slug, entry in document.items() if slug in held}
    minimised = minimise(with_row, rows, config)
    for contradiction in minimised.contradictions:
        sentence = f"user {user}: {contradiction}"
        yield found(Code.CONTRADICTING_VALUE, sentence, user=user, slug=contradiction.slug)
    if minimised.changed and not minimised.contradictions:
        yield found(Code.OLD_FORMAT, f"the file of user {user} has the old format", user=user)


def _examine_folder(path: Path) -> list[Finding]:
    slug, version = path.parent.name, path.name.removeprefix("v")
    is_version = path.name.startswith("v") and _parsed(parse_version, version)
    if not (is_version and is_real_folder(path)):
        return [found(Code.FOREIGN_NAME, f"{path} is no folder of a version", path=path)]
    about: Any = {"slug": slug, "version": version, "path": path}
    try:
        state = look_at(path, None)
        return [*_drift(path, state, about), *_entry(path, about)] if state else []
    except OSError as error:
        return [found(Code.UNREADABLE_VERSION, f"{path}: {error.strerror}", **about)]


def _drift(path: Path, state: FolderState, about: Any) -> Iterator[Finding]:
    try:
        record = read_record(path)
    except ValueError:
        yield found(Code.DRIFTED_CONTENT, f"{path}: the record of its files is damaged", **about)
        return
    if record is None:
        yield found(Code.NO_RECORD, f"{path} has no record of what was published", **about)
    elif record.build != state.build:
        sentence = f"{path} is not what was published: {_changes(record.files, state)}"
        yield found(Code.DRIFTED_CONTENT, sentence, **about)


def _changes(published: Mapping[str, str], state: FolderState) -> str:
    there = {name: digest.hex() for name, digest in state.digests.items()}
    changes = {
        "differ": [name for name in published if there.get(name, "") not in ("", published[name])],
        "are missing": [name for name in published if name not in there],
        "were added": [name for name in there if name not in published],
    }
    return "; ".join(f"{_listed(names)} {what}" for what, names in changes.items() if names)


def _entry(path: Path, about: Any) -> Iterator[Finding]:
    try:
        entry = entry_file(read_metadata(path))
    except PublishingError as error:
        yield found(Code.NO_ENTRY_FILE, f"{path}: {error}", **about)
        return
    if entry is not None and not (path / entry).is_file():
        yield found(Code.NO_ENTRY_FILE, f"{path} has no entry file {entry}", **about)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _parsed(parse: Callable[[object], Any], text: object) -> Any:
    try:
        return parse(text)
    except ValueError:
        return None
