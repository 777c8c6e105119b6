"""Answers as ASGI and Starlette take them; the one place where an error class becomes a status."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from gateway.errors import RequestError, SourceUnavailable
from gateway.http.cache_policy import NO_STORE
from gateway.http.heads import HeaderFields

logger = logging.getLogger(__name__)


async def send_answer(send: Send, status: int, fields: HeaderFields, body: bytes) -> None:
    """A whole answer. Each message is a new object, because middleware edits them in place."""
    await send({"type": "http.response.start", "status": status, "headers": list(fields)})
    await send({"type": "http.response.body", "body": body})


def plain_json(content: Any, status: int = 200) -> Response:
    """An answer about this moment, which caches must not store."""
    return _body(content, status, {})


def on_routed_error(_request: Request, error: Exception) -> Response:
    """For Starlette's router, which passes only errors of the class it is registered for."""
    if not isinstance(error, RequestError):
        raise error
    return on_request_error(error)


def on_request_error(error: RequestError) -> Response:
    if isinstance(error, SourceUnavailable):
        logger.warning("503: %s", error.reason)
    return error_answer(error)


def error_answer(error: RequestError) -> Response:
    content = {"detail": error.detail, "code": error.code}
    return _body(content, error.status, dict(error.headers))


def on_http_exception(_request: Request, error: Exception) -> Response:
    """For what Starlette's router refuses: an unknown URL, or a method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = "method_not_allowed" if status == 405 else status.name.lower()
    return _body({"detail": error.detail, "code": code}, status, dict(error.headers or {}))


def on_bug(_request: Request, _error: Exception) -> Response:
    """For Starlette, which logs the traceback."""
    return internal_error()


def internal_error() -> Response:
    """The caller does not learn what went wrong."""
    return _body({"detail": "Internal server error", "code": "internal_error"}, 500, {})


def _body(content: Any, status: int, headers: dict[str, str]) -> Response:
    headers = {**headers, "Cache-Control": NO_STORE, "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(content), status, headers, "application/json")
