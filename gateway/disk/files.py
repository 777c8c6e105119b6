"""Single files, read and written safely. Blocking.

Reads: another program may have replaced a file by a link, a FIFO or something huge. The functions
follow no link, do not wait for a FIFO, and read up to a bound.

Writes survive a crash: a file holds its old content or its new content, never a part. The order is
always the same: write a temporary file in the same folder, fsync it, rename it, fsync the folder.
"""

import errno
import os
import stat
import tempfile
from pathlib import Path

# Without O_NONBLOCK, opening a FIFO waits for its writer.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK
"""Flags of `os.open` to read a file that may be a link."""
ITSELF = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags of `os.open` that refuse a link and do not wait for a FIFO."""

Fingerprint = tuple[int, ...]
"""Device, inode, size and times of a file: another content has another fingerprint."""


def fingerprint(facts: os.stat_result) -> Fingerprint:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def is_real_folder(path: Path) -> bool:
    """Whether the path is a folder, and not a link to one. Raises: OSError."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def read_regular(path: Path, max_bytes: int) -> bytes | None:
    """The content of a regular file; None if there is no such file, or a link in its place.

    Raises: ValueError, if the file is larger than `max_bytes`; OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | ITSELF)
    except OSError as error:
        if names_no_file(error):
            return None
        raise
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        content = read_up_to(max_bytes + 1, descriptor, facts.st_size)
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise ValueError(f"{path.name}: larger than {max_bytes} bytes")
    return content


def read_up_to(max_bytes: int, descriptor: int, expected_bytes: int) -> bytes:
    """The first bytes of the file. One system call suffices if it has the expected size."""
    content = os.read(descriptor, min(expected_bytes, max_bytes) + 1)
    if len(content) != expected_bytes:  # it grew or shrank, or the file system reads in pieces
        while len(content) < max_bytes and (more := os.read(descriptor, max_bytes - len(content))):
            content += more
    return content


def open_below(folder: Path, path: str) -> int:
    """A descriptor of `folder / path`; no part of `path` may be a link. `folder` may be one.

    Raises: OSError.
    """
    *parents, name = path.split("/")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for parent in parents:
            inner = os.open(
                parent,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=descriptor,
            )
            os.close(descriptor)
            descriptor = inner
        return os.open(name, os.O_RDONLY | ITSELF, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def names_no_file(error: OSError) -> bool:
    """Whether the path caused the error, not the disk: no such name, a link, a socket."""
    return error.errno in {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.EMLINK,  # FreeBSD's error for O_NOFOLLOW on a link
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EISDIR,
        errno.ENXIO,
    }


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
