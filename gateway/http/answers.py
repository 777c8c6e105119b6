"""Answers as ASGI and Starlette take them; the one place where an error class becomes a status."""

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import RequestError, SourceUnavailable
from gateway.http.cache_policy import NO_STORE
from gateway.http.heads import HeaderFields
from gateway.tracing.current_request import note_refusal

logger = logging.getLogger(__name__)

ALLOW = "GET, HEAD, OPTIONS"
"""The methods of every URL of files, and of the server as a whole."""


async def send_answer(send: Send, status: int, fields: HeaderFields, body: bytes) -> None:
    """A whole answer. Each message is a new object, because middleware edits them in place."""
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
    await send({"type": "http.response.body", "body": body})


async def answer_options(send: Send) -> None:
    """The answer to OPTIONS (RFC 9110 §9.3.7)."""
    fields = ((b"allow", ALLOW.encode()), (b"cache-control", NO_STORE.encode()))
    await send_answer(send, 204, fields, b"")


def json_answer(
    content: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> Response:
    """An answer about this moment, which caches must not store."""
    return Response(
        orjson.dumps(content),
        status,
        {**dict(headers), "Cache-Control": NO_STORE, "X-Content-Type-Options": "nosniff"},
        media_type="application/json",
    )


class ErrorAnswer(Response):
    """The answer to a request that is refused."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Iterable[tuple[str, str]] = (),
        reason: str = "",
    ) -> None:
        """`reason`: for operators; the detail, unless it says more."""
        answer = json_answer({"detail": detail, "code": code}, status, headers)
        super().__init__(answer.body, status)
        self.raw_headers = answer.raw_headers
        self.code = code
        self._reason = reason or detail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_refusal(self.code, self._reason)
        await super().__call__(scope, receive, send)


def error_answer(error: RequestError) -> ErrorAnswer:
    if isinstance(error, SourceUnavailable) and not error.is_logged:
        logger.warning("503: %s", error.reason)
    return ErrorAnswer(error.status, error.code, error.detail, error.headers, reason=error.reason)


def on_request_error(_request: Request, error: Exception) -> Response:
    """For Starlette's router, which passes only errors of the class it is registered for."""
    if not isinstance(error, RequestError):
        raise error
    return error_answer(error)


def on_http_exception(_request: Request, error: Exception) -> Response:
    """For what Starlette's router refuses: an unknown URL, or a method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = "method_not_allowed" if status == 405 else status.name.lower()
    return ErrorAnswer(status, code, error.detail, (error.headers or {}).items())


def internal_error(*_request_and_error: object) -> ErrorAnswer:
    """Also for Starlette, which logs the traceback. The caller does not learn what went wrong."""
    reason = "a bug of the gateway: the log has its traceback"
    return ErrorAnswer(500, "internal_error", "Internal server error", reason=reason)
