"""Single files of a pinned tree, as a proxy sends them: durable, readable, and with a time that is
made of the content.

    dist/remoteEntry.js.dcz/<base64 of the dictionary's SHA-256>     a difference from an older file

The name is what a browser says in `Available-Dictionary`, so the proxy needs no table. A slash in
it makes a folder. No URL leads there: the names have no suffix. Blocking.
"""

import hashlib
import os
import tempfile
from base64 import b64encode
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path

from gateway.disk.files import remove_temporary

DIFFERENCES_SUFFIX = ".dcz"
"""What the name of a file gets in the name of the folder of its differences."""
MOST_DIFFERENCES = 16
"""Of one file: browsers ask, and the tree must not grow without a bound."""


def finish(file: BufferedWriter, path: Path, digest: bytes) -> None:
    """Makes the file durable and readable, and its modification time a hash of the content.

    nginx and Caddy make the ETag from time and size. So the ETag is equal on every node, and
    differs for other bytes. 30 bits of the hash give a moment in the past.
    """
    file.flush()
    os.fsync(file.fileno())
    path.chmod(0o644)
    seconds = 1 + (int.from_bytes(digest[:4], "big") >> 2)
    os.utime(path, (seconds, seconds))


def difference_path(file: Path, dictionary_digest: bytes) -> Path:
    """The place of a difference of a file in a tree, whether it exists or not."""
    # As one text: the name may begin with a slash, and would be an absolute path for itself.
    return Path(f"{_folder(file)}/{b64encode(dictionary_digest).decode()}")


def add_difference(file: Path, dictionary_digest: bytes, difference: bytes) -> None:
    """Adds a difference to a tree that the proxy reads meanwhile, whole or not at all.

    Nothing is done if it is there, or if the file has as many as it may. Raises: OSError;
    FileNotFoundError, if the tree was removed: no part of it is made again.
    """
    folder, target = _folder(file), difference_path(file, dictionary_digest)
    if target.exists():
        return
    for step in [*reversed(target.relative_to(folder).parents)]:
        with suppress(FileExistsError):
            (folder / step).mkdir()  # not `parents`: it would begin a tree that is not complete
            (folder / step).chmod(0o755)
    if sum(path.is_file() for path in folder.rglob("*=")) >= MOST_DIFFERENCES:
        return
    name = hashlib.sha256(difference).hexdigest()
    remove_temporary(folder / name)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
    try:
        with os.fdopen(descriptor, "wb") as writing:
            writing.write(difference)
            finish(writing, Path(temporary), bytes.fromhex(name))
        Path(temporary).replace(target)
    except BaseException:  # KeyboardInterrupt too: no temporary file is left
        Path(temporary).unlink(missing_ok=True)
        raise


def _folder(file: Path) -> Path:
    return file.with_name(file.name + DIFFERENCES_SUFFIX)
