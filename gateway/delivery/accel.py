"""The mode in which the proxy in front sends the files: the gateway decides, and names the file.

nginx takes X-Accel-Redirect, a URL below an `internal` location on the plugins folder
(`delivery.accel_prefix`). With an empty prefix the answer carries X-Sendfile, the absolute
path, for servers that know that. The proxy answers ranges; conditions are answered here.

A difference is a few hundred bytes, and is in memory. So the gateway sends it itself: the proxy
would need longer to find the file, and need not be told of one more folder.
"""

from functools import partial
from pathlib import Path
from urllib.parse import quote

from cachetools import TTLCache

from gateway.delivery import DeliveryMode, FileRequest
from gateway.delivery.memory import FromMemory
from gateway.disk.encoder import Encoder
from gateway.disk.storage import PluginStorage
from gateway.http.answers import send_answer
from gateway.http.heads import Head, HeaderFields, Headers
from gateway.http.planning import plain_answer, plan_answer, whole_fields
from gateway.http.representation import Representation, Variant
from gateway.names import AssetKey

# After an encoded file is deleted, the proxy can be sent to it for at most this long.
_SEEN_S = 0.5
_MAX_SEEN = 10_000
# The proxy sets these for the bytes that it sends.
_FIELDS_OF_THE_PROXY = frozenset({b"content-length", b"accept-ranges"})


class AccelRedirect(DeliveryMode):
    """Sends the name of the file, and no bytes but those of a difference."""

    def __init__(self, storage: PluginStorage, encoder: Encoder | None, prefix: str) -> None:
        self._storage = storage
        self._encoder = encoder
        self._prefix = prefix
        self._memory = FromMemory()
        self._seen: TTLCache[tuple[bytes, str], bool] = TTLCache(_MAX_SEEN, _SEEN_S)
        """Encoded variants, by digest and coding, whose files existed at the last look."""

    def answer_from_memory(
        self,
        key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        headers: Headers,
        difference: Variant | None = None,
    ) -> tuple[Head, bytes] | None:
        if difference is not None:
            return self._memory.answer_from_memory(
                key, representation, cache_control, headers, difference
            )
        variant = representation.select(headers.get(b"accept-encoding"))
        if not self._was_seen(representation, variant):
            return None
        fields_of_200 = partial(self._fields, key, representation)
        if_none_match = headers.get(b"if-none-match")
        return plain_answer(variant, cache_control, if_none_match, fields_of_200), b""

    async def send(
        self,
        key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        request: FileRequest,
    ) -> bool:
        if request.difference is not None:
            return await self._memory.send(key, representation, cache_control, request)
        variant = self._existing(
            representation, representation.select(request.headers.get(b"accept-encoding"))
        )
        plan = plan_answer(request.method, request.headers, variant, cache_control)
        status, fields = plan.status, plan.fields
        if status != 304:
            status, fields = 200, self._fields(key, representation, variant, cache_control)
        await send_answer(request.send, status, fields, b"")
        return True

    def _existing(self, representation: Representation, variant: Variant) -> Variant:
        """The variant, or identity if its file does not exist: plugins/cache may be deleted."""
        if not self._was_seen(representation, variant):
            if not self._encoded_path(representation, variant).is_file():
                return representation.identity
            self._seen[representation.digest, variant.coding] = True
        return variant

    def _was_seen(self, representation: Representation, variant: Variant) -> bool:
        """Whether the variant's file existed a moment ago. Does not look at the disk."""
        if variant is representation.identity:
            return True
        return (representation.digest, variant.coding) in self._seen

    def _fields(
        self, key: AssetKey, representation: Representation, variant: Variant, cache_control: bytes
    ) -> HeaderFields:
        """Fields of a 200 with an empty body."""
        if variant is representation.identity:
            path = self._storage.construct_shared_path(key.slug, key.version) / key.path
        else:
            path = self._encoded_path(representation, variant)
        own_fields = tuple(
            field
            for field in whole_fields(variant, cache_control)
            if field[0] not in _FIELDS_OF_THE_PROXY
        )
        # Without a length the answer would be chunked, and nginx, which does not read the body of
        # an answer that redirects it, would close the connection.
        return (*own_fields, (b"content-length", b"0"), self._redirect(path))

    def _redirect(self, path: Path) -> tuple[bytes, bytes]:
        if not self._prefix:
            return (b"x-sendfile", str(path.resolve()).encode())
        relative = path.relative_to(self._storage.root).as_posix()
        return (b"x-accel-redirect", quote(f"{self._prefix}/{relative}").encode())

    def _encoded_path(self, representation: Representation, variant: Variant) -> Path:
        if self._encoder is None:  # without an encoder there is only identity
            return Path()
        return self._encoder.path(representation.digest, variant.coding)
