"""The head of an answer, written together with its first bytes.

uvloop writes at once whatever it is given, and uvicorn gives it head and body separately: two
system calls and two packets. A process that is killed between them leaves a proxy with a head
that it has passed on and cannot take back; with one write it has all of a small answer or
nothing, and asks another node. It also saves the system call.
"""

import asyncio
from typing import Any

# Beyond, copying costs more than the system call that it saves, and a kill would find an
# answer half-way in any case.
_MOST_COPIED_BYTES = 32 * 1024


class JoiningTransport:
    """A transport that holds back the head of an answer until more comes, or the end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._write = transport.write
        self._head = b""
        self._expects_head = True
        self.is_closing = transport.is_closing  # asked for each answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, content: bytes) -> None:
        if self._expects_head:
            if content.startswith(b"HTTP/1.1 1"):  # 100 Continue: the client waits for it
                self._write(content)
            else:
                self._expects_head = False
                self._head = content
        elif self._head:
            head, self._head = self._head, b""
            self.write_answer(head, content)
        else:
            self._write(content)

    def write_answer(self, head: bytes, body: bytes) -> None:
        """A whole answer."""
        if len(body) <= _MOST_COPIED_BYTES:
            self._write(head + body)
        else:
            # Not both with one vectored write: 37 µs for 128 KiB on loopback, where two take 26.
            self._write(head)
            self._write(body)

    def end_answer(self) -> None:
        """One without a body is not held back any longer."""
        self._expects_head = True
        if self._head:
            self._write(self._head)
            self._head = b""

    def close(self) -> None:
        self.end_answer()
        self._transport.close()
