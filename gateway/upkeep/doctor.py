"""Compares database, JSON files and shared/, and mends what can be mended without loss.

It works through a chunk of users at a time. A user with a finding that may be a change under way
is examined again under the user's lock, with rows read again: what has disappeared by then is
not reported. Mending removes what killed writers left, and JSON entries without a row, after
the file is in a backup. It grants nothing, deletes no row, and touches nothing in shared/.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import NamedTuple

import anyio.to_thread

from gateway.changes import Change
from gateway.database.survey import PluginRow, Survey
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import Document, LockedFile, encoded, user_of
from gateway.errors import StorageError
from gateway.lifecycle.staging import abandoned_staging
from gateway.names import UserId
from gateway.threads import entered_in_thread, in_threads
from gateway.upkeep.backups import Backup, Original
from gateway.upkeep.findings import Code, Finding, new_finding
from gateway.upkeep.old_format import ConfigFields, holds_user_config
from gateway.upkeep.population import Examined, chunks_of, pages_of
from gateway.upkeep.user_findings import RowExaminer, document_findings, module_finding
from gateway.upkeep.version_findings import shared_folders, version_findings

_TRANSIENT = frozenset({Code.ENTRY_WITHOUT_ROW, Code.ROW_WITHOUT_ENTRY, Code.CONTRADICTING_VALUE})
"""Findings between the steps of a change. They disappear when the change ends."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One user's folder: the file as it was read, and what is wrong with it."""

    user: UserId
    content: bytes | None
    document: Document | None
    findings: Sequence[Finding]
    has_temporary: bool

    @property
    def may_disappear(self) -> bool:
        return self.has_temporary or any(finding.code in _TRANSIENT for finding in self.findings)


class Part(NamedTuple):
    """A part of an examination, which is made while `examined` is read."""

    name: str
    total: int | None
    """How many things there are to look at; None: not known."""
    examined: AsyncGenerator[Examined[Finding], None]


async def count_site(storage: PluginStorage, database: Survey) -> dict[str, int]:
    """The sizes of a site: folders of users, users with rows, and versions. Raises: StorageError,
    SourceUnavailable.
    """
    return {
        "folders": sum(1 for _ in storage.users.folder_names()),
        "users": await database.count_users(),
        "versions": sum(1 for _ in shared_folders(storage)),
    }


class Doctor:
    """One examination of a site. With a backup to write to, it also mends."""

    def __init__(
        self,
        storage: PluginStorage,
        database: Survey,
        *,
        missing_is_denied: bool,
        backup: Backup | None = None,
        announce: Callable[[Change], None] = lambda _: None,
    ) -> None:
        """`announce` is called for each user whose file was changed."""
        self._storage = storage
        self._database = database
        self._rows = RowExaminer(storage, missing_is_denied=missing_is_denied)
        self._backup = backup
        self._announce = announce

    def parts(self, totals: Mapping[str, int]) -> Sequence[Part]:
        """The whole examination, in order. `totals`: of `count_site`."""
        return [
            Part("JSON files", totals["folders"], self.examine_files()),
            Part("rows", totals["users"], self.examine_rows()),
            Part("modules", None, self.examine_modules()),
            Part("versions", totals["versions"], self.examine_versions()),
            Part("staging", None, self.examine_staging()),
        ]

    async def examine_files(self) -> AsyncGenerator[Examined[Finding], None]:
        """The JSON files, each against its user's rows."""
        for names in chunks_of(self._storage.users.folder_names()):
            users = {name: user_of(name) for name in sorted(names)}
            findings = [self._foreign(name) for name, user in users.items() if user is None]
            for case in await self._cases([user for user in users.values() if user is not None]):
                final = await self._examined_again(case) if case.may_disappear else case
                findings += final.findings
            yield Examined(len(names), findings)

    def _foreign(self, name: str) -> Finding:
        path = self._storage.users.path / name
        return new_finding(Code.FOREIGN_NAME, f"{path} is no user's folder", path=path)

    async def _cases(self, users: Sequence[UserId]) -> list[_Case]:
        cases = await in_threads(self._read, users)
        rows = await self._database.read_rows(users)
        config = await self._database.read_config_fields(
            [case.user for case in cases if case.document and holds_user_config(case.document)]
        )
        return [self._compared(case, rows[case.user], config) for case in cases]

    def _read(self, user: UserId) -> _Case:
        content, document, findings = None, None, []
        path = self._storage.users.file(user)
        try:
            content = self._storage.users.read_content(user)
            document = None if content is None else self._storage.users.parse(user, content)
        except StorageError as error:
            findings = [new_finding(Code.BROKEN_INSTALLATIONS, str(error), user=user, path=path)]
        temporary = self._storage.users.temporary_files(user)
        for path in temporary:
            text = f"{path} was left by a killed writer"
            findings.append(new_finding(Code.TEMPORARY_FILE, text, user=user, path=path))
        return _Case(user, content, document, findings, bool(temporary))

    def _compared(self, case: _Case, rows: Sequence[PluginRow], config: ConfigFields) -> _Case:
        findings = list(case.findings)
        if not rows and not case.document and not findings:
            text = f"user {case.user} has a folder but no rows"
            findings.append(new_finding(Code.USER_WITHOUT_ROW, text, user=case.user))
        if case.document is not None:
            findings += document_findings(case.user, case.document, rows, config)
        return replace(case, findings=findings)

    async def _examined_again(self, case: _Case) -> _Case:
        """Examines the case again under the user's lock, and mends it if there is a backup.

        Without a backup, returns the same case if the lock cannot be taken.
        Raises: StorageError, if it cannot be mended.
        """
        try:
            async with entered_in_thread(self._storage.users.locked(case.user)) as file:
                (case,) = await self._cases([case.user])
                if self._backup is not None and case.may_disappear:
                    return await anyio.to_thread.run_sync(self._mend, case, file, self._backup)
        except StorageError:
            if self._backup is not None:
                raise
        return case

    def _mend(self, case: _Case, file: LockedFile, backup: Backup) -> _Case:
        """Raises: StorageError."""
        mended = {Code.TEMPORARY_FILE}
        file.remove_temporary_files()
        surplus = {
            finding.slug for finding in case.findings if finding.code is Code.ENTRY_WITHOUT_ROW
        }
        if surplus and case.document is not None:
            content = encoded(
                {slug: entry for slug, entry in case.document.items() if slug not in surplus}
            )
            backup.add([Original.of(case.user, case.content, content)])
            file.write(content)
            self._announce(Change(user=case.user))
            mended.add(Code.ENTRY_WITHOUT_ROW)
        return replace(
            case,
            findings=[
                finding.mended() if finding.code in mended else finding for finding in case.findings
            ],
        )

    async def examine_rows(self) -> AsyncGenerator[Examined[Finding], None]:
        """The rows of `plugin`: can they be served at all?"""
        async for users in pages_of(self._database.read_user_ids):
            rows = await self._database.read_rows(users)
            yield Examined(len(users), await anyio.to_thread.run_sync(self._row_findings, rows))

    def _row_findings(self, rows_by_user: Mapping[str, Sequence[PluginRow]]) -> list[Finding]:
        return [
            finding
            for user_id, rows in rows_by_user.items()
            for finding in self._rows.findings(user_id, rows)
        ]

    async def examine_modules(self) -> AsyncGenerator[Examined[Finding], None]:
        """The rows of `module`: does each belong to a plugin of the same user?"""
        async for modules in pages_of(self._database.read_stray_modules):
            yield Examined(len(modules), [module_finding(module) for module in modules])

    async def examine_versions(self) -> AsyncGenerator[Examined[Finding], None]:
        """The folders in shared/: are they what was published?"""
        for paths in chunks_of(shared_folders(self._storage)):
            findings = chain.from_iterable(await in_threads(version_findings, paths))
            yield Examined(len(paths), list(findings))

    async def examine_staging(self) -> AsyncGenerator[Examined[Finding], None]:
        """What killed publishers left. Raises: StorageError."""
        fix = self._backup is not None
        look = partial(abandoned_staging, self._storage.cache, remove=fix)
        try:
            abandoned = await anyio.to_thread.run_sync(look)
        except OSError as error:
            raise StorageError(f"{self._storage.cache.path}: cannot be used: {error}") from error
        for path in abandoned:
            text = f"{path} was left by a killed publisher"
            finding = new_finding(Code.ABANDONED_STAGING, text, path=path)
            yield Examined(1, [finding.mended() if fix else finding])
