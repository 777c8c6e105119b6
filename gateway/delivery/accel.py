"""Bytes that the proxy in front sends: the gateway decides, and names the file.

nginx takes X-Accel-Redirect, a URL below an `internal` location on the plugins folder
(`delivery.accel_prefix`). With an empty prefix the answer carries X-Sendfile, the absolute
path, for servers that know that. The proxy answers ranges; conditions are answered here.
"""

from pathlib import Path
from urllib.parse import quote

from cachetools import TTLCache

from gateway.disk.encoder import Encoder
from gateway.disk.storage import PluginStorage
from gateway.http.planning import whole_fields
from gateway.http.representation import HeaderFields, Representation, Variant
from gateway.names import AssetKey

# The proxy finds nothing for this long at the most where an encoded file was deleted.
_SEEN_S = 0.5
_MOST_SEEN = 10_000
# The proxy measures what it sends.
_LEFT_TO_THE_PROXY = frozenset({b"content-length", b"accept-ranges"})


class AccelRedirect:
    """Answers that name a file instead of holding its bytes."""

    def __init__(self, storage: PluginStorage, encoder: Encoder | None, prefix: str) -> None:
        self._storage = storage
        self._encoder = encoder
        self._prefix = prefix
        self._seen: TTLCache[tuple[bytes, str], bool] = TTLCache(_MOST_SEEN, _SEEN_S)

    def sendable(self, representation: Representation, variant: Variant) -> Variant:
        """The variant, if its file is there: plugins/cache may be deleted at any time."""
        if self.was_sendable(representation, variant):
            return variant
        if not self._kept(representation, variant).is_file():
            return representation.identity
        self._seen[representation.digest, variant.coding] = True
        return variant

    def was_sendable(self, representation: Representation, variant: Variant) -> bool:
        """The same as it was a moment ago; without a look at the disk."""
        if variant is representation.identity:
            return True
        return (representation.digest, variant.coding) in self._seen

    def fields(
        self,
        key: AssetKey,
        representation: Representation,
        variant: Variant,
        cache_control: bytes,
    ) -> HeaderFields:
        """Fields of a 200 with an empty body."""
        if variant is representation.identity:
            folder = self._storage.construct_shared_path(key.slug, key.version)
            path = folder / key.path
        else:
            path = self._kept(representation, variant)
        kept = tuple(
            field
            for field in whole_fields(variant, cache_control)
            if field[0] not in _LEFT_TO_THE_PROXY
        )
        # Without a length the answer would be chunked, and nginx, which does not read the body of
        # an answer that redirects it, would close the connection.
        return (*kept, (b"content-length", b"0"), self._redirect(path))

    def _redirect(self, path: Path) -> tuple[bytes, bytes]:
        if not self._prefix:
            return (b"x-sendfile", str(path.resolve()).encode())
        relative = path.relative_to(self._storage.root).as_posix()
        return (b"x-accel-redirect", quote(f"{self._prefix}/{relative}").encode())

    def _kept(self, representation: Representation, variant: Variant) -> Path:
        if self._encoder is None:
            return Path()
        return self._encoder.path(representation.digest, variant.coding)
