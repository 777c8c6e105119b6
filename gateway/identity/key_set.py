"""A published key set (JWKS, RFC 7517 §5): fetched in a thread, remembered, and fetched again when
a token names a key that is not in it.
"""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import jwt

from gateway.caching.basis import AtHand
from gateway.caching.entries import Capacity, Times
from gateway.caching.outages import Outages
from gateway.caching.ttl_cache import TTLCache
from gateway.errors import InvalidToken, SourceUnavailable
from gateway.errors.sentences import sentence_of

_LIFETIME_S = 300.0
# While their server is down, keys that were fetched are used for so long.
_STALE_IF_ERROR_S = 24 * 3600.0
# Anyone can invent a key id. Unknown ids cause at most one fetch in this time.
_UNKNOWN_KEY_MAX_AGE_S = 10.0
_TIMEOUT_S = 5
_MAX_BYTES = 2**20

Keys = Mapping[str | None, jwt.PyJWK]


class KeySet:
    """The keys behind one URL."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        # Its own thread: a server that hangs must not occupy the threads that read files.
        self._limiter = anyio.CapacityLimiter(1)
        self._outages = Outages("the application's keys", clock)
        self._keys: TTLCache[str, Keys] = TTLCache(
            self._fetch,
            times=Times(_LIFETIME_S, stale_if_error_s=_STALE_IF_ERROR_S),
            capacity=Capacity(1),
            clock=clock,
            name="keys",
        )

    def find(self, basis: AtHand, key_id: str | None) -> Any:
        """The key with this `kid`; for None, the set's only key.

        Raises: InvalidToken, if the set has no such key; SourceUnavailable, if the set is unknown;
            Pending.
        """
        for max_age_s in (None, _UNKNOWN_KEY_MAX_AGE_S):
            key = basis.ask("keys", self._keys, self._url, max_age_s).get(key_id)
            if key is not None:
                return key.key
        entry = self._keys.peek(self._url)
        if entry is None or self._clock() - entry.loaded_at > _UNKNOWN_KEY_MAX_AGE_S:
            error = SourceUnavailable(
                reason="the key set cannot be fetched, and the key is unknown"
            )
            error.is_logged = True
            raise error
        raise InvalidToken(reason=f"the key set has no key {key_id!r}")

    async def _fetch(self, url: str) -> Keys:
        try:
            keys = await anyio.to_thread.run_sync(_fetch, url, limiter=self._limiter)
        except SourceUnavailable as error:
            self._outages.failed(error)
            raise
        self._outages.answered()
        return keys


def _fetch(url: str) -> Keys:
    """Blocking. Keys by `kid`; the only key of a set is also found by None."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 (http, https)
            keys = jwt.PyJWKSet.from_json(answer.read(_MAX_BYTES)).keys
    except (OSError, urllib.error.URLError, jwt.PyJWTError, ValueError, AttributeError) as error:
        raise SourceUnavailable(reason=f"{url}: no key set: {sentence_of(error)}") from None
    keys_by_id: dict[str | None, jwt.PyJWK] = {key.key_id: key for key in keys if key.key_id}
    if len(keys) == 1:
        keys_by_id[None] = keys[0]
    return keys_by_id
