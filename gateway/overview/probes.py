"""Looks at the folders without which nobody is served, also while nobody asks for anything."""

import asyncio
import os
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import monotonic

from gateway.errors import StorageError, sentence_of
from gateway.threads import in_own_thread

_LATE_AFTER_S = 2.0


class FolderProbe:
    """One look at a time. A look that hangs holds one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began_at: float | None = None
        """When the look began that is under way."""
        self._error: str | None = None

    def look(self) -> None:
        """Begins a look, unless one is under way. In an event loop."""
        if self._began_at is None:
            self._began_at = monotonic()
            in_own_thread(partial(_require, self._folder)).add_done_callback(self._note)

    @property
    def error(self) -> str | None:
        """What is wrong with the folder; None: nothing, as far as is known."""
        if self._began_at is not None and (late_s := monotonic() - self._began_at) > _LATE_AFTER_S:
            return f"{self._folder} has not answered for {late_s:.0f} s"
        return self._error

    def _note(self, look: "asyncio.Future[None]") -> None:
        self._began_at = None
        if not look.cancelled():
            error = look.exception()
            self._error = None if error is None else str(error)


class FolderProbes:
    """Of several folders, by name."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._probes = {name: FolderProbe(folder) for name, folder in folders.items()}

    def look(self) -> None:
        for probe in self._probes.values():
            probe.look()

    def errors(self) -> dict[str, str]:
        """What is wrong, by name."""
        return {name: error for name, probe in self._probes.items() if (error := probe.error)}


def _require(folder: Path) -> None:
    """Blocking. Raises: StorageError."""
    try:
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise StorageError(f"{folder} is no folder")
    except OSError as error:
        raise StorageError(sentence_of(error)) from None
    if not os.access(folder, os.R_OK | os.X_OK):
        raise StorageError(f"Permission denied: {folder}")
