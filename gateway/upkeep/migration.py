"""Makes users' installed_plugins.json minimal, and missing ones from the table.

A chunk of users at a time: their rows are read in one query, their files are compared, the
originals of those that change become durable in a backup, and then each file is replaced,
whole, inside its user's lock, if it is still the one that was compared. Killed at any moment
it leaves old and new files, each with its original in the backup; run again, it goes on.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import anyio.to_thread

from gateway.changes import Change
from gateway.database.tables import PluginDatabase, PluginRow
from gateway.disk.storage import Document, PluginStorage, encoded
from gateway.errors import StorageError
from gateway.names import UserId, parse_slug
from gateway.threads import InThreads, threads
from gateway.upkeep.backups import Backup, Original
from gateway.upkeep.old_format import (
    METADATA,
    ConfigFields,
    Contradiction,
    holds_user_config,
    minimise,
)

# A user whose file changes between every look and the write has somebody at work.
_MOST_ROUNDS = 5


class State(StrEnum):
    """What a migration makes of one user's file."""

    MINIMAL = "minimal"
    """Nothing to do."""
    MADE_MINIMAL = "made_minimal"
    WRITTEN = "written"
    """There was none, and the table says what it holds."""
    REFUSED = "refused"
    """It holds values that contradict the database: left alone."""
    LEFT_ALONE = "left_alone"
    """It cannot be read, parsed or written."""
    CHANGED_MEANWHILE = "changed_meanwhile"
    """Compared again in the next round; reported if that never ends."""


CHANGES = frozenset({State.MADE_MINIMAL, State.WRITTEN})
REFUSALS = frozenset({State.REFUSED, State.LEFT_ALONE, State.CHANGED_MEANWHILE})


@dataclass(frozen=True, slots=True)
class Outcome:
    """One user's file: what is, or would be, done, and why not."""

    user: UserId
    state: State
    dropped: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By slug: keys that leave the file; below: that move into `installation_metadata`."""
    moved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    wrote: Sequence[str] = ()
    """Slugs of a file that was missing."""
    contradictions: Sequence[Contradiction] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """So many users were looked at, and what came of those who have something to report."""

    users: int
    outcomes: Sequence[Outcome]


class Migration:
    """One run over some users."""

    def __init__(
        self,
        storage: PluginStorage,
        database: PluginDatabase,
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
    ) -> AsyncGenerator[Chunk, None]:
        """Who has no file has nothing to do.

        Raises: SourceUnavailable; StorageError, if the backup cannot be written.
        """
        async with threads() as in_threads:
            async for chunk in chunks:
                yield Chunk(len(chunk), await self._repeated(chunk, self._compare, in_threads))

    async def write_missing_files(
        self, chunks: AsyncIterable[Sequence[UserId]]
    ) -> AsyncGenerator[Chunk, None]:
        """The same for users who have rows but no file."""
        async with threads() as in_threads:
            async for chunk in chunks:
                yield Chunk(len(chunk), await self._repeated(chunk, self._compose, in_threads))

    async def _repeated(
        self, users: Sequence[UserId], plan: "_Plan", in_threads: InThreads
    ) -> list[Outcome]:
        """Plans and applies until no file changed between the two."""
        done: list[Outcome] = []
        for _ in range(_MOST_ROUNDS):
            planned = await plan(users, in_threads)
            proposals = [each for each in planned if isinstance(each, _Proposal)]
            done += [each for each in planned if isinstance(each, Outcome)]
            outcomes = await self._apply(proposals, in_threads)
            done += [each for each in outcomes if each.state is not State.CHANGED_MEANWHILE]
            again = [each for each in outcomes if each.state is State.CHANGED_MEANWHILE]
            if not again:
                break
            users = [outcome.user for outcome in again]
        return sorted(done + again, key=lambda outcome: outcome.user)

    async def _compare(
        self, users: Sequence[UserId], in_threads: InThreads
    ) -> "list[Outcome | _Proposal]":
        read = [each for each in await in_threads(self._read, users) if each is not None]
        documents = [each for each in read if isinstance(each, _Read)]
        rows = await self._database.read_rows([each.user for each in documents])
        config = await self._database.read_config_fields(
            [each.user for each in documents if holds_user_config(each.document)]
        )
        return [
            each if isinstance(each, Outcome) else self._judge(each, rows[each.user], config)
            for each in read
        ]

    def _read(self, user: UserId) -> "_Read | Outcome | None":
        try:
            content = self._storage.read_content(user)
            if content is None:
                return None
            return _Read(user, content, self._storage.parse_content(user, content))
        except StorageError as error:
            return Outcome(user, State.LEFT_ALONE, reason=str(error))

    def _judge(
        self, read: "_Read", rows: Sequence[PluginRow], config: ConfigFields
    ) -> "Outcome | _Proposal":
        minimised = minimise(read.document, rows, config)
        if not minimised.changed:
            return Outcome(read.user, State.MINIMAL)
        if minimised.contradictions and not self._prefer_database:
            return Outcome(read.user, State.REFUSED, contradictions=minimised.contradictions)
        outcome = Outcome(
            read.user,
            State.MADE_MINIMAL,
            dropped=minimised.dropped,
            moved=minimised.moved,
            contradictions=minimised.contradictions,
        )
        return _Proposal(outcome, read.content, encoded(minimised.document))

    async def _compose(
        self, users: Sequence[UserId], in_threads: InThreads
    ) -> "list[Outcome | _Proposal]":
        facts = await in_threads(self._storage.installations_facts, users)
        without = [user for user, fact in zip(users, facts, strict=True) if fact is None]
        rows = await self._database.read_rows(without)
        documents = {user: document_of(rows[user]) for user in without}
        return [
            _Proposal(Outcome(user, State.WRITTEN, wrote=tuple(document)), None, encoded(document))
            for user, document in documents.items()
            if document
        ]

    async def _apply(
        self, proposals: "Sequence[_Proposal]", in_threads: InThreads
    ) -> list[Outcome]:
        """The outcomes as they came to be; those of a dry run are what would be."""
        if self._backup is None or not proposals:
            return [proposal.outcome for proposal in proposals]
        originals = [Original.of(each.outcome.user, each.before, each.after) for each in proposals]
        await anyio.to_thread.run_sync(self._backup.add, originals)
        outcomes = await in_threads(self._replace_file, proposals)
        for outcome in outcomes:
            if outcome.state in CHANGES:
                self._announce(Change(user=outcome.user))
        return outcomes

    def _replace_file(self, proposal: "_Proposal") -> Outcome:
        user = proposal.outcome.user
        try:
            with self._storage.locked(user):
                if self._storage.read_content(user) != proposal.before:
                    return Outcome(user, State.CHANGED_MEANWHILE, reason="it is being changed")
                self._storage.write_document(user, proposal.after)
        except StorageError as error:
            return Outcome(user, State.LEFT_ALONE, reason=str(error))
        return proposal.outcome


@dataclass(frozen=True, slots=True)
class _Proposal:
    """A change that may still fail: the file, if it is as it `before` was, becomes `after`."""

    outcome: Outcome
    before: bytes | None
    after: bytes


_Plan = Callable[[Sequence[UserId], InThreads], Awaitable[list[Outcome | _Proposal]]]


@dataclass(frozen=True, slots=True)
class _Read:
    user: UserId
    content: bytes
    document: Document


def document_of(rows: Sequence[PluginRow]) -> Document:
    """What a user's missing file would hold: an entry for each row that has a usable slug."""
    document: Document = {}
    for row in rows:
        try:
            slug = parse_slug(row.plugin_slug)
        except ValueError:
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
    """A column's date, `YYYY-MM-DD HH:MM:SS` as text; None: none that can be read."""
    try:
        return datetime.fromisoformat(str(moment)).isoformat()
    except ValueError:
        return None
