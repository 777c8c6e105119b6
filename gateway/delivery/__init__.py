"""How the bytes of a file leave. An open set: one mode, one file; modes.py says which are used.

Which file the caller gets is decided already. A mode chooses a variant that it can send, and
answers conditions and ranges, or leaves ranges to a proxy.
"""

from typing import NamedTuple, Protocol

from starlette.types import Receive, Scope, Send

from gateway.http.heads import Head, Headers
from gateway.http.representation import Representation, Variant
from gateway.names import AssetKey


class FileRequest(NamedTuple):
    """A GET or HEAD of a file, and the way to its client."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Headers
    difference: Variant | None = None
    """What the client can take in the place of other variants; None: it has no dictionary."""

    @property
    def method(self) -> str:
        return str(self.scope["method"])


class DeliveryMode(Protocol):
    """One way for the bytes of a representation to leave. `key`: the file it was read from."""

    def answer_from_memory(
        self,
        key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        headers: Headers,
        difference: Variant | None = None,
    ) -> tuple[Head, bytes] | None:
        """The answer to a plain GET, with its body; None: this mode cannot answer from memory.

        `difference`: see `FileRequest`.
        """
        return None

    async def send(
        self,
        key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        request: FileRequest,
    ) -> bool:
        """Sends the whole answer. False, with nothing sent: this mode cannot send these bytes.

        Raises: PreconditionFailed, RangeNotSatisfiable, NotServed, SourceUnavailable, before
            anything is sent.
        """
