"""The sequence of the design: installed? which version? -> the version whose file is served.

`resolve` answers a user who is known, `resolve_public` a request without a credential. Each
refusal is an error with its own code. Nothing here opens a file of a plugin or knows HTTP.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from gateway.caching.basis import AtHand
from gateway.database.records import PluginRecord
from gateway.errors import (
    AmbiguousVersion,
    AssetNotFound,
    AssetTypeNotAllowed,
    NotInstalled,
    NotServed,
    PluginDisabled,
    UnknownPlugin,
    VersionNotPublished,
    VersionRetired,
)
from gateway.names import AssetKey, AssetPath, Pin, Slug, Target, UserId, Version, parse_slug
from gateway.serving.lookups import Lookups
from gateway.serving.shared_versions import SharedVersion, SharedVersions

_REMEMBERED = 4096
# Anybody may send long paths, and with one wide character a path of 2 KiB is a str of 8 KiB.
_LONGEST_REMEMBERED = 200


class Resolution(NamedTuple):
    """A file that the caller may have."""

    key: AssetKey
    content_digest: bytes | None
    """The SHA-256 that the bytes must have for a pinned URL; None: the bytes may be any."""
    owned: bool
    """Whether the caller owns the plugin, and so may be told why its file is missing."""

    @property
    def slug(self) -> Slug:
        return self.key.slug


class PinnedVersion(NamedTuple):
    """A version that the caller named by a pin, and may have."""

    version: SharedVersion
    owned: bool
    """As in a Resolution."""

    @property
    def slug(self) -> Slug:
        return self.version.slug


class Resolver:
    """Decides which version's file a request gets."""

    def __init__(
        self, lookups: Lookups, shared_versions: SharedVersions, allowed_suffixes: Collection[str]
    ) -> None:
        self._lookups = lookups
        self._shared_versions = shared_versions
        self._requires_integrity = shared_versions.requires_integrity
        self._allowed_suffixes = frozenset(f".{ending}" for ending in allowed_suffixes)
        # All users ask for the same few files of the same few plugins.
        self._own_unpinned = lru_cache(_REMEMBERED)(_own_unpinned)
        self._parse_slug = lru_cache(_REMEMBERED)(parse_slug)

    def resolve(self, basis: AtHand, user: UserId, target: Target) -> Resolution:
        """The file at the user's own version, or at the pinned version if they have the plugin.

        Raises: RequestError, Pending.
        """
        self._check_type(basis, target)
        record = self._usable_record(basis, user, target.plugin)
        if target.pin is not None:
            shared = self._pinned_version(basis, record.slug, target.pin)
            return _pinned(shared, target.pin, target.asset_path, owned=True)
        if record.version is None:
            raise VersionNotPublished(owned=True, reason="the row's version is no folder name")
        if self._requires_integrity:
            self._require_integrity(basis, record.slug, record.version)
        is_short = len(target.asset_path) <= _LONGEST_REMEMBERED
        build = self._own_unpinned if is_short else _own_unpinned
        return build(record.slug, record.version, target.asset_path)

    def resolve_public(self, basis: AtHand, target: Target) -> Resolution:
        """The file that anybody may have. A database id names its owner's row; a pin is its own
        permission; a bare slug is served only if all its rows agree in the version.

        Raises: RequestError, Pending. All 404s about the plugin look the same.
        """
        self._check_type(basis, target)
        try:
            if target.pin is not None:
                shared = self._holder_of_pin(basis, target.plugin, target.pin)
                return _pinned(shared, target.pin, target.asset_path, owned=False)
            slug, version = self._public_version(basis, target.plugin)
            if self._requires_integrity:
                self._require_integrity(basis, slug, version)
        except AssetNotFound:
            raise
        except NotServed as error:
            raise UnknownPlugin(reason=error.reason) from None
        return Resolution(AssetKey(slug, version, target.asset_path), None, False)

    def resolve_pin(self, basis: AtHand, user: UserId, plugin: str, pin: Pin) -> PinnedVersion:
        """The pinned version, if the user has the plugin. Raises: RequestError, Pending."""
        record = self._usable_record(basis, user, plugin)
        return PinnedVersion(self._pinned_version(basis, record.slug, pin), owned=True)

    def resolve_public_pin(self, basis: AtHand, plugin: str, pin: Pin) -> PinnedVersion:
        """The pinned version: holding the pin is the permission. Raises: RequestError, Pending."""
        try:
            return PinnedVersion(self._holder_of_pin(basis, plugin, pin), owned=False)
        except NotServed as error:
            raise UnknownPlugin(reason=error.reason) from None

    def _check_type(self, basis: AtHand, target: Target) -> None:
        is_allowed = target.suffix in self._allowed_suffixes
        if basis.is_noted:
            outcome = "allowed" if is_allowed else "refused"
            basis.note("file type", outcome, "http.allowed_suffixes")
        if not is_allowed:
            raise AssetTypeNotAllowed(reason=f"{target.suffix or 'no suffix'} is not served")

    def _usable_record(self, basis: AtHand, user: UserId, plugin: str) -> PluginRecord:
        """The user's row, if it is enabled and passes the installation rule."""
        records, installations = self._lookups.of_user(basis, user)
        record = records.find(plugin)
        if record is not None and record.enabled and installations.allow(record.slug):
            if basis.is_noted:
                self._note_record(basis, user, record, installed=True)
            return record
        return self._refused_record(basis, user, plugin)

    def _refused_record(self, basis: AtHand, user: UserId, plugin: str) -> PluginRecord:
        """Asks the sources again, unless the caches' "no" is younger than `negative_ttl`.

        Returns the row, or raises the reason why it is not served.
        """
        record = self._lookups.find_record(basis, user, plugin)
        slug = record.slug if record else plugin
        installed = self._lookups.is_installed(basis, user, slug)
        if basis.is_noted:
            self._note_record(basis, user, record, installed=installed)
        if not installed:
            raise NotInstalled(owned=record is not None)
        if record is None:
            raise UnknownPlugin(reason=f"no row of {user} for {plugin}")
        if not record.enabled:
            raise PluginDisabled(owned=True)
        return record

    def _note_record(
        self, basis: AtHand, user: UserId, record: PluginRecord | None, *, installed: bool
    ) -> None:
        basis.note("installed", "yes" if installed else "no", self._lookups.source_of(user))
        if record is not None:
            state = "enabled" if record.enabled else "disabled"
            basis.note("row", f"{record.slug} {record.version}, {state}", "table plugin")
        elif installed:
            basis.note("row", "none", "table plugin")

    def _pinned_version(self, basis: AtHand, slug: Slug, pin: Pin) -> SharedVersion:
        """Raises: VersionRetired, if the build of the folder is not the pinned one."""
        shared = self._shared_versions.get(basis, slug, pin.version)
        is_current = shared is not None and shared.state.build == pin.build
        if basis.is_noted:
            folder = f"shared/{slug}/v{pin.version}"
            basis.note("pin", "on disk" if is_current else "retired", folder)
        if shared is None or not is_current:
            on_disk = shared.state.build if shared else "no folder"
            raise VersionRetired(reason=f"{slug} {pin}: on disk is {on_disk}")
        if self._requires_integrity:
            self._refuse_unrecorded(basis, shared)
        return shared

    def _require_integrity(self, basis: AtHand, slug: Slug, version: Version) -> None:
        """A version without a folder passes: it is refused because it has no files.

        Raises: VersionNotPublished, if the integrity of the version is not known; Pending.
        """
        shared = self._shared_versions.get(basis, slug, version)
        if shared is not None:
            self._refuse_unrecorded(basis, shared)

    def _refuse_unrecorded(self, basis: AtHand, shared: SharedVersion) -> None:
        """Raises: VersionNotPublished."""
        problem = shared.integrity.problem
        if basis.is_noted:
            basis.note("integrity", problem or "known", "http.require_integrity")
        if problem:
            reason = f"http.require_integrity: {shared.slug} {shared.version}: {problem}"
            raise VersionNotPublished(owned=True, reason=reason)

    def _holder_of_pin(self, basis: AtHand, plugin: str, pin: Pin) -> SharedVersion:
        """The version of the plugin that has the pinned build.

        Usually this takes no query: `plugin` is a slug, or a database id that ends in one.
        """
        for text in (plugin.partition("_")[2], plugin):
            try:
                return self._pinned_version(basis, self._parse_slug(text), pin)
            except (ValueError, VersionRetired):
                continue
        owner = self._lookups.find_owner(basis, plugin)
        record = self._lookups.find_record(basis, owner, plugin) if owner else None
        if record is None:
            raise VersionRetired(reason=f"no row {plugin}, and no folder holds {pin}")
        return self._pinned_version(basis, record.slug, pin)

    def _public_version(self, basis: AtHand, plugin: str) -> tuple[Slug, Version]:
        owner = self._lookups.find_owner(basis, plugin)
        if owner is not None:
            basis.identified(owner)
            if basis.is_noted:
                basis.note("owner", owner, "table plugin")
            record = self._usable_record(basis, owner, plugin)
            if record.version is None:
                raise VersionNotPublished(reason="the row's version is no folder name")
            return record.slug, record.version
        versions = self._lookups.find_held_versions(basis, plugin)
        basis.note("versions of the slug", ", ".join(sorted(versions)) or "none", "table plugin")
        if len(versions) > 1:
            raise AmbiguousVersion(reason=f"{plugin} is held at {sorted(versions)}")
        try:
            (version,) = versions
            return parse_slug(plugin), version
        except ValueError:
            raise UnknownPlugin(reason=f"no enabled row of {plugin}") from None


def _own_unpinned(slug: Slug, version: Version, asset_path: AssetPath) -> Resolution:
    return Resolution(AssetKey(slug, version, asset_path), content_digest=None, owned=True)


def _pinned(shared: SharedVersion, pin: Pin, asset_path: AssetPath, *, owned: bool) -> Resolution:
    digest = shared.state.digests.get(asset_path)
    if digest is None:
        raise AssetNotFound(owned=owned, reason=f"the build {pin} has no {asset_path}")
    return Resolution(AssetKey(shared.slug, pin.version, asset_path), digest, owned)
