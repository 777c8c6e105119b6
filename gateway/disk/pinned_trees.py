"""Copies of builds that a proxy may send by itself, without asking:

    plugins/cache/pinned/<slug>/@<version>~<build>/<path>      and .zst, .br, .gz beside it

A tree holds nothing but what the public route would serve, and exactly the bytes of its build:
each file is compared with the build's digest while it is copied, and the folder gets its name
when it is complete. So a tree is never wrong, only there or not, and may be deleted at any time.
Copies, because installers of the application write over the files of a version in place.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from io import BufferedWriter
from pathlib import Path

import anyio
import anyio.to_thread
from filelock import FileLock, Timeout

from gateway.disk.builds import FolderState, look_at_version
from gateway.disk.encoder import MIN_BYTES, SUFFIXES, Encoder
from gateway.disk.storage import PluginStorage
from gateway.disk.writing import sync_folder
from gateway.errors import AssetNotFound, NotServed
from gateway.http.media_types import media_type
from gateway.names import (
    AssetPath,
    Pin,
    Slug,
    Version,
    parse_asset_path,
    parse_pin,
    parse_slug,
    suffix,
)

logger = logging.getLogger(__name__)

# No slug begins with a dot, so no URL leads here.
_UNFINISHED = ".making-"
_CHUNK_BYTES = 2**20
# A full disk is not tried again at every look.
_FAILED_PAUSE_S = 60.0


class PinnedTrees:
    """Makes the tree of each build that is looked at, and removes those of earlier builds."""

    def __init__(
        self,
        storage: PluginStorage,
        encoder: Encoder,
        allowed_suffixes: Collection[str],
        max_encoded_bytes: int,
    ) -> None:
        """Larger files than `max_encoded_bytes` get no variants."""
        self.folder = storage.cache.pinned_trees
        self._storage = storage
        self._encoder = encoder
        self._suffixes = pinnable_suffixes(allowed_suffixes)
        self._max_encoded_bytes = max_encoded_bytes
        # One core keeps serving.
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._tasks: dict[tuple[Slug, Version], asyncio.Task[None]] = {}
        self._paused_until = 0.0
        self._looks: dict[tuple[Slug, Version], FolderState] = {}

    def path(self, slug: Slug, pin: Pin) -> Path:
        return self.folder / tree_name(slug, pin)

    def keep_soon(self, slug: Slug, version: Version, state: FolderState | None) -> None:
        """Sees to it, in the background, that of this version exactly the tree of `state` is there.

        None: the version has no folder any more.
        """
        if (slug, version) in self._tasks:
            return  # its folder is looked at again before long

        async def keep() -> None:
            await anyio.to_thread.run_sync(
                self.keep, slug, version, state, limiter=self._one_at_a_time
            )

        task = asyncio.create_task(keep())
        self._tasks[slug, version] = task
        task.add_done_callback(lambda _task: self._tasks.pop((slug, version), None))

    async def close(self) -> None:
        """A tree that is being made is finished: a thread cannot be interrupted."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def look_again(self) -> None:
        """Looks at the folder of every version that has a tree. Blocking.

        Raises: OSError, if the disk fails; what was kept is right, and stays.
        """
        self._storage.shared.require()
        looks = {}
        for slug, version in self._kept():
            known = self._looks.get((slug, version))
            state = look_at_version(self._storage, slug, version, known)
            self.keep(slug, version, state)
            if state is not None:
                looks[slug, version] = state
        self._looks = looks

    def _kept(self) -> list[tuple[Slug, Version]]:
        found = set()
        for folder in _entries(self.folder):
            for tree in _entries(folder):
                try:
                    found.add((parse_slug(folder.name), parse_pin(tree.name).version))
                except (ValueError, AssetNotFound):
                    continue
        return sorted(found)

    def keep(self, slug: Slug, version: Version, state: FolderState | None) -> None:
        """The same, blocking. A disk that fails leaves it to a later look."""
        wanted = None if state is None else self.path(slug, Pin(version, state.build))
        retired = [tree for tree in self._trees_of(slug, version) if tree != wanted]
        if wanted is not None and (wanted.is_dir() or time.monotonic() < self._paused_until):
            wanted = None
        if wanted is None and not retired:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._storage.cache.pinned_trees_lock, timeout=0):
                for unfinished in self.folder.glob(f"{_UNFINISHED}*"):
                    shutil.rmtree(unfinished, ignore_errors=True)
                for tree in retired:
                    self._remove(tree)
                if wanted is not None and state is not None:
                    self._make(slug, version, state.digests, wanted)
        except Timeout:
            return  # another worker is at it
        except (NotServed, FileNotFoundError) as error:  # written over, or the cache was deleted
            logger.info("no tree %s yet: %s", wanted, error)
        except OSError as error:
            logger.warning("no tree %s for the proxy: %s", wanted, error)
            self._paused_until = time.monotonic() + _FAILED_PAUSE_S

    def _trees_of(self, slug: Slug, version: Version) -> list[Path]:
        return [
            path
            for path in _entries(self.folder / slug)
            if path.name.rpartition("~")[0] == f"@{version}"
        ]

    def _remove(self, tree: Path) -> None:
        """Out of reach at once, then file by file."""
        grave = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        tree.rename(grave / "tree")
        shutil.rmtree(grave, ignore_errors=True)

    def _make(
        self, slug: Slug, version: Version, digests: Mapping[str, bytes], target: Path
    ) -> None:
        """Raises: OSError; NotServed, if the folder is no longer that build."""
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            paths = list(pinnable(digests, self._suffixes))
            for path in paths:
                self._copy(slug, version, path, digests[path], unfinished)
            for path in paths:
                (unfinished / path).stat()  # plugins/cache may have been deleted meanwhile
            for folder in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
                folder.chmod(0o755)  # mkdtemp makes it private; the proxy is another user
                sync_folder(folder)
            target.parent.mkdir(exist_ok=True)
            unfinished.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _copy(
        self, slug: Slug, version: Version, path: AssetPath, digest: bytes, folder: Path
    ) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        copied = hashlib.sha256()
        opened = self._storage.shared.open_asset(slug, version, path)
        with opened.file, target.open("wb") as file:
            while chunk := opened.file.read(_CHUNK_BYTES):
                copied.update(chunk)
                file.write(chunk)
            _finish(file, target, digest)
        if copied.digest() != digest:
            raise AssetNotFound(reason=f"{path} was rewritten meanwhile")
        size = opened.stat.st_size
        if media_type(path).compressible and MIN_BYTES <= size <= self._max_encoded_bytes:
            for coding, content in self._encoder.make_now(target.read_bytes(), digest).items():
                beside = target.with_name(target.name + SUFFIXES[coding])
                with beside.open("wb") as file:
                    file.write(content)
                    _finish(file, beside, hashlib.sha256(content).digest())


def tree_name(slug: Slug, pin: Pin) -> str:
    """Relative to the folder of all trees, with `/`."""
    return f"{slug}/{pin}"


def pinnable_suffixes(allowed_suffixes: Collection[str]) -> list[str]:
    """Those that a proxy may serve by itself: a file named as a variant is left to us."""
    variants = [name.removeprefix(".") for name in SUFFIXES.values()]
    return [ending for ending in allowed_suffixes if ending not in variants]


def pinnable(names: Collection[str], suffixes: Collection[str]) -> Iterator[AssetPath]:
    """Those that the public route would serve.

    Less those below a folder that is named like a file: for such a folder nginx redirects.
    """
    for name in names:
        try:
            path = parse_asset_path(name)
        except NotServed:
            continue
        *folders, _ = [_ending(segment) in suffixes for segment in path.split("/")]
        if _ending(path) in suffixes and not any(folders):
            yield path


def _ending(name: str) -> str:
    return suffix(AssetPath(name)).removeprefix(".")


def _finish(file: BufferedWriter, path: Path, digest: bytes) -> None:
    """On the disk, readable, and with a time that is made from the content.

    nginx and Caddy make the ETag from time and size: so it is equal on every node, and another
    for other bytes. 30 bits, which lie in the past; it is shown to nobody as a date.
    """
    file.flush()
    os.fsync(file.fileno())
    path.chmod(0o644)
    seconds = 1 + (int.from_bytes(digest[:4], "big") >> 2)
    os.utime(path, (seconds, seconds))


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
