"""What may have changed, and the one place that every change ends in.

Whoever notices one, this worker, another, another program or an operator, says so with a
`Change`; nobody drops a cache entry himself, so none can be forgotten.
"""

from dataclasses import dataclass

import orjson

from gateway.assets import AssetStore
from gateway.catalogue import Catalogue
from gateway.identity import IdentityChain
from gateway.lookups import Lookups
from gateway.names import Slug, UserId, Version, parse_slug, parse_user_id, parse_version
from gateway.shared_versions import SharedVersions


@dataclass(frozen=True, slots=True)
class Change:
    """Something about a user, about a plugin's files, or about anything at all."""

    user: UserId | None = None
    slug: Slug | None = None
    version: Version | None = None
    hard: bool = True
    """Hard: what was known is forgotten. Soft: it is asked for again at its next use, and
    stands in while the source fails."""
    read_since: float | None = None
    """All that lookups hold is right, except for what they read of the database since this moment
    of the monotonic clock and what was not confirmed. Answers made of whole rows may be wrong."""

    def encode(self) -> bytes:
        """Compact JSON, for another process. Its clock is another one, so `read_since` is left
        out: to it, anything may have changed."""
        return orjson.dumps([self.user, self.slug, self.version, self.hard])

    @classmethod
    def decode(cls, text: bytes) -> "Change":
        """Raises: ValueError, if `text` was not made by `encode`."""
        values = orjson.loads(text)
        if not isinstance(values, list) or len(values) != 4:
            raise ValueError(f"not a change: {text!r}")
        user, slug, version, hard = values
        return cls(
            None if user is None else parse_user_id(user),
            None if slug is None else parse_slug(slug),
            None if version is None else parse_version(version),
            bool(hard),
        )


ANYTHING = Change(hard=False)
"""A source cannot say what changed, or was not heard for a while."""


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
