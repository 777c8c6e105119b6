"""Looks at the folders without which nobody is served, also while nobody asks for anything."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gateway.errors import StorageError
from gateway.metrics.texts import one_line
from gateway.threads import in_own_thread

_LATE_AFTER_S = 2.0
_MAX_SENTENCE = 300


class FolderProbe:
    """One look at a time. A look that hangs holds one thread."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._began_at: float | None = None
        """When the look began that is under way."""
        self._error: str | None = None

    def look(self) -> None:
        """Begins a look, unless one is under way. In an event loop."""
        if self._began_at is None:
            self._began_at = self._clock()
            in_own_thread(partial(_require, self._folder)).add_done_callback(self._note)

    @property
    def error(self) -> str | None:
        """What is wrong with the folder; None: nothing, as far as is known."""
        if (
            self._began_at is not None
            and (late_s := self._clock() - self._began_at) > _LATE_AFTER_S
        ):
            return one_line(f"no answer for {late_s:.0f} s: {self._folder}", _MAX_SENTENCE)
        return self._error

    def _note(self, look: "asyncio.Future[None]") -> None:
        self._began_at = None
        if not look.cancelled():
            error = look.exception()
            self._error = None if error is None else one_line(str(error), _MAX_SENTENCE)


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
    """Blocking. Raises: StorageError, if nothing in the folder can be reached."""
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 (a Path drops the dot, which asks for the permission)
    except OSError as error:
        raise StorageError(f"{error.strerror}: {folder}") from None
