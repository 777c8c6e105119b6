"""`Invalidation`: the one place where changes are applied to the caches of this process.

Every change ends here: one that this process announces, and all that the sources tell of. Nothing
else drops what is cached because of a change.

One thing needs no change: a request that opens a file and finds other bytes than the cache says
purges that entry (`purge_wrong` of `AssetStore` and `SharedVersions`) and looks again. It purges
this entry alone: any request for the pin of a build that was replaced finds other bytes, and must
not empty the caches for everybody. It tells no other process: each compares for itself.
"""

from gateway.changes import Change
from gateway.identity.chain import IdentityChain
from gateway.names import Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.serving.differences import DifferenceFinder
from gateway.serving.lookups import Lookups
from gateway.serving.manifest_cache import ManifestCache
from gateway.serving.shared_versions import SharedVersions


class Invalidation:
    """Purges or expires whatever a change concerns."""

    def __init__(
        self,
        lookups: Lookups,
        manifests: ManifestCache,
        versions: SharedVersions,
        assets: AssetStore,
        differences: DifferenceFinder | None,
        identity: IdentityChain,
    ) -> None:
        self._lookups = lookups
        self._manifests = manifests
        self._versions = versions
        self._assets = assets
        self._differences = differences
        self._identity = identity
        self.applied = 0
        """How many changes were applied."""

    def apply(self, change: Change) -> None:
        """Requests after this call are answered from what the sources say after it. After a soft
        change, older values stand in while a source fails."""
        self.applied += 1
        if change.read_since is not None:
            self._lookups.expire_read_since(change.read_since)
            if change.of_manifests:
                self._manifests.cache.expire_all()
            return
        if change.user is not None:
            self._manifests.forget_user(change.user, hard=change.hard)
            self._lookups.forget_user(change.user, hard=change.hard)
        if change.slug is not None and (change.user is None or change.version is not None):
            self._purge_files(change.slug, change.version)
        if change.user is None and change.slug is None:
            self._apply_to_everything(hard=change.hard)

    def _purge_files(self, slug: Slug, version: Version | None) -> None:
        """Purges the files of one version, or of all versions of a plugin."""
        self._versions.purge_files(slug, version)
        self._assets.purge_files(slug, version)
        if self._differences is not None:
            self._differences.purge_files(slug)
        self._lookups.published.expire_all()

    def _apply_to_everything(self, *, hard: bool) -> None:
        """Soft: lookups and manifests only. Files are looked at again by themselves, every
        `cache.assets.revalidate` seconds."""
        if hard:
            self._manifests.cache.purge_all()
            for holder in (self._lookups, self._versions, self._assets, self._identity):
                holder.purge_all()
            if self._differences is not None:
                self._differences.purge_all()
        else:
            self._manifests.cache.expire_all()
            self._lookups.expire_all()
