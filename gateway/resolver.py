"""The sequence of the design: installed? which version? -> the version whose file is served.

One function for each way of asking: by a known user, or by nobody (the public route). Each
refusal is an error with its own code; nothing here opens a file of a plugin or knows HTTP.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from gateway.basis import Basis
from gateway.builds import FolderState
from gateway.database import PluginRecord
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
from gateway.lookups import Lookups
from gateway.names import (
    AssetKey,
    AssetPath,
    Pin,
    Slug,
    Target,
    UserId,
    Version,
    parse_slug,
    suffix,
)
from gateway.shared_versions import SharedVersions

_REMEMBERED = 4096
# Anybody may ask for long paths; with one wide character a path of 2 KiB is a str of 8 KiB.
_LONGEST_REMEMBERED = 200


class Resolution(NamedTuple):
    """A file that this caller may have."""

    key: AssetKey
    content_digest: bytes | None
    """SHA-256 that the bytes must have, for a pinned URL; None: whatever is there now."""
    owned: bool
    """Whether the caller owns the plugin, and so may be told why its file is missing."""


class Resolver:
    """Decides which version's file a request gets."""

    def __init__(
        self, lookups: Lookups, versions: SharedVersions, allowed_suffixes: Collection[str]
    ) -> None:
        self._lookups = lookups
        self._versions = versions
        self._allowed_suffixes = frozenset(f".{ending}" for ending in allowed_suffixes)
        # The same few files are asked for by all users.
        self._allows = lru_cache(_REMEMBERED)(self._has_allowed_suffix)
        self._unpinned = lru_cache(_REMEMBERED)(_own_unpinned)

    async def resolve(self, user: UserId, target: Target, basis: Basis) -> Resolution:
        """What `user` gets: his own version, or the pinned one if he has the plugin.

        Raises: RequestError.
        """
        self._check_type(target.asset_path, basis)
        record = None
        if not basis.is_noted:  # nearly always, and then it takes no step that could be noted
            record = self._lookups.find_usable(user, target.plugin, basis)
        if record is None:
            record = await self._usable_record(user, target.plugin, basis)
        if target.pin is not None:
            state = await self._pinned_state(record.slug, target.pin, basis)
            return _pinned(record.slug, target.pin, target.asset_path, state, owned=True)
        if record.version is None:
            raise VersionNotPublished(owned=True, reason="the row's version is no folder name")
        is_short = len(target.asset_path) <= _LONGEST_REMEMBERED
        build = self._unpinned if is_short else _own_unpinned
        return build(record.slug, record.version, target.asset_path)

    async def resolve_public(self, target: Target, basis: Basis) -> Resolution:
        """What anyone gets: a database id names its owner's row, a pin is its own permission,
        a bare slug is served only where all its rows agree.

        Raises: RequestError. All 404s about the plugin look the same.
        """
        self._check_type(target.asset_path, basis)
        try:
            if target.pin is not None:
                slug, state = await self._holder_of_pin(target.plugin, target.pin, basis)
                return _pinned(slug, target.pin, target.asset_path, state, owned=False)
            slug, version = await self._public_version(target.plugin, basis)
        except AssetNotFound:
            raise
        except NotServed as error:
            raise UnknownPlugin(reason=error.reason) from None
        key = AssetKey(slug, version, target.asset_path)
        return Resolution(key, content_digest=None, owned=False)

    def _check_type(self, asset_path: AssetPath, basis: Basis) -> None:
        is_short = len(asset_path) <= _LONGEST_REMEMBERED
        allowed = self._allows(asset_path) if is_short else self._has_allowed_suffix(asset_path)
        basis.note("file type", "allowed" if allowed else "refused", "http.allowed_suffixes")
        if not allowed:
            raise AssetTypeNotAllowed(reason=f"{suffix(asset_path) or 'no suffix'} is not served")

    def _has_allowed_suffix(self, asset_path: AssetPath) -> bool:
        return suffix(asset_path) in self._allowed_suffixes

    async def _usable_record(self, user: UserId, plugin: str, basis: Basis) -> PluginRecord:
        """The user's row, having passed the installation rule and being enabled."""
        self._lookups.begin_user(user, basis)
        record = await self._lookups.find_record(user, plugin, basis)
        installed = await self._lookups.is_installed(user, record.slug if record else plugin, basis)
        basis.note("installed", "yes" if installed else "no", f"users/user_{user}")
        if not installed:
            raise NotInstalled(owned=record is not None)
        if record is None:
            basis.note("row", "none", "table plugin")
            raise UnknownPlugin(reason=f"no row of {user} for {plugin}")
        basis.note(
            "row",
            f"{record.slug} {record.version}, {'enabled' if record.enabled else 'disabled'}",
            "table plugin",
        )
        if not record.enabled:
            raise PluginDisabled(owned=True)
        return record

    async def _pinned_state(self, slug: Slug, pin: Pin, basis: Basis) -> FolderState:
        """The folder's state, which is the pinned one."""
        shared = await self._versions.get(slug, pin.version, basis)
        state = shared.state if shared else None
        current = state is not None and state.build == pin.build
        basis.note("pin", "on disk" if current else "retired", f"shared/{slug}/v{pin.version}")
        if state is None or not current:
            there = state.build if state else "no folder"
            raise VersionRetired(reason=f"{slug} {pin}: on disk is {there}")
        return state

    async def _holder_of_pin(self, plugin: str, pin: Pin, basis: Basis) -> tuple[Slug, FolderState]:
        """The plugin whose version is exactly the pinned build.

        Usually without a query: `plugin` is a slug, or a database id that ends in one.
        """
        for text in (plugin, plugin.partition("_")[2]):
            try:
                slug = parse_slug(text)
                return slug, await self._pinned_state(slug, pin, basis)
            except (ValueError, VersionRetired):
                continue
        owner = await self._lookups.find_owner(plugin, basis)
        record = await self._lookups.find_record(owner, plugin, basis) if owner else None
        if record is None:
            raise VersionRetired(reason=f"no row {plugin}, and no folder holds {pin}")
        return record.slug, await self._pinned_state(record.slug, pin, basis)

    async def _public_version(self, plugin: str, basis: Basis) -> tuple[Slug, Version]:
        owner = await self._lookups.find_owner(plugin, basis)
        if owner is not None:
            basis.note("owner", owner, "table plugin")
            record = await self._usable_record(owner, plugin, basis)
            if record.version is None:
                raise VersionNotPublished(reason="the row's version is no folder name")
            return record.slug, record.version
        versions = await self._lookups.find_held_versions(plugin, basis)
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


def _pinned(
    slug: Slug, pin: Pin, asset_path: AssetPath, state: FolderState, *, owned: bool
) -> Resolution:
    digest = state.digests.get(asset_path)
    if digest is None:
        raise AssetNotFound(owned=owned, reason=f"the build {pin} has no {asset_path}")
    return Resolution(AssetKey(slug, pin.version, asset_path), digest, owned)
