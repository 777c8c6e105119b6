"""Which build of a version is on disk: a digest of the content of its folder, and of each file.

BrainDrive-Core's installers write a version's files again in place, so a version's name does
not name bytes; its build does. Equal on every node: only relative names and content count.
Files that are never served (dotfiles, Python, links) do not count either.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from gateway.basis import Basis
from gateway.errors import SourceUnavailable
from gateway.names import Build, Slug, Version
from gateway.storage import PluginStorage
from gateway.ttl_cache import TTLCache

_NEVER_SERVED = (".py", ".pyc", ".pyo")
_MAX_VERSIONS = 10_000
# How long a digest is remembered beside its fingerprint while nobody asks.
_REMEMBERED_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class FolderState:
    """What one look at a version's folder found."""

    build: Build
    digests: Mapping[str, bytes]
    """SHA-256 of each file's content, by asset path."""
    fingerprint: bytes
    """Changes when any file's name, size, inode or times do."""


class BuildIndex:
    """Builds of versions' folders, looked at again every `revalidate_s` seconds."""

    def __init__(
        self, storage: PluginStorage, revalidate_s: float, on_change: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._looks: TTLCache[tuple[Slug, Version], FolderState | None] = TTLCache(
            self._look,
            ttl_s=revalidate_s,
            negative_ttl_s=revalidate_s,
            stale_if_error_s=_REMEMBERED_S,
            max_size=_MAX_VERSIONS,
            is_negative=lambda look: look is None,
            on_change=on_change,
        )

    async def get(self, slug: Slug, version: Version, basis: Basis) -> FolderState | None:
        """The folder's state; None where the version has no folder.

        Raises: SourceUnavailable, if the disk fails and no earlier answer is left.
        """
        return basis.rest_on("builds", await self._looks.get_entry((slug, version)))

    def purge_all(self) -> None:
        self._looks.purge_all()

    def purge(self, slug: Slug, version: Version) -> None:
        self._looks.purge((slug, version))

    async def close(self) -> None:
        await self._looks.close()

    async def _look(self, key: tuple[Slug, Version]) -> FolderState | None:
        entry = self._looks.peek(key)
        known = entry.value if entry else None
        folder = self._storage.construct_shared_path(*key)
        try:
            found = await anyio.to_thread.run_sync(look_at, folder, known)
            if found is None:
                await anyio.to_thread.run_sync(self._storage.require_shared)
            return found
        except OSError as error:
            raise SourceUnavailable(reason=f"{folder}: {error}") from error


def look_at(folder: Path, known: FolderState | None) -> FolderState | None:
    """Blocking. Content is read only where the fingerprint has changed."""
    if not folder.is_dir():
        return None
    files = sorted(_files(folder, ""))
    fingerprint = hashlib.sha256(
        "\n".join(f"{name}\0{facts}" for name, facts in files).encode("utf-8", "surrogateescape")
    ).digest()
    if known is not None and known.fingerprint == fingerprint:
        return known
    digests = {name: _digest(folder / name) for name, _ in files}
    whole = hashlib.sha256()
    for name, digest in digests.items():
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + digest)
    return FolderState(Build(whole.hexdigest()[:16]), digests, fingerprint)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """(relative name, facts) of each file below `folder` that could be served."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False) and not entry.name.endswith(_NEVER_SERVED):
                facts = entry.stat(follow_symlinks=False)
                yield (
                    prefix + entry.name,
                    f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}",
                )
