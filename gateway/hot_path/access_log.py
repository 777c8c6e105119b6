"""The access log of `gateway serve`: a share of all answers, and every refusal.

Whether an answer of the hot path is logged is decided before it is made: one that is not costs
nothing more. Refusals are answers of the cold path, so that can know the status first.
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import RequestError
from gateway.http.request import Request
from gateway.metrics.texts import CUT
from gateway.tracing.current_request import CurrentRequest

logger = logging.getLogger("gateway.access")

CLIENT_GONE = 499
"""Not on the wire: the client went away before the answer began. nginx logs the same."""
# The reader takes heads of 64 KiB; a line of a log should be shorter.
_MAX_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One line of the log: fields for machines, a sentence for people."""

    method: str | None
    """None, with `path` and `query`: refused before it could be read."""
    path: str | None
    """As it was sent, escaped."""
    query: str | None
    status: int
    duration_s: float
    """From the whole request to the last byte that was handed to the system."""
    bytes: int
    """Of the body, as it was sent."""
    path_kind: str
    """hot or cold."""
    client: str
    """The address of the peer; `unix` on the Unix socket."""
    request_id: str
    user: str | None
    code: str | None
    reason: str | None

    @property
    def message(self) -> str:
        target = self.path or "-"
        if self.query:
            target += f"?{self.query}"
        return f"{self.status} {self.method or '-':<4} {target}"

    def __str__(self) -> str:
        size_and_time = f"{self.bytes} B in {1000 * self.duration_s:.1f} ms"
        user = f", user {self.user}" if self.user else ""
        refusal = f", {self.code}: {self.reason}" if self.code else ""
        return (
            f"{self.message}  {size_and_time}, {self.path_kind}, from {self.client}{user}{refusal}"
        )


class AccessLog:
    """Decides what is logged, and logs it."""

    def __init__(self, share: float, choose: Callable[[], float] = random.random) -> None:
        """`share`: of the answers that are no refusals, above 0 and at most 1. `choose` returns
        numbers from 0 to 1, without 1.
        """
        self._share = share
        self._choose = choose

    def takes_next(self) -> bool:
        """Whether an answer is logged that is no refusal. Each call is a new choice."""
        return self._choose() < self._share

    def takes(self, status: int) -> bool:
        is_refusal = status >= 400 and status != CLIENT_GONE
        return is_refusal or self.takes_next()

    def write(
        self,
        request: Request | None,
        peers: Mapping[str, Any],
        known: CurrentRequest,
        *,
        path_kind: str,
        status: int,
        size: int,
        started_at: float,
    ) -> None:
        """`peers`: with `client`, as in an ASGI scope. `started_at`: by time.perf_counter()."""
        client = peers["client"]
        logger.info(
            AnswerLine(
                method=None if request is None else _text(request.method),
                path=None if request is None else _text(request.raw_path),
                query=None if request is None else _text(request.query_string) or None,
                status=status,
                duration_s=round(time.perf_counter() - started_at, 6),
                bytes=size,
                path_kind=path_kind,
                client=client[0] if client else "unix",
                request_id=known.id,
                user=known.user,
                code=known.code,
                reason=known.reason,
            )
        )

    def write_refusal(
        self,
        request: Request | None,
        peers: Mapping[str, Any],
        refusal: RequestError,
        request_id: bytes,
        *,
        size: int,
    ) -> None:
        """A refusal by the connection itself."""
        known = CurrentRequest(request_id.decode(), None, refusal.code, refusal.reason)
        self.write(
            request,
            peers,
            known,
            path_kind="cold",
            status=refusal.status,
            size=size,
            started_at=time.perf_counter(),
        )


def _text(sent: bytes) -> str:
    text = sent[:_MAX_CHARACTERS].decode("latin-1")
    return text if len(sent) <= _MAX_CHARACTERS else text + CUT
