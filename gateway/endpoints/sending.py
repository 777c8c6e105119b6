"""From a resolution to an answer: the representation, its variant, its plan, its delivery."""

from typing import NoReturn

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from gateway.caching.basis import AtHand, Basis
from gateway.delivery.accel import AccelRedirect
from gateway.delivery.file import PlannedFileResponse
from gateway.delivery.memory import send_answer, send_held
from gateway.disk.storage import OpenedAsset, PluginStorage, fingerprint
from gateway.errors import (
    NotServed,
    SourceUnavailable,
    UnknownPlugin,
    VersionNotPublished,
    VersionRetired,
)
from gateway.http.cache_policy import Audience, asset_cache_control
from gateway.http.planning import Plan, plain_answer, plan_answer, prepare
from gateway.http.representation import Prepared, Representation, Variant
from gateway.identity import Headers, joined_headers
from gateway.names import AssetKey
from gateway.serving.asset_store import AssetStore
from gateway.serving.resolver import Resolution
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import Settings

_ATTEMPTS = 3


class Exchange:
    """A request that may have to wait, and what its decision rests on."""

    __slots__ = ("basis", "headers", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers = joined_headers(scope)
        self.basis = Basis.of(scope)


class AssetServer:
    """Answers with the file of a resolution; what all routes of files have in common."""

    def __init__(
        self,
        settings: Settings,
        storage: PluginStorage,
        store: AssetStore,
        versions: SharedVersions,
        accel: AccelRedirect | None,
    ) -> None:
        self._storage = storage
        self._store = store
        self._versions = versions
        self._accel = accel
        self._cache_control = {
            (audience, pinned): asset_cache_control(
                audience,
                pinned=pinned,
                unpinned_max_age_s=settings.http.unpinned_max_age,
                dev=settings.dev.enabled,
            ).encode()
            for audience in Audience
            for pinned in (False, True)
        }

    def answer_from_memory(
        self, basis: AtHand, headers: Headers, resolution: Resolution, audience: Audience
    ) -> tuple[Prepared, bytes] | None:
        """The answer to a GET that has no range and no condition but If-None-Match, with its body.

        None, where it is not in memory, or is not the pinned one. Raises: Pending, NotServed.
        """
        key, wanted = resolution.key, resolution.content_digest
        representation = self._store.get(basis, key)
        if wanted is not None and representation.digest != wanted:
            return None
        variant = representation.select(headers.get(b"accept-encoding"))
        cache_control = self._cache_control[audience, wanted is not None]
        known = headers.get(b"if-none-match")
        if self._accel is not None:
            return self._redirect_from_memory(
                self._accel, key, representation, variant, cache_control, known
            )
        if variant.content is None:
            return None
        found = plain_answer(variant, cache_control, known)
        return found, (variant.content if found.status == 200 else b"")

    def _redirect_from_memory(
        self,
        accel: AccelRedirect,
        key: AssetKey,
        representation: Representation,
        variant: Variant,
        cache_control: bytes,
        known: bytes | None,
    ) -> tuple[Prepared, bytes] | None:
        if not accel.was_sendable(representation, variant):
            return None
        if known is not None and variant.is_known_to(known):
            return plain_answer(variant, cache_control, known), b""
        found = variant.prepared.get((200, cache_control))
        if found is None:
            fields = accel.fields(key, representation, variant, cache_control)
            found = variant.prepared[200, cache_control] = prepare(200, fields)
        return found, b""

    async def answer(self, exchange: Exchange, resolution: Resolution, audience: Audience) -> None:
        """Raises: RequestError, before anything is sent."""
        cache_control = self._cache_control[audience, resolution.content_digest is not None]
        headers = exchange.headers
        exchange.basis.mark("resolve")
        for _ in range(_ATTEMPTS):
            representation = await self._representation(resolution, exchange.basis)
            exchange.basis.mark("asset")
            variant = representation.select(headers.get(b"accept-encoding"))
            if self._accel is not None:
                await self._redirect(
                    self._accel, exchange, resolution.key, representation, variant, cache_control
                )
                return
            plan = plan_answer(exchange.scope["method"], headers, variant, cache_control)
            if variant.content is not None:
                await send_held(exchange.send, plan, variant.content)
                return
            if await self._sent_from_disk(exchange, plan, resolution.key, representation):
                return
        raise SourceUnavailable(reason=f"{resolution.key} is being written")

    async def _redirect(
        self,
        accel: AccelRedirect,
        exchange: Exchange,
        key: AssetKey,
        representation: Representation,
        variant: Variant,
        cache_control: bytes,
    ) -> None:
        """Names the file to the proxy, which sends ranges; all refusals are answered here."""
        variant = accel.sendable(representation, variant)
        plan = plan_answer(exchange.scope["method"], exchange.headers, variant, cache_control)
        status, fields = plan.status, plan.fields
        if status != 304:
            status, fields = 200, accel.fields(key, representation, variant, cache_control)
        await send_answer(exchange.send, status, fields, b"")

    async def _sent_from_disk(
        self, exchange: Exchange, plan: Plan, key: AssetKey, representation: Representation
    ) -> bool:
        """False, with nothing sent, if the file is not the one planned for any more."""
        if not plan.parts:
            await send_answer(exchange.send, plan.status, plan.fields, b"")
            return True
        opened = await self._open(key, representation)
        if opened is None:
            return False
        with opened.file:
            response = PlannedFileResponse(opened, plan)
            await response(exchange.scope, exchange.receive, exchange.send)
        return True

    async def _open(self, key: AssetKey, representation: Representation) -> OpenedAsset | None:
        """The file that the representation was read from; None if it has changed since."""
        try:
            opened = await anyio.to_thread.run_sync(
                self._storage.open_asset, key.slug, key.version, key.path
            )
        except OSError as error:
            raise SourceUnavailable(reason=f"{key}: {error}") from error
        if fingerprint(opened.stat) == representation.fingerprint:
            return opened
        opened.file.close()
        self._store.purge_wrong(key)
        return None

    async def _representation(self, resolution: Resolution, basis: Basis) -> Representation:
        """The bytes, which are the pinned ones if the URL is pinned.

        The folder's state and the file are looked at separately, and the folder may be
        rewritten in between: the content's digest decides, both are looked at again once.
        """
        key, wanted = resolution.key, resolution.content_digest
        try:
            basis.forget_waited()
            found = await basis.settled(self._store.get, key)
            if wanted is not None and found.digest != wanted:
                self._store.purge_wrong(key)
                basis.forget_waited()
                found = await basis.settled(self._store.get, key)
        except NotServed as error:
            self._raise_missing(error, resolution)
        if wanted is not None and found.digest != wanted:
            self._versions.purge_wrong(key.slug, key.version)
            raise VersionRetired(reason=f"{key} was rebuilt in place")
        return found

    def _raise_missing(self, error: NotServed, resolution: Resolution) -> NoReturn:
        key = resolution.key
        if resolution.content_digest is not None:  # the build has it, the disk no longer
            self._versions.purge_wrong(key.slug, key.version)
            raise VersionRetired(reason=error.reason) from None
        if not resolution.owned and isinstance(error, VersionNotPublished):
            raise UnknownPlugin(reason=error.reason) from None
        raise type(error)(owned=resolution.owned, reason=error.reason) from None
