"""JSON answers and errors: the one place where an error class becomes a status."""

import logging
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import RequestError, SourceUnavailable
from gateway.http.cache_policy import NO_STORE

logger = logging.getLogger(__name__)

JSON = "application/json"


def plain_json(content: Any, status: int = 200) -> Response:
    """An answer about this moment, which caches must not store."""
    return _body(content, status, {})


def on_routed_error(_request: Request, error: Exception) -> Response:
    """For Starlette, which wants this signature. It is registered for `RequestError`."""
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
    """For what Starlette's router refuses: an unknown URL, a method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = "method_not_allowed" if status == 405 else status.name.lower()
    return _body({"detail": error.detail, "code": code}, status, dict(error.headers or {}))


def on_bug(_request: Request, _error: Exception) -> Response:
    """For Starlette, which logs the traceback."""
    return internal_error()


def internal_error() -> Response:
    """What went wrong is not told to the caller."""
    return _body({"detail": "Internal server error", "code": "internal_error"}, 500, {})


def _body(content: Any, status: int, headers: dict[str, str]) -> Response:
    headers = {**headers, "Cache-Control": NO_STORE, "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(content), status, headers, JSON)
