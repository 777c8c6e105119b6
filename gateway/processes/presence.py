"""Says where this gateway listens, for commands that look for it (`cache show`, `proxy-config`)."""

import logging
from pathlib import Path

from gateway.disk.running import new_record, write_record
from gateway.disk.storage import PluginStorage

logger = logging.getLogger(__name__)


class Presence:
    """A file in `plugins/cache/running/`, as long as the supervisor runs.

    The supervisor writes it when it reads the settings too: at any other moment a disk that hangs
    must not stop it.
    """

    def __init__(self, plugins: Path, address: str) -> None:
        """`plugins`: the storage root. `address`: as in RunningRecord."""
        self._cache = PluginStorage(plugins).cache
        self._record = new_record(address)
        self._file: Path | None = None

    @property
    def secret(self) -> str:
        return self._record.secret

    def show(self) -> None:
        """Writes the file anew. Logs instead of raising: only some commands need it."""
        try:
            self._file = write_record(self._cache, self._record)
        except OSError as error:
            logger.warning("commands cannot find this gateway: %s", error)

    def remove(self) -> None:
        if self._file is None:
            return
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the file of this gateway remains: %s", error)
