"""A folder of files that can be made again, bounded in bytes: the least recently used go first.

Processes share the folder without a lock. Each counts what it wrote itself, and looks at the whole
folder when that may have become too much. Blocking.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.disk.files import remove_temporary, write_atomically

# What a file takes on the disk is counted in these. So the number of files is bounded too.
_BLOCK_BYTES = 4096
# A process looks at the folder again after it wrote this share of the bound: 65,536 files, the most
# in 256 MiB, take 0.3 s.
_UNSEEN_SHARE = 1 / 16
# What stays when files are removed, so that the next look is not due at once.
_KEPT_SHARE = 7 / 8


class BoundedFolder:
    """Files in the folders of `folder`, about `max_bytes` of them at most.

    Between two looks, each process that writes may exceed the bound by a sixteenth of it.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`max_bytes` 0: nothing is kept."""
        self.path = folder
        self._max_bytes = max_bytes
        self._unseen_bytes = max_bytes  # the first write looks at what others left

    def write(self, path: Path, content: bytes) -> None:
        """Replaces the file, durably. Raises: OSError.

        Of several who write the same file at the same moment, the last one does.
        """
        if _on_disk(len(content)) > self._max_bytes * _KEPT_SHARE:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporary(path)
        with contextlib.suppress(FileNotFoundError):  # another one removed it in the same way
            write_atomically(path, content)
        self._unseen_bytes += _on_disk(len(content))
        if self._unseen_bytes > self._max_bytes * _UNSEEN_SHARE:
            self._prune()
            self._unseen_bytes = 0

    def note_use(self, path: Path) -> None:
        """The file is used now: it goes after those that were not used lately."""
        with contextlib.suppress(OSError):  # removed meanwhile, or a read-only disk
            os.utime(path)

    def names(self) -> Iterator[Path]:
        """All files, temporary ones of writers too. Raises: OSError."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for folder in self.path.iterdir():
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    yield from folder.iterdir()

    def _prune(self) -> None:
        files = []
        for path in self.names():
            with contextlib.suppress(FileNotFoundError):
                facts = path.lstat()
                if not stat.S_ISDIR(facts.st_mode):
                    files.append((facts.st_mtime_ns, _on_disk(facts.st_size), path))
        excess = sum(size for _, size, _ in files)
        if excess <= self._max_bytes:
            return
        excess -= int(self._max_bytes * _KEPT_SHARE)
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


def _on_disk(size: int) -> int:
    return max(1, -(-size // _BLOCK_BYTES)) * _BLOCK_BYTES
