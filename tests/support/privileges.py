"""Takes the rights of root away from a test: permissions count for every user who runs it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
"""User and group that own nothing."""


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root reads and writes everything, so root becomes nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user can enter. pytest's own folders are private, and made so
    again by each new run.
    """
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def give_to_nobody(folder: Path) -> None:
    """Everything below the folder, and the folder itself. Only root can; for others, who own what
    they made, nothing changes.
    """
    if os.geteuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
