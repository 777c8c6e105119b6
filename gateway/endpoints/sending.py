"""From a resolution to an answer: the representation, its variant, its plan, its delivery."""

from dataclasses import dataclass, field
from typing import NoReturn

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from gateway.assets import AssetStore
from gateway.basis import Basis
from gateway.cache_policy import Audience, asset_cache_control
from gateway.decisions import Decisions
from gateway.delivery.accel import AccelRedirect
from gateway.delivery.file import PlannedFileResponse
from gateway.delivery.memory import send_answer, send_held
from gateway.encodings import parse_accept_encoding
from gateway.errors import (
    NotServed,
    SourceUnavailable,
    UnknownPlugin,
    VersionNotPublished,
    VersionRetired,
)
from gateway.names import AssetKey
from gateway.planning import Plan, plan_answer
from gateway.representation import NOTHING, Representation, Variant
from gateway.resolver import Resolution
from gateway.settings import Settings
from gateway.shared_versions import SharedVersions
from gateway.storage import OpenedAsset, PluginStorage, fingerprint

ASKED = "gateway.asked"
"""Where the scope carries what front.py needs to find the decision again: an `Asked`."""

_ATTEMPTS = 3
# A proxy is sent to an encoded file below plugins/cache, which may be deleted at any time: it
# finds nothing there for this long at the most.
_ENCODED_REDIRECT_S = 0.5


@dataclass(slots=True)
class Exchange:
    """A request on the cold path, and what its decision rests on."""

    scope: Scope
    receive: Receive
    send: Send
    basis: Basis = field(init=False)

    def __post_init__(self) -> None:
        self.basis = Basis.of(self.scope)


def joined_headers(scope: Scope) -> dict[bytes, bytes]:
    """Repeated fields joined (RFC 9110 §5.3)."""
    joined: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


class AssetServer:
    """Answers with the file of a resolution; what all routes of files have in common."""

    def __init__(
        self,
        settings: Settings,
        storage: PluginStorage,
        store: AssetStore,
        versions: SharedVersions,
        decisions: Decisions,
        accel: AccelRedirect | None,
    ) -> None:
        self._storage = storage
        self._store = store
        self._versions = versions
        self._decisions = decisions
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

    async def answer(self, exchange: Exchange, resolution: Resolution, audience: Audience) -> None:
        """Raises: RequestError, before anything is sent."""
        cache_control = self._cache_control[audience, resolution.content_digest is not None]
        headers = joined_headers(exchange.scope)
        field = headers.get(b"accept-encoding")
        weights = parse_accept_encoding(None if field is None else field.decode("latin-1"))
        exchange.basis.mark("resolve")
        for _ in range(_ATTEMPTS):
            representation = await self._representation(resolution, exchange.basis)
            exchange.basis.mark("asset")
            variant = representation.select(weights)
            if self._accel is not None:
                await self._redirect(
                    self._accel, exchange, headers, resolution.key, representation, variant,
                    cache_control,
                )  # fmt: skip
                return
            plan = plan_answer(exchange.scope["method"], headers, variant, cache_control)
            if variant.content is not None:
                self._decisions.remember(exchange.scope.get(ASKED), plan, variant, exchange.basis)
                await send_held(exchange.send, plan, variant.content)
                return
            if await self._sent_from_disk(exchange, plan, resolution.key, representation):
                return
        raise SourceUnavailable(reason=f"{resolution.key} is being written")

    async def _redirect(
        self,
        accel: AccelRedirect,
        exchange: Exchange,
        headers: dict[bytes, bytes],
        key: AssetKey,
        representation: Representation,
        variant: Variant,
        cache_control: bytes,
    ) -> None:
        """Names the file to the proxy, which sends ranges; all refusals are answered here."""
        variant = accel.sendable(representation, variant)
        plan = plan_answer(exchange.scope["method"], headers, variant, cache_control)
        if plan.status != 304:
            fields = accel.fields(key, representation, variant, cache_control)
            plan = Plan(200, fields, ())
            if variant is not representation.identity:
                exchange.basis.limit_to(_ENCODED_REDIRECT_S)
        self._decisions.remember(exchange.scope.get(ASKED), plan, NOTHING, exchange.basis)
        await send_answer(exchange.send, plan.status, plan.fields, b"")

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
        self._store.purge(key)
        return None

    async def _representation(self, resolution: Resolution, basis: Basis) -> Representation:
        """The bytes, which are the pinned ones if the URL is pinned.

        The folder's state and the file are looked at separately, and the folder may be
        rewritten in between: the content's digest decides, both are looked at again once.
        """
        key, wanted = resolution.key, resolution.content_digest
        try:
            found = await self._store.get(key, basis)
            if wanted is not None and found.digest != wanted:
                self._store.purge(key)
                found = await self._store.get(key, basis)
        except NotServed as error:
            self._raise_missing(error, resolution)
        if wanted is not None and found.digest != wanted:
            self._versions.purge(key.slug, key.version)
            raise VersionRetired(reason=f"{key} was rebuilt in place")
        return found

    def _raise_missing(self, error: NotServed, resolution: Resolution) -> NoReturn:
        key = resolution.key
        if resolution.content_digest is not None:  # the build has it, the disk no longer
            self._versions.purge(key.slug, key.version)
            raise VersionRetired(reason=error.reason) from None
        if not resolution.owned and isinstance(error, VersionNotPublished):
            raise UnknownPlugin(reason=error.reason) from None
        raise type(error)(owned=resolution.owned, reason=error.reason) from None
