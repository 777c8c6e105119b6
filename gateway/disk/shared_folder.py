"""`plugins/shared/`: the files of every published version, for all users. Blocking.

`shared` itself may be a link or a mount. No link below it is followed.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import FileIO
from pathlib import Path

from gateway.disk.files import is_real_folder, names_no_file, open_below
from gateway.errors import AssetNotFound, VersionNotPublished
from gateway.names import AssetPath, Slug, Version, parse_or_none, parse_slug, parse_version

# Joining a path costs ten times as much as this cache; an entry takes about 300 bytes.
_REMEMBERED_PATHS = 4096


@dataclass(frozen=True, slots=True)
class OpenedAsset:
    """A regular file inside a version's folder, and its facts from the opened file."""

    file: FileIO
    path: Path
    stat: os.stat_result


class SharedFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.version_folder: Callable[[Slug, Version], Path] = lru_cache(_REMEMBERED_PATHS)(
            self._version_folder
        )
        """The folder of a version. Raises: ValueError, if slug and version can name no folder."""

    def _version_folder(self, slug: Slug, version: Version) -> Path:
        return self.path / parse_slug(slug) / f"v{parse_version(version)}"

    def require(self) -> None:
        """Raises: FileNotFoundError, if the folder itself is missing.

        Then the disk has failed. A missing version is something else.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the folder of all versions is gone", self.path)

    def names(self) -> list[str]:
        """Names in the folder, in no order; not all of them are slugs. Raises: OSError."""
        return os.listdir(self.path)  # noqa: PTH208 (names, not Paths)

    def versions(self) -> Iterator[tuple[Slug, Version]]:
        """Every version that has a folder, sorted by slug and version. Raises: OSError."""
        self.require()
        for path in sorted(self.path.iterdir()):
            if (slug := parse_or_none(parse_slug, path.name)) is not None:
                yield from ((slug, version) for version in sorted(self.versions_of(slug)))

    def versions_of(self, slug: Slug) -> list[Version]:
        """In no order; folders whose names are no version's are skipped. Raises: OSError."""
        folder = self.path / parse_slug(slug)
        if not is_real_folder(folder):
            self.require()
            return []
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        versions = (
            parse_or_none(parse_version, name[1:]) for name in names if name.startswith("v")
        )
        return [version for version in versions if version is not None]

    def is_published(self, slug: Slug, version: Version) -> bool:
        """Whether the version has a folder. Raises: OSError."""
        folder = self.version_folder(slug, version)
        return is_real_folder(folder.parent) and is_real_folder(folder)

    def open_asset(self, slug: Slug, version: Version, asset_path: AssetPath) -> OpenedAsset:
        """The file, opened without following a link at any step below the folder.

        Raises: VersionNotPublished, AssetNotFound; OSError, if the disk fails.
        """
        folder = self.version_folder(slug, version)
        try:
            descriptor = open_below(self.path, f"{slug}/v{version}/{asset_path}")
        except OSError as error:
            if not names_no_file(error) and not isinstance(error, PermissionError):
                raise
            if not self.is_published(slug, version):
                self.require()
                raise VersionNotPublished(reason=f"no folder {folder}") from None
            # The disk has failed if the folder may not be read, not if one file may not.
            if isinstance(error, PermissionError) and not os.access(folder, os.R_OK | os.X_OK):
                raise
            reason = f"no file {asset_path} in {folder}: {error.strerror}"
            raise AssetNotFound(reason=reason) from None
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            raise AssetNotFound(reason=f"{asset_path} in {folder} is no regular file")
        return OpenedAsset(FileIO(descriptor), folder / asset_path, facts)
