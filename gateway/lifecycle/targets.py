"""The version that a command moves a user to: published, and with metadata that can be read."""

from dataclasses import dataclass

from gateway.disk.metadata import DEFAULT_ENTRY, Metadata, read_metadata
from gateway.disk.storage import PluginStorage
from gateway.errors import PublishingError, SourceUnavailable, UnusableVersion, VersionNotPublished
from gateway.names import Slug, Version, newest_version


@dataclass(frozen=True, slots=True)
class Target:
    version: Version
    metadata: Metadata


def read_target(
    storage: PluginStorage, slug: Slug, version: Version | None, *, is_new: bool
) -> Target:
    """`version`, or the newest published one. Blocking.

    `is_new`: for a row that does not exist yet, defaults stand for what the metadata lacks. In a
    row that exists, such columns stay as they are.

    Raises: VersionNotPublished, UnusableVersion; SourceUnavailable, if the disk fails.
    """
    try:
        version = version or newest_version(storage.shared.versions_of(slug))
        if version is None:
            raise VersionNotPublished(
                "No version of this plugin is published",
                reason=f"no version of {slug} is published",
            )
        return Target(version, _read_metadata(storage, slug, version, is_new=is_new))
    except PublishingError as error:
        raise UnusableVersion(reason=f"{slug} {version}: {error}") from None
    except OSError as error:
        raise SourceUnavailable(reason=f"{slug}: cannot be read: {error}") from error


def _read_metadata(
    storage: PluginStorage, slug: Slug, version: Version, *, is_new: bool
) -> Metadata:
    folder = storage.construct_shared_path(slug, version)
    if not storage.shared.is_published(slug, version):
        raise VersionNotPublished(
            "This version of the plugin is not published",
            reason=f"{slug} {version} is not published: no folder {folder}",
        )
    metadata = read_metadata(folder, npm_words=is_new)
    given = {key: value for key, value in metadata.items() if value is not None}
    if not is_new:
        return given
    defaults = {"scope": slug, "bundle_method": "webpack"}
    if (folder / DEFAULT_ENTRY).is_file():
        defaults["bundle_location"] = DEFAULT_ENTRY
    return {**defaults, **given}
