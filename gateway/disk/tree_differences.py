"""Differences in pinned trees: a proxy sends them without asking the gateway.

A tree that is complete gets the differences of all pairs that can be foreseen (pairs.py), which
publishing has made already, and each difference that a browser asks for. Blocking.
"""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gateway.disk.builds import FolderState
from gateway.disk.differences import MAX_BYTES, Differences
from gateway.disk.files import read_regular
from gateway.disk.pairs import Pairs
from gateway.disk.pinned_trees import PinnedTrees
from gateway.disk.storage import PluginStorage
from gateway.disk.tree_files import add_difference, difference_path
from gateway.names import AssetKey, Pin, Slug, Version

logger = logging.getLogger(__name__)

# A dotfile in a tree, which no URL reaches: all pairs were compared.
_COMPARED = ".compared"
# Then the folders of versions must be looked at again.
_MOST_S = 2.0
# After a failure, such as a full disk, nothing is added for this time.
_FAILED_PAUSE_S = 60.0


class TreeDifferences:
    def __init__(
        self,
        storage: PluginStorage,
        differences: Differences,
        trees: PinnedTrees,
        max_file_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Files larger than `max_file_bytes` get no differences."""
        self._storage = storage
        self._differences = differences
        self._trees = trees
        self._max_file_bytes = max_file_bytes
        self._clock = clock
        self._paused_until = -math.inf

    def add_to_all(self) -> None:
        """Adds what the trees lack, until some seconds have passed. A later call goes on."""
        end = self._clock() + _MOST_S
        for (slug, version), state in self._trees.states.items():
            if not self._paused_until < self._clock() < end:
                return
            tree = self._trees.path(slug, Pin(version, state.build))
            if tree.is_dir() and not (tree / _COMPARED).exists():
                with self._warning(tree), FileLock(self._storage.cache.differences_lock, timeout=0):
                    self._compare(slug, version, state, tree, end)

    def add(
        self, key: AssetKey, digest: bytes, dictionary_digest: bytes, difference: bytes
    ) -> None:
        """Adds a difference that a browser asked for to the tree that has the file.

        `digest`: that of the file's content. If the disk fails, a later call may do it.
        """
        if self._clock() < self._paused_until or not self._trees.pinnable([key.path]):
            return
        for tree in self._trees.trees_of(key.slug, key.version):
            with self._warning(tree):
                file = tree / key.path
                if difference_path(file, dictionary_digest).exists():
                    continue
                content = read_regular(file, MAX_BYTES)
                if content is not None and hashlib.sha256(content).digest() == digest:
                    add_difference(file, dictionary_digest, difference)

    def _compare(
        self, slug: Slug, version: Version, state: FolderState, tree: Path, end: float
    ) -> None:
        """Adds the differences of one tree, one at least. `end`: on the clock.

        Raises: OSError.
        """
        known = self._trees.states
        pairs = Pairs(self._storage, self._differences, slug, self._max_file_bytes, known)
        paths = self._trees.pinnable(state.digests)
        for pair in pairs.of(version, state):
            file, dictionary = tree / pair.file.path, pair.dictionary.digest
            if pair.file.path not in paths or difference_path(file, dictionary).exists():
                continue
            difference = pairs.make(pair)
            if difference is not None:
                add_difference(file, dictionary, difference)
            if self._clock() > end:
                return
        (tree / _COMPARED).touch()

    @contextmanager
    def _warning(self, tree: Path) -> Iterator[None]:
        """If the disk fails, a warning; a tree that was removed meanwhile is no failure."""
        try:
            yield
        except (Timeout, FileNotFoundError) as error:  # Timeout: another worker does it
            logger.debug("no difference for %s: %s", tree, error)
        except (OSError, ValueError) as error:
            logger.warning("no difference for the proxy in %s: %s", tree, error)
            self._paused_until = self._clock() + _FAILED_PAUSE_S
