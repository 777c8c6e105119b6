"""Which file of an earlier version is the dictionary of which file of a version.

A browser offers a file as dictionary for a URL if the file's match pattern covers the URL. The
pattern covers the file's own path and, where its name has a hash, all names with the same stem
(http/dictionaries.py). So a pair of files with different stems can never be asked for, and none is
made: a chunk that was moved or got another name begins anew. Where several files of one earlier
version have the stem (`index-*.js`), the browser offers the one that it loaded last, which nobody
knows here. Then the file that overlaps most is taken; others are compared when a browser asks.

Blocking.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.disk.builds import FolderState, look_at_version
from gateway.disk.differences import MAX_BYTES, Differences, dictionaries, trial_bytes
from gateway.disk.files import read_up_to
from gateway.disk.storage import PluginStorage
from gateway.errors import NotServed
from gateway.http.dictionaries import stem
from gateway.names import AssetPath, Slug, Version, newest_first, suffix

EARLIER_VERSIONS = 4
"""Files of so many other versions are dictionaries of a version: the newest ones."""
# Of files that have one stem, so many are tried, those of the most similar size. A trial of 1 MiB
# takes 10 ms.
_TRIED = 4


class PublishedFile(NamedTuple):
    version: Version
    path: AssetPath
    digest: bytes
    size: int


class Pair(NamedTuple):
    file: PublishedFile
    dictionary: PublishedFile


class Pairs:
    """The pairs of one plugin's versions, and their differences."""

    def __init__(
        self,
        storage: PluginStorage,
        differences: Differences,
        slug: Slug,
        max_file_bytes: int = MAX_BYTES,
        known: Mapping[tuple[Slug, Version], FolderState] | None = None,
    ) -> None:
        """Larger files than `max_file_bytes` are sent as they are, so they have no difference.

        `known`: of earlier looks; what did not change since is not read again.
        """
        self._storage = storage
        self._differences = differences
        self._slug = slug
        self._max_file_bytes = max_file_bytes
        self._known = known or {}

    def of(
        self, version: Version, state: FolderState, held: Collection[str] | None = None
    ) -> Iterator[Pair]:
        """The pairs of a version, those with the newest dictionaries first.

        `held`: the versions that users have; None: any may be. Source maps are left out, which
        pages do not load. Raises: OSError.
        """
        files = [
            file
            for file in _files(version, state)
            if file.size <= self._max_file_bytes and suffix(file.path) != ".map"
        ]
        for earlier in self._earlier(version, held):
            known = self._known.get((self._slug, earlier))
            there = look_at_version(self._storage, self._slug, earlier, known)
            by_stem = defaultdict(list)
            for file in _files(earlier, there) if there else ():
                by_stem[stem(file.path)].append(file)
            for file in files:
                dictionary = self._best(file, by_stem[stem(file.path)])
                if dictionary is not None:
                    yield Pair(file, dictionary)

    def make(self, pair: Pair) -> bytes | None:
        """The difference; None if it is not worth it, or a file is no longer the same.

        Raises: OSError.
        """
        content, dictionary = self._read(pair.file), self._read(pair.dictionary)
        if content is None or dictionary is None:
            return None
        digests = pair.file.digest, pair.dictionary.digest
        return self._differences.make_now(content, digests[0], dictionary, digests[1])

    def _earlier(self, version: Version, held: Collection[str] | None) -> list[Version]:
        published = self._storage.shared.versions_of(self._slug)
        others = (it for it in published if it != version and (held is None or it in held))
        return newest_first(others)[:EARLIER_VERSIONS]

    def _best(self, file: PublishedFile, same: Sequence[PublishedFile]) -> PublishedFile | None:
        """The file of an earlier version that a browser may offer; `same` have the file's stem."""
        for other in same:
            if other.path == file.path or len(same) == 1:
                return other
        near = sorted(same, key=lambda other: abs(other.size - file.size))[:_TRIED]
        content = self._read(file) if near else None
        if content is None:
            return None
        contents = ((self._read(other), other) for other in near)
        trials = [
            (trial_bytes(content, dictionary), other.path, other)
            for dictionary, other in contents
            if dictionary is not None
        ]
        return min(trials)[2] if trials else None

    def _read(self, file: PublishedFile) -> bytes | None:
        """The content; None if the file is gone, or was rewritten. Raises: OSError."""
        try:
            opened = self._storage.shared.open_asset(self._slug, file.version, file.path)
        except NotServed:
            return None
        with opened.file as reading:
            content = read_up_to(MAX_BYTES + 1, reading.fileno(), file.size)
        return content if hashlib.sha256(content).digest() == file.digest else None


def _files(version: Version, state: FolderState) -> Iterator[PublishedFile]:
    for path, digest in dictionaries(state):
        yield PublishedFile(version, path, digest, state.sizes[path])
