"""Notes that say since when no row refers to a version, and when it was last requested.

No table holds this: the application deletes and rewrites its rows as it likes. A note is a small
file, and its modification time is the moment. Code that sees a reference disappear writes the note
`unreferred`, code that sees a reference removes it, and a request writes the note `used`.

If cache/ is deleted the clocks start anew: a version is kept longer, never shorter. Blocking.
"""

import logging
import os
import time
from pathlib import Path

from gateway.disk.cache_folder import CacheFolder
from gateway.disk.files import ITSELF
from gateway.names import Slug, Version

logger = logging.getLogger(__name__)

IN_USE_S = 15 * 60.0
"""An open page requests its next chunk within this time, or it is told to reload."""
# A request costs a stat, and for each version one write in this time.
_USE_NOTED_EVERY_S = 60.0


class Retention:
    """The notes below one `plugins/cache/`; moments are seconds since the epoch."""

    def __init__(self, cache: CacheFolder) -> None:
        self._note = cache.version_note

    def note_reference(self, slug: Slug, version: Version) -> None:
        """A row refers to the version."""
        _remove(self._note(slug, version, "unreferred"))

    def note_loss(self, slug: Slug, version: Version, now: float) -> None:
        """No row refers to the version from `now` on."""
        _touch(self._note(slug, version, "unreferred"), now)

    def note_use(self, slug: Slug, version: Version) -> None:
        """A file of the version is requested."""
        noted, now = self.last_use(slug, version), time.time()
        if noted is None or now - noted > _USE_NOTED_EVERY_S:
            _touch(self._note(slug, version, "used"), now)

    def unreferred_since(self, slug: Slug, version: Version) -> float | None:
        """The moment; None if a row refers to the version, or nobody has seen that none does."""
        return _moment(self._note(slug, version, "unreferred"))

    def last_use(self, slug: Slug, version: Version) -> float | None:
        return _moment(self._note(slug, version, "used"))

    def forget(self, slug: Slug, version: Version) -> None:
        """The version was removed, or published again."""
        for kind in ("unreferred", "used"):
            _remove(self._note(slug, version, kind))


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
