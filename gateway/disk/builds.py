"""Which build of a version is on disk: the digest of all its files.

BrainDrive-Core's installers write the files of a version again in place. So a version does not
name bytes; its build does. Only relative names and content count, so a build is equal on every
node. Files that are never served (dotfiles, Python, links) do not count.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from gateway.disk.files import ITSELF, is_real_folder
from gateway.disk.storage import PluginStorage
from gateway.names import MAX_PATH_BYTES, Build, Slug, Version

_NEVER_SERVED = (".py", ".pyc", ".pyo")


@dataclass(frozen=True, slots=True)
class FolderState:
    """What a version's folder held at one moment."""

    build: Build
    digests: Mapping[str, bytes]
    """SHA-256 of each file's content, by asset path."""
    sizes: Mapping[str, int]
    """Bytes of each file, by asset path."""
    fingerprint: bytes
    """Changes when the name, size, inode or times of any file change."""


def look_at(folder: Path, known: FolderState | None) -> FolderState | None:
    """The state of a folder; None if there is none. Blocking. Raises: OSError.

    Content is read only if the fingerprint differs from that of `known`.
    """
    if not is_real_folder(folder):
        return None
    files = sorted(_files(folder))
    fingerprint = hashlib.sha256(
        "\n".join(f"{name}\0{facts}" for name, facts, _ in files).encode("utf-8", "surrogateescape")
    ).digest()
    if known is not None and known.fingerprint == fingerprint:
        return known
    digests = {name: _digest(folder / name) for name, _, _ in files}
    sizes = {name: size for name, _, size in files}
    whole = hashlib.sha256()
    for name, digest in digests.items():
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + digest)
    return FolderState(Build(whole.hexdigest()[:16]), digests, sizes, fingerprint)


def look_at_version(
    storage: PluginStorage, slug: Slug, version: Version, known: FolderState | None = None
) -> FolderState | None:
    """`look_at` for the folder of a published version."""
    if not storage.shared.is_published(slug, version):
        return None
    return look_at(storage.construct_shared_path(slug, version), known)


def _digest(path: Path) -> bytes:
    with FileIO(os.open(path, os.O_RDONLY | ITSELF)) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _files(folder: Path) -> Iterator[tuple[str, str, int]]:
    """(relative name, facts, size) of each file below `folder` that could be served."""
    prefixes = [""]  # not by recursion: folders may be deeper than Python recurses
    while prefixes:
        prefix = prefixes.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                # No URL reaches a longer name.
                if entry.name.startswith(".") or len(name) > MAX_PATH_BYTES:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    prefixes.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False) and not name.endswith(_NEVER_SERVED):
                    facts = entry.stat(follow_symlinks=False)
                    yield (
                        name,
                        f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}",
                        facts.st_size,
                    )
