"""Trees: copies of builds that a proxy may send without asking the gateway.

    plugins/cache/pinned/<slug>/@<version>~<build>/<path>      and .zst, .br, .gz beside it
                                                  /<path>.dcz/ differences (tree_differences.py)

A tree holds only files that the public route would serve, with exactly the bytes of its build:
each file is compared with its digest while it is copied, and the folder gets its name when it is
complete. So a tree is complete or missing, never wrong, and may be deleted at any time. Trees
are copies because installers of the application overwrite the files of a version in place.
"""

import asyncio
import hashlib
import logging
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
from filelock import FileLock, Timeout

from gateway.disk.builds import FolderState, look_at_version
from gateway.disk.encoder import SUFFIXES, Encoder, is_worth_encoding
from gateway.disk.files import make_durable
from gateway.disk.published_record import read_integrity
from gateway.disk.storage import PluginStorage
from gateway.disk.tree_files import DIFFERENCES_SUFFIX, finish
from gateway.errors import AssetNotFound, NotServed
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
_DIFFERENCES = DIFFERENCES_SUFFIX.removeprefix(".")
# After a failure, such as a full disk, no tree is made for this time.
_FAILED_PAUSE_S = 60.0


class PinnedTrees:
    """Makes the tree of each build that is looked at, and removes those of earlier builds."""

    def __init__(
        self,
        storage: PluginStorage,
        encoder: Encoder,
        allowed_suffixes: Collection[str],
        max_encoded_bytes: int,
        *,
        requires_integrity: bool = False,
    ) -> None:
        """Files larger than `max_encoded_bytes` get no variants.

        `requires_integrity`: a version that is not what its record says has no tree.
        """
        self.folder = storage.cache.pinned_trees
        self._storage = storage
        self._encoder = encoder
        self._suffixes = pinnable_suffixes(allowed_suffixes)
        self._max_encoded_bytes = max_encoded_bytes
        self._requires_integrity = requires_integrity
        # The other cores go on serving.
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._tasks: dict[tuple[Slug, Version], asyncio.Task[None]] = {}
        self._paused_until = 0.0
        self.states: dict[tuple[Slug, Version], FolderState] = {}
        """What `look_again` saw last, by slug and version."""

    def path(self, slug: Slug, pin: Pin) -> Path:
        return self.folder / tree_name(slug, pin)

    def pinnable(self, names: Collection[str]) -> set[AssetPath]:
        """Those of the names of a build that its tree has."""
        return set(pinnable(names, self._suffixes))

    def keep_soon(self, slug: Slug, version: Version, state: FolderState | None) -> None:
        """`keep`, in the background."""
        if (slug, version) in self._tasks:
            return  # the next look at the folder calls this again
        keeping = anyio.to_thread.run_sync(
            self.keep, slug, version, state, limiter=self._one_at_a_time
        )
        task = asyncio.create_task(keeping)
        self._tasks[slug, version] = task
        task.add_done_callback(lambda _task: self._tasks.pop((slug, version), None))

    async def close(self) -> None:
        """Waits for trees that are being made: a thread cannot be interrupted."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def look_again(self) -> None:
        """Compares every tree with the folder of its version. Blocking.

        Raises: OSError, if the disk fails; the trees stay.
        """
        self._storage.shared.require()
        states = {}
        for slug, version in self._versions():
            known = self.states.get((slug, version))
            state = look_at_version(self._storage, slug, version, known)
            self.keep(slug, version, state)
            if state is not None:
                states[slug, version] = state
        self.states = states

    def _versions(self) -> list[tuple[Slug, Version]]:
        """The versions that have a tree."""
        versions = set()
        for folder in _entries(self.folder):
            for tree in _entries(folder):
                try:
                    versions.add((parse_slug(folder.name), parse_pin(tree.name).version))
                except (ValueError, AssetNotFound):
                    continue
        return sorted(versions)

    def keep(self, slug: Slug, version: Version, state: FolderState | None) -> None:
        """Makes the tree of `state`, and removes all other trees of the version. Blocking.

        `state`: that of the version's folder; None if there is none. If the disk fails, a later
        call does the rest.
        """
        if state is not None and self._requires_integrity:
            folder = self._storage.construct_shared_path(slug, version)
            state = None if read_integrity(folder, state).problem else state
        target = None if state is None else self.path(slug, Pin(version, state.build))
        retired = [tree for tree in self.trees_of(slug, version) if tree != target]
        if target is not None and (target.is_dir() or time.monotonic() < self._paused_until):
            target = None
        if target is None and not retired:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._storage.cache.pinned_trees_lock, timeout=0):
                for unfinished in self.folder.glob(f"{_UNFINISHED}*"):
                    shutil.rmtree(unfinished, ignore_errors=True)
                for tree in retired:
                    self._remove(tree)
                if target is not None and state is not None:
                    self._make(slug, version, state.digests, target)
        except Timeout:
            return  # another worker does it
        except (NotServed, FileNotFoundError) as error:  # rewritten, or the cache was deleted
            logger.info("no tree %s yet: %s", target, error)
        except OSError as error:
            logger.warning("no tree %s for the proxy: %s", target, error)
            self._paused_until = time.monotonic() + _FAILED_PAUSE_S

    def trees_of(self, slug: Slug, version: Version) -> list[Path]:
        return [
            path
            for path in _entries(self.folder / slug)
            if path.name.rpartition("~")[0] == f"@{version}"
        ]

    def _remove(self, tree: Path) -> None:
        """One rename takes the whole tree away; then its files are removed."""
        grave = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        tree.rename(grave / "tree")
        shutil.rmtree(grave, ignore_errors=True)

    def _make(
        self, slug: Slug, version: Version, digests: Mapping[str, bytes], target: Path
    ) -> None:
        """Raises: OSError; NotServed, if the folder is no longer that build."""
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            paths = self.pinnable(digests)
            for path in paths:
                self._copy(slug, version, path, digests[path], unfinished)
            for path in paths:
                (unfinished / path).stat()  # raises if plugins/cache was deleted meanwhile
            for folder in (unfinished, *(path for path in unfinished.rglob("*") if path.is_dir())):
                folder.chmod(0o755)  # mkdtemp makes it private; the proxy is another user
                make_durable(folder)
            target.parent.mkdir(exist_ok=True)
            unfinished.rename(target)
            make_durable(target.parent)
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
            finish(file, target, digest)
        if copied.digest() != digest:
            raise AssetNotFound(reason=f"{path} was rewritten meanwhile")
        size = opened.stat.st_size
        if size <= self._max_encoded_bytes and is_worth_encoding(path, size):
            for coding, content in self._encoder.make_now(target.read_bytes(), digest).items():
                beside = target.with_name(target.name + SUFFIXES[coding])
                with beside.open("wb") as file:
                    file.write(content)
                    finish(file, beside, hashlib.sha256(content).digest())


def tree_name(slug: Slug, pin: Pin) -> str:
    """Relative to the folder of all trees, with `/`."""
    return f"{slug}/{pin}"


def pinnable_suffixes(allowed_suffixes: Collection[str]) -> list[str]:
    """The suffixes that a proxy may serve alone, without those that variants have."""
    variants = [name.removeprefix(".") for name in (*SUFFIXES.values(), DIFFERENCES_SUFFIX)]
    return [ending for ending in allowed_suffixes if ending not in variants]


def pinnable(names: Collection[str], suffixes: Collection[str]) -> Iterator[AssetPath]:
    """The names that the public route would serve.

    A file below a folder that is named like a file is left out: nginx redirects for such a folder.
    So is a file below a folder that is named like one of differences.
    """
    for name in names:
        try:
            path = parse_asset_path(name)
        except NotServed:
            continue
        *folders, ending = map(_ending, path.split("/"))
        if ending in suffixes and not any(it in suffixes or it == _DIFFERENCES for it in folders):
            yield path


def _ending(name: str) -> str:
    return suffix(AssetPath(name)).removeprefix(".")


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
