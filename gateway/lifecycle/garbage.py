"""Removes versions that nobody needs: no row refers to them, their retention has passed, and no
gateway was asked for them lately.

One rename takes a version from `shared/`, so it is complete or missing. Then its pins answer
410. The database is asked again inside the transaction that covers the rename, so a plugin that
was installed meanwhile keeps its files. Blocking, except for the database.
"""

import contextlib
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from anyio.to_thread import run_sync

from gateway.changes import Change
from gateway.database.transactions import Transaction, begin
from gateway.disk.builds import look_at
from gateway.disk.differences import Differences
from gateway.disk.encoder import Encoder
from gateway.disk.files import make_durable
from gateway.disk.retention import IN_USE_S, Retention
from gateway.disk.storage import PluginStorage
from gateway.errors import StorageError
from gateway.lifecycle.staging import locked_or_refused, only_publisher
from gateway.names import Slug, Version
from gateway.settings import Settings

DAY_S = 86_400.0


class Fate(Enum):
    """What becomes of a version."""

    REFERRED = "referred to by rows"
    RETAINED = "retained"
    IN_USE = "asked for lately"
    COLLECTABLE = "collectable"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published version, and what a run decides about it."""

    slug: Slug
    version: Version
    folder: Path
    fate: Fate
    size_bytes: int
    retained_for_s: float = 0.0
    """The rest of the retention, if the fate is RETAINED."""


class Collector:
    """Judges the published versions, and removes those that nobody needs."""

    def __init__(
        self,
        settings: Settings,
        storage: PluginStorage,
        announce: Callable[[Change], None],
        now: Callable[[], float],
    ) -> None:
        """`now`: seconds since the epoch."""
        self._settings = settings
        self._storage = storage
        self._announce = announce
        self._now = now
        self._retention = Retention(storage.cache)
        self._retention_s = settings.lifecycle.retention_days * DAY_S
        self._trash = storage.cache.trash

    def candidates(self, referred: Collection[tuple[str, str]]) -> Iterator[Candidate]:
        """All published versions, by slug. Writes retention notes, and changes nothing else.

        `referred`: slugs and versions that rows name. Raises: OSError.
        """
        for slug, version in self._storage.shared.versions():
            yield self._candidate(slug, version, is_referred=(slug, version) in referred)

    async def collect(self, candidates: Collection[Candidate]) -> AsyncIterator[Candidate]:
        """Removes the collectable candidates, and yields each that was removed.

        Raises: StorageError, if another run is removing versions; SourceUnavailable;
        PublishingError, if a version is being published; OSError.
        """
        lock = self._storage.cache.collector_lock
        with locked_or_refused(lock, StorageError(f"{lock}: another run is removing versions")):
            await run_sync(self._empty_trash)  # of a run that was killed
            for candidate in candidates:
                if candidate.fate is Fate.COLLECTABLE and await self._retire(candidate):
                    self._announce(Change(slug=candidate.slug, version=candidate.version))
                    await run_sync(self._empty_trash)
                    yield candidate

    def _candidate(self, slug: Slug, version: Version, *, is_referred: bool) -> Candidate:
        folder = self._storage.construct_shared_path(slug, version)
        since = self._retention.unreferred_since(slug, version)
        if is_referred:
            self._retention.note_reference(slug, version)
        elif since is None:  # the retention begins now
            self._retention.note_loss(slug, version, self._now())
        since = self._now() if since is None else since
        retained_for_s = max(0.0, since + self._retention_s - self._now())
        last_use = self._retention.last_use(slug, version)
        if is_referred:
            fate = Fate.REFERRED
        elif retained_for_s:
            fate = Fate.RETAINED
        elif last_use is not None and self._now() - last_use < IN_USE_S:
            fate = Fate.IN_USE
        else:
            fate = Fate.COLLECTABLE
        return Candidate(slug, version, folder, fate, _size(folder), retained_for_s)

    async def _retire(self, candidate: Candidate) -> bool:
        """Whether the version was moved away; False if a row refers to it again."""
        async with begin(self._settings) as transaction:
            await transaction.exclude_others(candidate.slug)  # installations by the gateway
            if await _is_referred(transaction, candidate):
                return False
            moved = await run_sync(self._move_to_trash, candidate)
            if moved is None:
                return False
            # PostgreSQL has other writers meanwhile: a new installation gets its files back.
            if await _is_referred(transaction, candidate):
                await run_sync(moved.rename, candidate.folder)
                return False
        return True

    def _move_to_trash(self, candidate: Candidate) -> Path | None:
        """The version's folder in the trash; None if another run moved it."""
        with only_publisher(self._storage.cache, candidate.slug, candidate.version):
            if not self._storage.shared.is_published(candidate.slug, candidate.version):
                return None
            self._trash.mkdir(parents=True, exist_ok=True)
            target = Path(
                tempfile.mkdtemp(dir=self._trash), candidate.slug, f"v{candidate.version}"
            )
            target.parent.mkdir()
            candidate.folder.rename(target)
            make_durable(candidate.folder.parent)
        return target

    def _empty_trash(self) -> None:
        """Removes the versions in the trash, their notes, and what was made of their files:
        encoded variants and differences.

        What another version shares is made again at the next request.
        """
        cache = self._storage.cache
        encoder, digests = Encoder(cache.encoded), set[bytes]()
        for folder in self._trash.glob("*/*/v*"):
            self._retention.forget(Slug(folder.parent.name), Version(folder.name[1:]))
            state = look_at(folder, None)
            digests.update(state.digests.values() if state else ())
        for digest in digests:
            encoder.forget(digest)
        if digests:
            Differences(cache, self._settings.cache.differences.max_bytes).forget(digests)
        shutil.rmtree(self._trash, ignore_errors=True)


async def _is_referred(transaction: Transaction, candidate: Candidate) -> bool:
    rows = await transaction.fetch(
        "SELECT 1 FROM plugin WHERE plugin_slug = $1 AND version = $2 LIMIT 1",
        candidate.slug,
        candidate.version,
    )
    return bool(rows)


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the application may remove files
            facts = path.lstat()
            size += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return size
