"""One plugin's entry in a user's installed_plugins.json, during one command.

Beside the facts of the installation the metadata keeps what a rollback needs:
`previous_versions`, and `kept_config_fields`, the user's configuration of modules that the
present version does not have.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.disk.users_folder import Document, InstallationMetadata, LockedFile, metadata_of
from gateway.errors import StorageError
from gateway.lifecycle.holdings import Configurations, Holding
from gateway.names import Slug, Version, parse_or_none, parse_version

logger = logging.getLogger(__name__)

_PREVIOUS, _KEPT = "previous_versions", "kept_config_fields"
_MAX_PREVIOUS = 10


class Entry:
    """The methods that read or write the disk block. They raise StorageError."""

    def __init__(
        self,
        file: LockedFile,
        document: Document | None,
        slug: Slug,
        *,
        has_row: bool,
        missing_is_allowed: bool,
    ) -> None:
        """`document`: the content of the file; None if there is no file."""
        self._file = file
        self._slug = slug
        self._undo: Callable[[], None] = lambda: None
        self._is_left_missing = document is None and missing_is_allowed
        self.is_listed = document is not None and slug in document
        self.metadata: InstallationMetadata = metadata_of((document or {}).get(slug))
        if not has_row:  # a killed uninstallation left the entry: its past is over
            self.metadata = {
                name: value
                for name, value in self.metadata.items()
                if name not in (_PREVIOUS, _KEPT)
            }

    @property
    def grants(self) -> bool:
        """Whether the user has the plugin as far as the JSON decides."""
        return self.is_listed or self._is_left_missing

    def previous_versions(self, current: str) -> list[Version]:
        """Versions that the user had before, the last one at the end."""
        stated = self.metadata.get(_PREVIOUS)
        texts = stated if isinstance(stated, list) else []
        versions = (parse_or_none(parse_version, text) for text in texts)
        previous = [version for version in versions if version is not None]
        # The list ends in the current version after a rollback, and after an update that was
        # killed before its commit.
        while previous and previous[-1] == current:
            previous.pop()
        return previous

    @property
    def kept_configurations(self) -> Configurations:
        kept = self.metadata.get(_KEPT)
        items = kept.items() if isinstance(kept, dict) else ()
        return {name: text for name, text in items if isinstance(text, str)}

    def note_move(self, holding: Holding, removed: Configurations) -> None:
        """The rows leave `holding`; `removed` is the configuration of modules that they lose."""
        previous = [*self.previous_versions(holding.version), holding.version]
        kept = {
            name: text
            for name, text in self.kept_configurations.items()
            if name not in holding.modules
        } | removed
        self.metadata = {**self.metadata, _PREVIOUS: previous[-_MAX_PREVIOUS:]}
        if kept or _KEPT in self.metadata:
            self.metadata[_KEPT] = kept

    def note_rollback(self, previous: list[Version], version: Version) -> None:
        """`previous` is over from `version` on.

        The list may end in the current version: `previous_versions` drops that. So it is right
        before the commit and after it.
        """
        after = previous[::-1].index(version) if version in previous else 0
        self.metadata = {**self.metadata, _PREVIOUS: previous[: len(previous) - after]}

    def write_new(self, installation_metadata: Mapping[str, Any]) -> None:
        """Writes the entry of an installation. The last step before the commit."""
        self._write(self._file.register, {**self.metadata, **installation_metadata})

    def write(self) -> None:
        """Writes what was noted. The last step before the commit."""
        self._write(self._file.set_metadata, self.metadata)

    def _write(
        self, write: Callable[[Slug, InstallationMetadata], None], metadata: InstallationMetadata
    ) -> None:
        # A new file with a single plugin would deny all others of the user.
        if not self._is_left_missing:
            self._undo = self._file.restorer()
            write(self._slug, metadata)

    def undo(self) -> None:
        """Brings the file back as it was, if the rows were not committed. Logs a failure."""
        try:
            self._undo()
        except (OSError, StorageError) as error:
            logger.warning("the JSON of %s was not restored: %s", self._file.user, error)

    def remove(self) -> None:
        """The first step after the commit."""
        if self.is_listed:
            self._file.unregister(self._slug)
