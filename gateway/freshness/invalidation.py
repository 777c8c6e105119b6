"""The one place that every change ends in: `Invalidation` drops what the caches hold of it."""

from gateway.changes import Change
from gateway.identity import IdentityChain
from gateway.names import Slug, Version
from gateway.serving.asset_store import AssetStore
from gateway.serving.catalogue import Catalogue
from gateway.serving.lookups import Lookups
from gateway.serving.shared_versions import SharedVersions


class Invalidation:
    """Applies changes to everything that remembers."""

    def __init__(
        self,
        lookups: Lookups,
        catalogue: Catalogue,
        versions: SharedVersions,
        assets: AssetStore,
        identity: IdentityChain,
    ) -> None:
        self._lookups = lookups
        self._catalogue = catalogue
        self._versions = versions
        self._assets = assets
        self._identity = identity
        self.applied = 0

    def apply(self, change: Change) -> None:
        """The next request after this call sees the truth, not what was known before."""
        self.applied += 1
        if change.read_since is not None:
            self._catalogue.manifests.expire_all()
            self._lookups.expire_read_since(change.read_since)
            return
        if change.user is not None:
            self._catalogue.forget_user(change.user, hard=change.hard)
            self._lookups.forget_user(change.user, hard=change.hard)
        if change.slug is not None and (change.user is None or change.version is not None):
            self._files(change.slug, change.version)
        if change.user is None and change.slug is None:
            self._everything(hard=change.hard)

    def _files(self, slug: Slug, version: Version | None) -> None:
        """The files of one version, or of all versions of a plugin."""
        self._versions.purge_files(slug, version)
        self._assets.purge_files(slug, version)
        self._lookups.published.expire_all()

    def _everything(self, *, hard: bool) -> None:
        """Soft: the lookups. Files are looked at again by themselves, every two seconds."""
        if hard:
            self._catalogue.manifests.purge_all()
            for holder in (self._lookups, self._versions, self._assets, self._identity):
                holder.purge_all()
        else:
            self._catalogue.manifests.expire_all()
            self._lookups.expire_all()
