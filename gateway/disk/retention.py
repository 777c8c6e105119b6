"""Since when no row refers to a version, and when it was last asked for.

No table tells: the application deletes and rewrites its rows as it likes. So whoever sees a
reference go, or a use, notes it, as the modification time of a small file; whoever sees a
reference removes the note.

    plugins/cache/versions/<slug>/v<version>.unreferred
    plugins/cache/versions/<slug>/v<version>.used

Where cache/ was deleted the clocks start anew: a version is kept longer, never shorter.
Blocking.
"""

import logging
import os
import time
from pathlib import Path

from gateway.disk.cache_folder import CacheFolder
from gateway.disk.reading import ITSELF
from gateway.names import Slug, Version

logger = logging.getLogger(__name__)

IN_USE_S = 15 * 60.0
"""A page that is open asks for its next chunk within this, or it will be told to reload."""
# A use is noted at most so often: one stat, and a write in a minute, for each version.
_USE_NOTED_EVERY_S = 60.0


class Retention:
    """The notes below one `plugins/cache/`; moments are seconds since the epoch."""

    def __init__(self, cache: CacheFolder) -> None:
        self._cache = cache

    def note_reference(self, slug: Slug, version: Version) -> None:
        """A row refers to the version."""
        _remove(self._note(slug, version, "unreferred"))

    def note_loss(self, slug: Slug, version: Version, now: float) -> None:
        """A row did until now, or none is seen for the first time."""
        _touch(self._note(slug, version, "unreferred"), now)

    def note_use(self, slug: Slug, version: Version) -> None:
        """Somebody asks for the version's files."""
        noted, now = self.last_use(slug, version), time.time()
        if noted is None or now - noted > _USE_NOTED_EVERY_S:
            _touch(self._note(slug, version, "used"), now)

    def unreferred_since(self, slug: Slug, version: Version) -> float | None:
        """None: not known to be without a reference."""
        return _moment(self._note(slug, version, "unreferred"))

    def last_use(self, slug: Slug, version: Version) -> float | None:
        return _moment(self._note(slug, version, "used"))

    def forget(self, slug: Slug, version: Version) -> None:
        """The version is gone, or another one of its name came."""
        for what in ("unreferred", "used"):
            _remove(self._note(slug, version, what))

    def _note(self, slug: Slug, version: Version, what: str) -> Path:
        return self._cache.version_note(slug, version, what)


def _touch(note: Path, moment: float) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | ITSELF, 0o644)
        try:
            os.utime(descriptor if os.utime in os.supports_fd else note, (moment, moment))
        finally:
            os.close(descriptor)
    except OSError as error:  # a read-only or full disk: nothing is collected there either
        logger.debug("cannot note %s: %s", note, error)


def _remove(note: Path) -> None:
    try:
        note.unlink(missing_ok=True)
    except OSError as error:
        logger.debug("cannot remove %s: %s", note, error)


def _moment(note: Path) -> float | None:
    try:
        return note.lstat().st_mtime
    except OSError:
        return None
