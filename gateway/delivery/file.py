"""The mode for files that are too large for memory: the bytes come from the file.

Starlette's FileResponse opens a file by name after it has measured it, answers 400 to range units
that it should ignore (RFC 9110 §14.2), and knows no If-Match. The subclass here sends what a plan
says, from a file that is open and verified, and may leave the sending to the server
(`http.response.pathsend`).
"""

import os

import anyio.to_thread
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from gateway.delivery import DeliveryMode, FileRequest
from gateway.disk.files import fingerprint
from gateway.disk.shared_folder import OpenedAsset
from gateway.disk.storage import PluginStorage
from gateway.errors import SourceUnavailable
from gateway.errors.sentences import sentence_of
from gateway.http.answers import send_answer
from gateway.http.planning import Plan, plan_answer
from gateway.http.representation import Representation
from gateway.names import AssetKey

# Starlette's 64 KiB spends more on thread hops (about 80 µs each) than on the bytes.
CHUNK_BYTES = 256 * 1024


class FromFile(DeliveryMode):
    """Reads the file again for each answer, and sends it without a content coding."""

    def __init__(self, storage: PluginStorage) -> None:
        self._storage = storage

    async def send(
        self,
        key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        request: FileRequest,
    ) -> bool:
        """False, with nothing sent: the file has changed since it was read."""
        variant = representation.identity
        plan = plan_answer(request.method, request.headers, variant, cache_control)
        if not plan.parts:
            await send_answer(request.send, plan.status, plan.fields, b"")
            return True
        opened = await self._open(key)
        with opened.file:
            if fingerprint(opened.stat) != representation.fingerprint:
                return False
            response = PlannedFileResponse(opened, plan)
            await response(request.scope, request.receive, request.send)
        return True

    async def _open(self, key: AssetKey) -> OpenedAsset:
        """Raises: NotServed, SourceUnavailable."""
        try:
            return await anyio.to_thread.run_sync(
                self._storage.shared.open_asset, key.slug, key.version, key.path
            )
        except OSError as error:
            raise SourceUnavailable(reason=f"{key}: {sentence_of(error)}") from error


class PlannedFileResponse(FileResponse):
    """A FileResponse whose status, fields and ranges are decided already."""

    def __init__(self, opened: OpenedAsset, plan: Plan) -> None:
        super().__init__(opened.path, plan.status, stat_result=opened.stat)
        self._opened = opened
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self._plan
        await send(
            {"type": "http.response.start", "status": plan.status, "headers": list(plan.fields)}
        )
        whole = (0, self._opened.stat.st_size)
        if plan.parts == (whole,) and "http.response.pathsend" in scope.get("extensions", {}):
            await send({"type": "http.response.pathsend", "path": str(self.path)})
            return
        for part in plan.parts:
            if isinstance(part, bytes):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            else:
                await self._send_range(send, *part)
        await send({"type": "http.response.body", "body": b""})

    async def _send_range(self, send: Send, start: int, stop: int) -> None:
        while start < stop:
            size = min(CHUNK_BYTES, stop - start)
            chunk = await anyio.to_thread.run_sync(self._read_chunk, start, size)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            start += len(chunk)

    def _read_chunk(self, start: int, size: int) -> bytes:
        """Blocking.

        Raises: OSError, if the file has changed. The connection then breaks, and the client sees
            that the answer is incomplete; it could not see that bytes of two files are mixed.
        """
        file = self._opened.file
        file.seek(start)
        chunk = file.read(size)
        if not chunk or fingerprint(os.fstat(file.fileno())) != fingerprint(self._opened.stat):
            raise OSError(f"{self.path} changed while it was sent")
        return chunk
