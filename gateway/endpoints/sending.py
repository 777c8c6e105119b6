"""From a resolution to an answer: the representation, its Cache-Control, a mode of delivery."""

from collections.abc import Sequence
from typing import NoReturn

from starlette.types import Scope

from gateway.caching.basis import AtHand, Basis
from gateway.delivery import DeliveryMode, FileRequest
from gateway.endpoints.dictionary_requests import DictionaryRequests
from gateway.errors import (
    NotServed,
    SourceUnavailable,
    UnknownPlugin,
    VersionNotPublished,
    VersionRetired,
)
from gateway.http.cache_policy import Audience, asset_lifetimes
from gateway.http.dictionaries import AVAILABLE_DICTIONARY
from gateway.http.heads import Head, Headers
from gateway.http.representation import Representation, Variant
from gateway.names import AssetKey
from gateway.serving.asset_store import AssetStore
from gateway.serving.differences import DifferenceFinder
from gateway.serving.resolver import Resolution
from gateway.serving.shared_versions import SharedVersions
from gateway.settings import Settings

SentLifetimes = tuple[bytes, bytes]
"""Values of Cache-Control as they are sent, for unpinned and for pinned URLs: the index is whether
the URL has a pin."""

# Each attempt after the first finds that a writer has just changed the file.
_ATTEMPTS = 3


class AssetServer:
    """Answers with the file of a resolution, for all routes of files."""

    def __init__(
        self,
        settings: Settings,
        store: AssetStore,
        versions: SharedVersions,
        modes: Sequence[DeliveryMode],
        differences: DifferenceFinder | None,
        dictionary_requests: DictionaryRequests,
    ) -> None:
        """`differences`: None, if none are sent."""
        self._settings = settings
        self._store = store
        self._versions = versions
        self._modes = tuple(modes)
        self._differences = differences
        self._dictionary_requests = dictionary_requests

    def lifetimes(self, audience: Audience) -> SentLifetimes:
        unpinned, pinned = asset_lifetimes(
            audience,
            unpinned_max_age_s=self._settings.http.unpinned_max_age,
            dev=self._settings.dev.enabled,
        )
        return unpinned.encode(), pinned.encode()

    def answer_from_memory(
        self,
        basis: AtHand,
        scope: Scope,
        headers: Headers,
        resolution: Resolution,
        lifetimes: SentLifetimes,
    ) -> tuple[Head, bytes] | None:
        """The answer to a plain GET, with its body; None: the bytes are not in memory, or are not
        the pinned ones. Raises: Pending, NotServed.
        """
        key, digest = resolution.key, resolution.content_digest
        representation = self._store.get(basis, key)
        if digest is not None and representation.digest != digest:
            return None
        cache_control = lifetimes[digest is not None]
        difference = None
        if AVAILABLE_DICTIONARY in headers:
            difference = self._difference(basis, scope, headers, key, representation)
        for mode in self._modes:
            answer = mode.answer_from_memory(
                key, representation, cache_control, headers, difference
            )
            if answer is not None:
                return answer
        return None

    async def answer(
        self,
        basis: Basis,
        request: FileRequest,
        resolution: Resolution,
        lifetimes: SentLifetimes,
    ) -> None:
        """Raises: RequestError, before anything is sent."""
        key = resolution.key
        cache_control = lifetimes[resolution.content_digest is not None]
        basis.mark("resolve")
        for _ in range(_ATTEMPTS):
            representation = await self.representation(basis, resolution)
            if AVAILABLE_DICTIONARY in request.headers:
                difference = await basis.settled(
                    self._difference, request.scope, request.headers, key, representation
                )
                request = request._replace(difference=difference)
            basis.mark("asset")
            for mode in self._modes:
                if await mode.send(key, representation, cache_control, request):
                    return
            self._store.purge_wrong(key)
        raise SourceUnavailable(reason=f"{key} is being written")

    def _difference(
        self,
        basis: AtHand,
        scope: Scope,
        headers: Headers,
        key: AssetKey,
        representation: Representation,
    ) -> Variant | None:
        """What a client can take that has a dictionary. Raises: Pending."""
        if self._differences is None:
            return None
        dictionary = self._dictionary_requests.dictionary_of(scope, headers)
        if dictionary is None:
            return None
        return self._differences.find(basis, key, representation, dictionary)

    async def representation(self, basis: Basis, resolution: Resolution) -> Representation:
        """The bytes of the file; for a pinned URL the pinned bytes, or none.

        The state of the folder and the file are read separately, and the folder may be rewritten
        in between. So the digest of the content decides, and a file that differs is read again.

        Raises: RequestError.
        """
        key, digest = resolution.key, resolution.content_digest
        try:
            basis.forget_waited()
            representation = await basis.settled(self._store.get, key)
            if digest is not None and representation.digest != digest:
                self._store.purge_wrong(key)
                basis.forget_waited()
                representation = await basis.settled(self._store.get, key)
        except NotServed as error:
            self._raise_missing(error, resolution)
        if digest is not None and representation.digest != digest:
            self._versions.purge_wrong(key.slug, key.version)
            raise VersionRetired(reason=f"{key} was rebuilt in place")
        return representation

    def _raise_missing(self, error: NotServed, resolution: Resolution) -> NoReturn:
        key = resolution.key
        if resolution.content_digest is not None:  # the pinned build has the file, the disk has not
            self._versions.purge_wrong(key.slug, key.version)
            raise VersionRetired(reason=error.reason) from None
        if not resolution.owned and isinstance(error, VersionNotPublished):
            raise UnknownPlugin(reason=error.reason) from None
        raise type(error)(owned=resolution.owned, reason=error.reason) from None
