"""Makes installed_plugins.json files minimal, and writes missing ones from the table.

For each chunk of users: one query reads their rows, the files are compared with them, the
originals of files that change become durable in a backup, and then each file is replaced as a
whole, under its user's lock, if it is still the one that was compared. A killed run leaves old
and new files, and the original of each new one is in the backup. A second run does the rest.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import anyio.to_thread

from gateway.changes import Change
from gateway.database.survey import PluginRow, Survey
from gateway.disk.storage import PluginStorage
from gateway.disk.users_folder import Document, encoded
from gateway.errors import StorageError
from gateway.names import UserId, parse_or_none, parse_slug
from gateway.threads import in_threads
from gateway.upkeep.backups import Backup, Original
from gateway.upkeep.old_format import (
    METADATA,
    ConfigFields,
    Contradiction,
    holds_user_config,
    minimise,
)
from gateway.upkeep.population import Examined

# If a file has changed between comparison and write in every round, another program is busy
# with it.
_MOST_ROUNDS = 5


class FileState(StrEnum):
    """What a migration does with one user's file."""

    MINIMAL = "minimal"
    """Nothing to do."""
    MADE_MINIMAL = "made_minimal"
    WRITTEN = "written"
    """The user had no file; its content comes from the table."""
    REFUSED = "refused"
    """The file has values that contradict the database: it stays as it is."""
    LEFT_ALONE = "left_alone"
    """The file cannot be read, parsed or written."""
    CHANGED_MEANWHILE = "changed_meanwhile"
    """The file changed after it was compared. Reported if that happens in every round."""


CHANGES = frozenset({FileState.MADE_MINIMAL, FileState.WRITTEN})
REFUSALS = frozenset({FileState.REFUSED, FileState.LEFT_ALONE, FileState.CHANGED_MEANWHILE})


@dataclass(frozen=True, slots=True)
class MigratedFile:
    """What was done with one user's file, or would be, and the reason if nothing was."""

    user: UserId
    state: FileState
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By slug: keys that leave the file."""
    moved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By slug: keys that move into `installation_metadata`."""
    wrote: Sequence[str] = ()
    """Slugs in a file that was missing."""
    contradictions: Sequence[Contradiction] = ()
    reason: str = ""


class Migration:
    """One run over some users. Files without changes are reported as MINIMAL."""

    def __init__(
        self,
        storage: PluginStorage,
        database: Survey,
        *,
        backup: Backup | None = None,
        prefer_database: bool = False,
        announce: Callable[[Change], None] = lambda _: None,
    ) -> None:
        """`backup` None: a dry run. `announce` is called for each user whose file was changed."""
        self._storage = storage
        self._database = database
        self._backup = backup
        self._prefer_database = prefer_database
        self._announce = announce

    async def minimise_files(
        self, chunks: AsyncIterable[Sequence[UserId]]
    ) -> AsyncGenerator[Examined[MigratedFile], None]:
        """Makes the files of these users minimal; users without a file are not reported.

        Raises: SourceUnavailable; StorageError, if the backup cannot be written.
        """
        async for chunk in chunks:
            yield Examined(len(chunk), await self._repeated(chunk, self._compare))

    async def write_missing_files(
        self, chunks: AsyncIterable[Sequence[UserId]]
    ) -> AsyncGenerator[Examined[MigratedFile], None]:
        """Writes the files of users who have rows but no file. Raises: as `minimise_files`."""
        async for chunk in chunks:
            yield Examined(len(chunk), await self._repeated(chunk, self._compose))

    async def _repeated(self, users: Sequence[UserId], plan: "_Plan") -> list[MigratedFile]:
        """Plans and applies, and repeats that for files that changed between the two."""
        done: list[MigratedFile] = []
        for _ in range(_MOST_ROUNDS):
            planned = await plan(users)
            proposals = [result for result in planned if isinstance(result, _Proposal)]
            files = [result for result in planned if isinstance(result, MigratedFile)]
            files += await self._apply(proposals)
            changed = [file for file in files if file.state is FileState.CHANGED_MEANWHILE]
            done += [file for file in files if file.state is not FileState.CHANGED_MEANWHILE]
            if not changed:
                break
            users = [file.user for file in changed]
        return sorted(done + changed, key=lambda file: file.user)

    async def _compare(self, users: Sequence[UserId]) -> "list[MigratedFile | _Proposal]":
        files = [file for file in await in_threads(self._read, users) if file is not None]
        originals = [file for file in files if isinstance(file, _ReadFile)]
        rows = await self._database.read_rows([file.user for file in originals])
        config = await self._database.read_config_fields(
            [file.user for file in originals if holds_user_config(file.document)]
        )
        return [
            self._judge(file, rows[file.user], config) if isinstance(file, _ReadFile) else file
            for file in files
        ]

    def _read(self, user: UserId) -> "_ReadFile | MigratedFile | None":
        try:
            content = self._storage.users.read_content(user)
            if content is None:
                return None
            return _ReadFile(user, content, self._storage.users.parse(user, content))
        except StorageError as error:
            return MigratedFile(user, FileState.LEFT_ALONE, reason=str(error))

    def _judge(
        self, original: "_ReadFile", rows: Sequence[PluginRow], config: ConfigFields
    ) -> "MigratedFile | _Proposal":
        minimised = minimise(original.document, rows, config)
        if not minimised.changed:
            return MigratedFile(original.user, FileState.MINIMAL)
        if minimised.contradictions and not self._prefer_database:
            return MigratedFile(
                original.user, FileState.REFUSED, contradictions=minimised.contradictions
            )
        file = MigratedFile(
            original.user,
            FileState.MADE_MINIMAL,
            dropped=minimised.dropped,
            moved=minimised.moved,
            contradictions=minimised.contradictions,
        )
        return _Proposal(file, original.content, encoded(minimised.document))

    async def _compose(self, users: Sequence[UserId]) -> "list[MigratedFile | _Proposal]":
        files = zip(users, await in_threads(self._storage.users.fingerprint, users), strict=True)
        without = [user for user, fingerprint in files if fingerprint is None]
        rows = await self._database.read_rows(without)
        documents = {user: document_of(rows[user]) for user in without}
        return [
            _Proposal(
                MigratedFile(user, FileState.WRITTEN, wrote=tuple(document)),
                None,
                encoded(document),
            )
            for user, document in documents.items()
            if document
        ]

    async def _apply(self, proposals: "Sequence[_Proposal]") -> list[MigratedFile]:
        """What was done with each file; in a dry run, what would be done."""
        if self._backup is None or not proposals:
            return [proposal.file for proposal in proposals]
        originals = [
            Original.of(proposal.file.user, proposal.before, proposal.after)
            for proposal in proposals
        ]
        await anyio.to_thread.run_sync(self._backup.add, originals)
        files = await in_threads(self._replace_file, proposals)
        for file in files:
            if file.state in CHANGES:
                self._announce(Change(user=file.user))
        return files

    def _replace_file(self, proposal: "_Proposal") -> MigratedFile:
        user = proposal.file.user
        try:
            with self._storage.users.locked(user) as file:
                if self._storage.users.read_content(user) != proposal.before:
                    return MigratedFile(
                        user, FileState.CHANGED_MEANWHILE, reason="it is being changed"
                    )
                file.write(proposal.after)
        except StorageError as error:
            return MigratedFile(user, FileState.LEFT_ALONE, reason=str(error))
        return proposal.file


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A change that may still fail: `after` replaces the file if it still is `before`."""

    file: MigratedFile
    before: bytes | None
    after: bytes


_Plan = Callable[[Sequence[UserId]], Awaitable[list[MigratedFile | _Proposal]]]


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """One user's file as it was read."""

    user: UserId
    content: bytes
    document: Document


def document_of(rows: Sequence[PluginRow]) -> Document:
    """The content of a user's missing file: an entry for each row that has a usable slug."""
    document: Document = {}
    for row in rows:
        slug = parse_or_none(parse_slug, row.plugin_slug)
        if slug is None:
            continue
        metadata = {
            "installation_type": row.installation_type,
            "source_url": row.source_url,
            "installed_at": _iso(row.created_at),
            "installed_by": "migrate",
        }
        document[slug] = {METADATA: {key: value for key, value in metadata.items() if value}}
    return document


def _iso(moment: object) -> str | None:
    """A column's date (a datetime, or `YYYY-MM-DD HH:MM:SS`) as ISO 8601; None if unreadable."""
    try:
        return datetime.fromisoformat(str(moment)).isoformat()
    except ValueError:
        return None
