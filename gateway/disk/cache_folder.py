"""The layout of `plugins/cache/`, the runtime state of the gateway. No other module knows it.

The folder may be deleted at any time: the gateway makes everything again.
"""

from pathlib import Path

from gateway.names import Slug, UserId, Version, parse_user_id


class CacheFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.staging = path / "staging"
        """Versions that are being published."""
        self.staging_lock = path / "staging.lock"
        self.trash = path / "trash"
        """Versions that are being removed."""
        self.collector_lock = path / "gc.lock"
        self.encoded = path / "encoded"
        """Encoded variants: `<digest>.<coding>`."""
        self.differences = path / "differences"
        """Files coded with older files: `<digest>.<digest of the older file>.dcz`."""
        self.differences_lock = path / "differences.lock"
        """Held by who adds differences to pinned trees."""
        self.pinned_trees = path / "pinned"
        """Copies of builds for a proxy."""
        self.pinned_trees_lock = path / "pinned.lock"
        self.change_log = path / "changes.log"
        """What the processes of this host tell each other."""
        self.running = path / "running"
        """Where running gateways listen: `<pid>_<random>.json`."""

    def user_lock(self, user: UserId) -> Path:
        """Excludes other changes of what the user has.

        Raises: ValueError, if that is no user id: the path would lead elsewhere.
        """
        return self.path / "locks" / f"user_{parse_user_id(user)}.lock"

    def publisher_lock(self, slug: Slug, version: Version) -> Path:
        """Excludes others who publish or remove the version."""
        return self.path / "locks" / f"publish_{slug}_v{version}.lock"

    def version_note(self, slug: Slug, version: Version, kind: str) -> Path:
        """A file whose time says when the version was last needed (retention.py)."""
        return self.path / "versions" / slug / f"v{version}.{kind}"
