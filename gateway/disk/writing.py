"""Writes that survive a crash: a file holds its old content or its new content, never a part.

The order is always the same: write a temporary file in the same folder, fsync it, rename it,
fsync the folder. Blocking.
"""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replaces the content of `path`, durably.

    The file never has wider permissions than `mode`. Raises: OSError.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; other programs of the site read most of ours.
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:  # KeyboardInterrupt too: no temporary file is left
        Path(temporary).unlink(missing_ok=True)
        raise
    make_durable(path.parent)


def remove_temporary(path: Path) -> None:
    """Removes the temporary files of killed writers of `path`.

    A writer that is at work loses its file, and fails. Raises: OSError.
    """
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)


def make_durable(path: Path) -> None:
    """Makes a file's content durable, or the names in a folder: renames, new files.

    Raises: OSError.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
