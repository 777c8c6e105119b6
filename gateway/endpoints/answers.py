"""JSON answers and errors: the one place where an error class becomes a status."""

import hashlib
import logging
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.cache_policy import JSON_ANSWER, NO_STORE
from gateway.conditional import ETag, Outcome, Preconditions, evaluate
from gateway.errors import RequestError, SourceUnavailable

logger = logging.getLogger(__name__)

JSON = "application/json"


def json_answer(request: Request, content: Any) -> Response:
    """200 with an ETag from the content, or 304 where the caller holds it already."""
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    etag = ETag(hashlib.sha256(body).hexdigest()[:32])
    headers = {"ETag": str(etag), "Cache-Control": JSON_ANSWER, "Vary": "Authorization"}
    conditions = Preconditions.of(request.headers.raw)
    # Only entity tags apply: an answer made on the spot has no modification date.
    if conditions is not None and conditions.if_none_match is not None:
        only_etag = Preconditions(if_none_match=conditions.if_none_match)
        if evaluate(only_etag, etag=etag, last_modified_s=0) is Outcome.NOT_MODIFIED:
            return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    return Response(body, media_type=JSON, headers=headers)


def plain_json(content: Any, status: int = 200) -> Response:
    """An answer about this moment: not to be stored."""
    return _body(content, status, {})


def on_request_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):  # registered for that class alone
        raise error
    if isinstance(error, SourceUnavailable):
        logger.warning("503: %s", error.reason)
    content = {"detail": error.detail, "code": error.code}
    return _body(content, error.status, dict(error.headers))


def on_http_exception(_request: Request, error: Exception) -> Response:
    """What Starlette's router refuses: an unknown URL, a method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = "method_not_allowed" if status == 405 else status.name.lower()
    return _body({"detail": error.detail, "code": code}, status, dict(error.headers or {}))


def on_bug(_request: Request, _error: Exception) -> Response:
    """Starlette logs the traceback; the caller learns nothing of it."""
    return _body({"detail": "Internal server error", "code": "internal_error"}, 500, {})


def _body(content: Any, status: int, headers: dict[str, str]) -> Response:
    headers = {**headers, "Cache-Control": NO_STORE, "X-Content-Type-Options": "nosniff"}
    return Response(orjson.dumps(content), status, headers, JSON)
