"""A site as a library: what an application does with plugins in its own code.

`Gateway.site` belongs to an application that serves, and `open_site` makes one for a program that
does not. Every name is checked here: callers pass on what they were sent.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread

from gateway.changes import Change
from gateway.disk.audit_log import Author
from gateway.disk.storage import PluginStorage
from gateway.freshness.announcing import Announce, announcing
from gateway.identity.signed import sign_path
from gateway.lifecycle.comparing import compare, held_versions
from gateway.lifecycle.installing import Lifecycle, Outcome, to_its_end
from gateway.lifecycle.publishing import Published, publish
from gateway.names import (
    parse_asset_path,
    parse_new_version,
    parse_slug,
    parse_source_url,
    parse_user_id,
    parse_version,
)
from gateway.settings import Settings

_APPLICATION = "application"


class Site:
    """The plugins of one site, and what its users have of them: `Gateway.site`, or `open_site`.

    `user` is a user id, `slug` a plugin's name, `version` a release without the "v" of its folder.
    `by` is who wants a change, for the audit log; it is not checked whether they may. A change is
    announced before the method returns: this process obeys at once, others within 0.1 s.

    All methods raise ValueError for what is no such name. What else they raise is a GatewayError;
    those that change what a user has raise TooManyChanges, StorageError or SourceUnavailable too.
    """

    def __init__(
        self, settings: Settings, storage: PluginStorage, lifecycle: Lifecycle, announce: Announce
    ) -> None:
        self.storage = storage
        """What is in the users' files. Its methods block, and announce nothing."""
        self._settings = settings
        self._lifecycle = lifecycle
        self._announce = announce

    @to_its_end
    async def publish(
        self,
        source: Path | str,
        *,
        slug: str | None = None,
        version: str | None = None,
        by: str = _APPLICATION,
    ) -> Published:
        """Publishes a folder, .zip or .tar.gz for all users.

        The change is announced before the files are compared with those of earlier versions, which
        takes up to a minute more.

        `slug` and `version`: needed if `plugin.json` and `package.json` in it do not say them.

        Raises: PublishingError; OSError, if the disk is full or fails. Then nothing is left.
        """
        run = partial(
            publish,
            self.storage,
            Path(source),
            slug=None if slug is None else parse_slug(slug),
            version=None if version is None else parse_new_version(version),
            max_encoded_bytes=self._settings.cache.assets.max_file_bytes,
        )
        published = await anyio.to_thread.run_sync(run)
        if published.has_new_record:
            record = published.audited(_author(by))
            await anyio.to_thread.run_sync(self.storage.audit.append, record)
            self._announce(published.change)
        held = await held_versions(self._settings, published.slug)
        await anyio.to_thread.run_sync(compare, self._settings, self.storage, published, held)
        return published

    async def install(
        self,
        user: str,
        slug: str,
        version: str | None = None,
        *,
        installation_metadata: Mapping[str, Any] | None = None,
        by: str = _APPLICATION,
    ) -> Outcome:
        """Gives a plugin to a user, at the newest published version if none is named.

        `installation_metadata`: what the user's file says of it, as JSON can hold it; `source_url`
        in it is an http or https URL.

        Raises: VersionNotPublished, UnusableVersion; AlreadyInstalled at another version.
        """
        metadata = dict(installation_metadata or {})
        if "source_url" in metadata:
            parse_source_url(metadata["source_url"])
        return await self._lifecycle.install(
            parse_user_id(user),
            parse_slug(slug),
            None if version is None else parse_new_version(version),
            metadata,
            by=_author(by),
        )

    async def update(
        self, user: str, slug: str, version: str | None = None, *, by: str = _APPLICATION
    ) -> Outcome:
        """Moves a user to another version, the newest published if none is named.

        Raises: UnknownPlugin, NotInstalled, VersionNotPublished, UnusableVersion.
        """
        release = None if version is None else parse_new_version(version)
        return await self._lifecycle.update(
            parse_user_id(user), parse_slug(slug), release, by=_author(by)
        )

    async def rollback(
        self, user: str, slug: str, version: str | None = None, *, by: str = _APPLICATION
    ) -> Outcome:
        """Moves a user back to the version they had before, or to the one named.

        Raises: NoEarlierVersion, and what `update` does.
        """
        release = None if version is None else parse_new_version(version)
        return await self._lifecycle.rollback(
            parse_user_id(user), parse_slug(slug), release, by=_author(by)
        )

    async def enable(self, user: str, slug: str, *, by: str = _APPLICATION) -> Outcome:
        """Serves a plugin to a user again.

        Raises: UnknownPlugin.
        """
        return await self._set_enabled(user, slug, by, enabled=True)

    async def disable(self, user: str, slug: str, *, by: str = _APPLICATION) -> Outcome:
        """Stops serving a plugin to a user, and keeps their configuration.

        Raises: UnknownPlugin.
        """
        return await self._set_enabled(user, slug, by, enabled=False)

    async def uninstall(self, user: str, slug: str, *, by: str = _APPLICATION) -> Outcome:
        """Takes a plugin from a user, and deletes their configuration of it.

        Raises: NotInstalled.
        """
        return await self._lifecycle.uninstall(
            parse_user_id(user), parse_slug(slug), by=_author(by)
        )

    async def announce(
        self, *, user: str | None = None, slug: str | None = None, version: str | None = None
    ) -> None:
        """Tells all workers that the application changed rows or files itself. Call it after the
        commit.

        `user`: the rows or the file of this user. `slug`: the files of this plugin, of all its
        versions or of `version`.

        Raises: ValueError, if neither `user` nor `slug` is named.
        """
        if user is None and slug is None:
            raise ValueError("expected a user or a slug: what was changed")
        if version is not None and slug is None:
            raise ValueError("expected a slug beside the version")
        if user is not None:
            self._announce(Change(user=parse_user_id(user)))
        if slug is not None:
            release = None if version is None else parse_version(version)
            self._announce(Change(slug=parse_slug(slug), version=release))

    def sign(self, user: str, slug: str, path: str = "", *, ttl_s: int | None = None) -> str:
        """The path of a signed URL: who has it gets the files of the plugin at the user's version,
        without a credential.

        `path`: a file, such as `dist/remoteEntry.js`; without it the result ends in "/", and files
        come after it. `ttl_s`: seconds; by default `identity.signed.max_ttl`. The prefix of a mount
        is not in the path.

        Raises: ConfigurationError, without `identity.signed.secret`; InvalidRequest, if `ttl_s` is
            not from 1 to `identity.signed.max_ttl`; AssetNotFound, AssetTypeNotAllowed, if `path`
            can name no file.
        """
        begin = sign_path(self._settings, parse_user_id(user), parse_slug(slug), ttl_s, time.time())
        return begin + (quote(parse_asset_path(path)) if path else "")

    async def _set_enabled(self, user: str, slug: str, by: str, *, enabled: bool) -> Outcome:
        return await self._lifecycle.set_enabled(
            parse_user_id(user), parse_slug(slug), enabled=enabled, by=_author(by)
        )


@asynccontextmanager
async def open_site(settings: Settings) -> AsyncIterator[Site]:
    """For a program that serves nothing, such as a job of the application.

    Workers of this host are told of a change at once, other nodes when the block ends.
    """
    async with announcing(settings) as announce:
        storage = PluginStorage(settings.plugins_dir)
        yield Site(settings, storage, Lifecycle(settings, storage, announce), announce)


def _author(name: str) -> Author:
    return Author(name, "application")
