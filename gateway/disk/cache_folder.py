"""The layout of `plugins/cache/`, the runtime state of the gateway. No other module knows it.

    locks/user_<id>.lock                    one change at a time of what a user has
    locks/publish_<slug>_v<version>.lock    one publisher or remover of a version
    staging/ staging.lock                   versions that are being published
    trash/ gc.lock                          versions that are being removed
    versions/<slug>/v<version>.<note>       retention: when a version was last needed
    encoded/<digest>.<coding>               encoded variants
    pinned/ pinned.lock                     copies of builds for a proxy
    changes.log                             what the processes of this host tell each other

The folder may be deleted at any time: the gateway makes everything again.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.names import Slug, UserId, Version, parse_user_id


@dataclass(frozen=True, slots=True)
class CacheFolder:
    path: Path

    def user_lock(self, user: UserId) -> Path:
        """Raises: ValueError, if that is no user id: the path would lead elsewhere."""
        return self.path / "locks" / f"user_{parse_user_id(user)}.lock"

    def publisher_lock(self, slug: Slug, version: Version) -> Path:
        return self.path / "locks" / f"publish_{slug}_v{version}.lock"

    @property
    def staging(self) -> Path:
        return self.path / "staging"

    @property
    def staging_lock(self) -> Path:
        return self.path / "staging.lock"

    @property
    def trash(self) -> Path:
        return self.path / "trash"

    @property
    def collector_lock(self) -> Path:
        return self.path / "gc.lock"

    def version_note(self, slug: Slug, version: Version, kind: str) -> Path:
        return self.path / "versions" / slug / f"v{version}.{kind}"

    @property
    def encoded(self) -> Path:
        return self.path / "encoded"

    @property
    def pinned_trees(self) -> Path:
        return self.path / "pinned"

    @property
    def pinned_trees_lock(self) -> Path:
        return self.path / "pinned.lock"

    @property
    def change_log(self) -> Path:
        return self.path / "changes.log"
